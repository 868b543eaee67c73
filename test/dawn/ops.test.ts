// Every op × sample × kernel on the device, knowing no op by name. Bit for bit on small whole numbers where the op is
// exact; on real data within 4·u·√terms·mag + builtin per element; NaN and infinities equal only themselves; outputs
// poisoned before, nothing written outside of the output's view, the same bits on a second run. The baseline runs all
// samples dense and as views, each variant a seeded few points of its space (all of it with THAW_TEST=all).
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UNIT, UNIT_F16 } from "../../src/core/accuracy.ts";
import type { HostArray } from "../../src/core/dtype.ts";
import { openDevice } from "../../src/gpu/device.ts";
import type { NDArray } from "../../src/graph/array.ts";
import {
  type AnyOp,
  allOps,
  type Call,
  type DeviceTraits,
  type Kernel,
  type Params,
  type Sample,
} from "../../src/graph/op.ts";
import { allowedError } from "../../src/runtime/verify.ts";
import { defaultParams, points } from "../../src/schedule/select.ts";
import "../../src/ops/index.ts";
import { KernelBench, type Layout } from "../lib/run_kernel.ts";
import { realInputs, sampleName, wholeInputs } from "../lib/samples.ts";

const ALL = process.env.THAW_TEST === "all";
const DENSE: Layout = { offset: 0, gap: 0 };
const VIEW: Layout = { offset: 12, gap: 20 };
const ODD_VIEW: Layout = { offset: 5, gap: 3 };

let bench: KernelBench;
beforeAll(async () => {
  // Opened for f16 where there is that: it only adds kernels, each judged by its own unit.
  bench = await KernelBench.open(await openDevice({ precision: "f16" }).catch(() => openDevice()));
});
afterAll(() => bench.gpu.close());

/** Points of a kernel's space that are tried: its own pick, and all or a seeded one of the rest. */
const POINTS = ALL ? Number.POSITIVE_INFINITY : 2;

/** The first element that is not what it should be, as text; null when all are. */
function mismatch(got: HostArray, want: NDArray, tolerance: Float64Array | null): string | null {
  for (let i = 0; i < got.length; i++) {
    const [g, w] = [got[i], want.dtype === "f32" ? Math.fround(want.data[i]) : want.data[i]];
    const at = `element ${i}: ${g} instead of ${want.data[i]}`;
    if (Number.isNaN(w) || !Number.isFinite(w)) {
      if (!Object.is(g, w)) return at;
    } else if (tolerance === null || want.dtype !== "f32") {
      if (g !== w) return at;
    } else if (!(Math.abs(g - want.data[i]) <= tolerance[i])) {
      return `${at}: off by ${Math.abs(g - want.data[i]).toExponential(2)}, allowed ${tolerance[i].toExponential(2)}`;
    }
  }
  return null;
}

async function check(
  op: AnyOp,
  kernel: Kernel,
  params: Params,
  inputs: readonly NDArray[],
  sample: Sample,
  layout: Layout,
  exact: boolean,
): Promise<void> {
  const attrs = sample.attrs ?? {};
  const want = op.ref(inputs, attrs);
  const got = await bench.run(op, kernel, params, inputs, want, attrs, layout);
  const unit = kernel.precision === "f16" ? UNIT_F16 : UNIT;
  const tolerance = exact ? null : allowedError(op, inputs, want, attrs, unit);
  const where = `${op.name} ${kernel.name} ${JSON.stringify(params)} offset ${layout.offset} gap ${layout.gap} ${sampleName(sample)}`;
  got.forEach((g, k) => {
    expect(mismatch(g.data, want[k], tolerance?.[k] ?? null), `${where}, output ${k}`).toBeNull();
    expect(g.spilled, `${where}, output ${k}: elements written outside`).toBe(0);
  });
  if (exact || ALL) {
    const again = await bench.run(op, kernel, params, inputs, want, attrs, layout);
    again.forEach((g, k) => {
      expect(
        g.data.every((v, i) => Object.is(v, got[k].data[i])),
        `${where}, output ${k}: other bits on a second run`,
      ).toBe(true);
    });
  }
}

const isExact = (op: AnyOp, attrs: Call["attrs"]) =>
  typeof op.exact === "function" ? op.exact(attrs) : (op.exact ?? false);

describe.each(allOps().map((op) => [op.name, op] as const))("%s", (_name, op) => {
  it.for(op.kernels.map((k, i) => [k.name, k, i] as const))("%s", async ([, kernel, index], { skip }) => {
    let ran = 0;
    let wants = "";
    for (const [s, sample] of op.samples.entries()) {
      const attrs = sample.attrs ?? {};
      const real = realInputs(op, sample, s);
      const whole = wholeInputs(op, sample, s);
      const outTypes = op.ref(real, attrs);
      const layouts = index === 0 || s % 2 === 0 || ALL ? [DENSE, VIEW, ODD_VIEW] : [DENSE];
      for (const layout of layouts) {
        const bare = {
          inputs: bench.operands(real, layout),
          outputs: bench.operands(outTypes, layout),
          attrs,
          device: bench.gpu.traits,
        };
        const fits = (device: DeviceTraits) =>
          kernel.when?.({ ...bare, device, params: defaultParams(kernel, bare) }) ?? true;
        if (!fits(bare.device)) {
          if (fits({ ...bare.device, subgroups: true })) wants = "subgroups of at least 8 lanes";
          else if (fits({ ...bare.device, f16: true })) wants = "shader-f16";
          continue;
        }
        for (const params of layout === DENSE
          ? points(op, kernel, bare, POINTS)
          : [defaultParams(kernel, bare)]) {
          ran++;
          if (isExact(op, attrs)) await check(op, kernel, params, whole, sample, layout, true);
          await check(op, kernel, params, real, sample, layout, false);
        }
      }
    }
    skip(ran === 0 && wants !== "", `not run: this device has no ${wants}`);
    expect(ran, `${op.name} ${kernel.name} is right for none of the samples`).toBeGreaterThan(0);
  });
});
