// The bytes that a plan prints are those that making it ready allocates, counted at the device itself; the slots are
// the fewest bytes that whole buffers can do with; and a step can be planned without being run.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bufferBytes } from "../../src/core/bytes.ts";
import {
  close,
  compile,
  init,
  models,
  nn,
  noGrad,
  optim,
  planBytes,
  planMemory,
  planOf,
  printPlan,
  type Tensor,
  tensor,
} from "../../src/index.ts";
import { RING_SLOT, RING_SLOTS } from "../../src/runtime/ring.ts";
import { aliveAtPeak } from "../../src/schedule/memory.ts";
import { gpuBackend, open, plansOf, snapshot, stats, wave } from "../lib/engine.ts";
import { has } from "../lib/test_options.ts";

beforeEach(() => open({ seed: 5 }));
afterEach(close);

/** Sizes of the buffers that the device makes while `fn` runs, by label. */
async function buffersMadeIn(fn: () => Promise<unknown>): Promise<{ label: string; size: number }[]> {
  const { device } = (await gpuBackend()).gpu;
  const made: { label: string; size: number }[] = [];
  const original = device.createBuffer.bind(device);
  device.createBuffer = (d) => {
    made.push({ label: d.label ?? "", size: d.size });
    return original(d);
  };
  try {
    await fn();
  } finally {
    device.createBuffer = original;
  }
  return made;
}

/** A training step of the small DenseNet; `step` runs it, `fn` and `args` are what it is compiled from. */
function training(side = 32) {
  const model = models.densenet_mini({ numClasses: 3 }).train();
  const opt = new optim.Adam(model.parameters());
  const fn = (x: Tensor, y: Tensor) => {
    const loss = nn.functional.crossEntropy(model.forward(x), y);
    opt.zeroGrad();
    loss.backward();
    void opt.step();
    return loss;
  };
  const args = [wave([4, 3, side, side]), tensor(Int32Array.of(0, 1, 2, 0))] as const;
  const compiled = compile(fn);
  return { model, fn, args, step: () => compiled(...args).item() };
}

describe("the plan's bytes", () => {
  it("are what the device was asked for, kind by kind", async () => {
    const { step } = training();
    let plans: Awaited<ReturnType<typeof plansOf>> = [];
    const made = await buffersMadeIn(async () => {
      plans = await plansOf(step);
    });
    expect(plans).toHaveLength(1);
    const said = planMemory(plans[0]);
    const sum = (fits: (label: string) => boolean) =>
      made.reduce((n, b) => n + (fits(b.label) ? b.size : 0), 0);
    const states = new Set(plans[0].states.map((r) => r.label));
    const kinds = {
      slots: sum((l) => l === "slot"),
      outputs: sum((l) => l.startsWith("output ")),
      hoisted: sum((l) => l.startsWith("hoisted ")),
      leaves: sum((l) => l.startsWith("leaf ")),
      uniforms: sum((l) => l === "uniforms"),
      state: sum((l) => states.has(l)),
    };
    expect(kinds).toEqual(said);
    for (const kind of ["slots", "outputs", "leaves", "uniforms", "state"] as const)
      expect(said[kind], kind).toBeGreaterThan(0);
    // Beside them there are only the ring, made with the device, and what the loss was read back through.
    const all = made.reduce((n, b) => n + b.size, 0);
    expect(all - sum((l) => l === "readback")).toBe(planBytes(plans[0]) + said.state);
    const { bufferBytes: held } = await stats();
    expect(held).toBe(all + bufferBytes(RING_SLOT * RING_SLOTS));
  });

  it("of slots are what the pool holds for the first plan; a smaller one takes them from there", async () => {
    const { model, step } = training();
    const [plan] = await plansOf(step);
    expect((await stats()).slotBytes).toBe(planMemory(plan).slots);
    const [small] = await plansOf(() => noGrad(() => model.eval().forward(wave([1, 3, 32, 32]))).data());
    expect(planMemory(small).slots).toBeGreaterThan(0);
    expect((await stats()).slotBytes).toBe(planMemory(plan).slots);
  });

  it("are checked when it is made ready: a plan that says too little is refused", async () => {
    const backend = await gpuBackend();
    const original = backend.plan;
    backend.plan = (cut) => ({ ...original.call(backend, cut), uniformBytes: 16 });
    await expect(wave([5, 5]).sin().data()).rejects.toThrow(
      /^plan: uniforms: 256 bytes were allocated, but the plan says 16$/,
    );
    backend.plan = original;
  });

  it("are what a device without so much is told of, and it keeps none of them", async () => {
    const { device } = (await gpuBackend()).gpu;
    const model = models.densenet_mini({ numClasses: 3 }).eval();
    const forward = () => noGrad(() => model.forward(wave([2, 3, 32, 32]))).data();
    const original = device.popErrorScope.bind(device);
    device.popErrorScope = async () => {
      await original();
      return { message: "no more" } as GPUError;
    };
    await expect(forward()).rejects.toThrow(
      /^the device has no memory for this step: its plan needs [\d.]+ [KM]iB beside the parameters \(no more\);/,
    );
    device.popErrorScope = original;
    expect((await stats()).slotBytes).toBe(0);
    const [plan] = await plansOf(async () =>
      expect([...(await forward())].every(Number.isFinite)).toBe(true),
    );
    expect((await stats()).slotBytes).toBe(planMemory(plan).slots);
  });

  it.runIf(has("reuseSlots"))("of slots are the least that whole buffers can do", async () => {
    const { fn, args } = training(64);
    const plan = await planOf(fn, ...args);
    const { slots } = planMemory(plan);
    expect(plan.peak.bytes).toBeLessThanOrEqual(plan.peak.whole);
    expect(plan.peak.whole).toBeLessThanOrEqual(slots);
    expect(slots).toBeLessThanOrEqual(1.01 * plan.peak.whole);
    const alive = aliveAtPeak(plan);
    expect(alive.reduce((n, a) => n + a.bytes, 0)).toBe(plan.peak.bytes);
    expect(alive[0].bytes).toBe(Math.max(...alive.map((a) => a.bytes)));
  });

  it("are printed", async () => {
    const { fn, args } = training();
    const plan = await planOf(fn, ...args);
    expect(printPlan(plan).split("\n").at(-1)).toMatch(
      /\d+ slots .* at least .* alive at the peak\), outputs .*, hoisted .*, leaves .*, uniforms .*; state /,
    );
  });
});

describe("planOf", () => {
  it("plans the step that then runs, and leaves no trace of itself", async () => {
    const { model, fn, args, step } = training();
    const before = await snapshot(model);
    const counts = await stats();
    const plan = await planOf(fn, ...args);
    expect(await stats()).toMatchObject({ dispatches: counts.dispatches, buffers: counts.buffers });
    expect(await snapshot(model)).toEqual(before);
    expect(model.parameters().every((p) => p.grad === null)).toBe(true);
    const [run] = await plansOf(step);
    expect(printPlan(run)).toBe(printPlan(plan));
  });

  it("is refused inside a step, which it would end", async () => {
    const inner: Promise<unknown>[] = [];
    const step = compile((x: Tensor) => {
      inner.push(planOf((z: Tensor) => z.sin(), x).catch((error: Error) => error.message));
      return x.cos();
    });
    await step(wave([3])).data();
    expect(await Promise.all(inner)).toEqual([
      "planOf: it was called inside a compiled step; call it outside",
    ]);
  });

  it("needs a device that makes plans", async () => {
    await close();
    await init({ device: "cpu" });
    await expect(planOf((x: Tensor) => x.sin(), wave([2]))).rejects.toThrow(
      /^planOf: the float64 interpreter makes no plans; use a GPU$/,
    );
  });
});
