// Every op × sample on the CPU, knowing no op by name: infer against ref, and vjp, interpreted in float64, against
// central differences of ref along random directions.
import { describe, expect, it } from "vitest";
import { sameShape } from "../../src/core/shape.ts";
import { type NDArray, ndarray } from "../../src/graph/array.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { Result, readResult } from "../../src/graph/leaf.ts";
import { apply, type Value } from "../../src/graph/node.ts";
import { type AnyOp, allOps, type Sample } from "../../src/graph/op.ts";
import "../../src/ops/index.ts";
import { randomLike, realInputs, sampleName } from "../lib/samples.ts";

const EPS = 1e-5;

/** Leaves for arrays, and the reader that gives the arrays back. */
function leaves(arrays: readonly NDArray[]): { values: Value[]; read: Map<object, NDArray> } {
  const read = new Map<object, NDArray>();
  const values = arrays.map((a) => {
    const result = new Result(a);
    read.set(result, a);
    return readResult(result);
  });
  return { values, read };
}

const real = (t: { dtype: string }) => t.dtype === "f32";

/** Σ cotangent · output over the float outputs of op at the inputs. */
function loss(
  op: AnyOp,
  inputs: readonly NDArray[],
  attrs: Sample["attrs"],
  cot: readonly NDArray[],
): number {
  const out = op.ref(inputs, attrs ?? {});
  let s = 0;
  out.forEach((y, k) => {
    if (real(y)) for (let i = 0; i < y.data.length; i++) s += y.data[i] * cot[k].data[i];
  });
  return s;
}

const zerosLike = (a: NDArray): NDArray => ({ ...a, data: new Float64Array(a.data.length) });

function shifted(a: NDArray, d: NDArray, by: number): NDArray {
  return ndarray(
    a.shape,
    a.data.map((v, i) => v + by * d.data[i]),
    a.dtype,
  );
}

describe.each(allOps().map((op) => [op.name, op] as const))("%s", (_name, op) => {
  it.each(op.samples.map((s, i) => [sampleName(s), s, i] as const))(
    "infer = shape of ref: %s",
    (_n, sample, index) => {
      const inputs = realInputs(op, sample, index);
      const types = op.infer(inputs, sample.attrs ?? {});
      const out = op.ref(inputs, sample.attrs ?? {});
      expect(out.length).toBe(types.length);
      out.forEach((y, k) => {
        expect(sameShape(y.shape, types[k].shape), `[${y.shape}] against [${types[k].shape}]`).toBe(true);
        expect(y.dtype).toBe(types[k].dtype);
        expect(y.data.length).toBe(types[k].shape.reduce((a, b) => a * b, 1));
      });
    },
  );

  const checked = op.samples
    .map((s, i) => [sampleName(s), s, i] as const)
    .filter(([, s]) => s.differentiable !== false);
  if (!op.vjp || checked.length === 0) return;

  it.each(checked)("vjp = central differences: %s", (_n, sample, index) => {
    const attrs = sample.attrs ?? {};
    const inputs = realInputs(op, sample, index);
    const outputs = op.ref(inputs, attrs);
    const cot = outputs.map((y, k) => randomLike(y.shape, 77, 10 * index + k));
    const { values, read } = leaves([...inputs, ...cot]);
    const xs = values.slice(0, inputs.length);
    const ys = apply(op, xs, attrs);
    const gy = ys.map((y, k) => (real(y) ? values[inputs.length + k] : null));
    const needs = xs.map(real);
    const grads = op.vjp!({ inputs: xs, outputs: ys, attrs, gy, needs });
    expect(grads.length).toBe(xs.length);
    for (let which = 0; which < xs.length; which++) {
      if (!needs[which] || op.constant?.includes(which)) continue;
      const g = grads[which];
      if (g)
        expect(
          sameShape(g.shape, xs[which].shape),
          `gradient ${which} is [${g.shape}] for [${xs[which].shape}]`,
        ).toBe(true);
      // None says that nothing hangs on this input.
      const [ga] = g ? interpret([g], (s) => read.get(s)!) : [zerosLike(inputs[which])];
      for (let trial = 0; trial < 2; trial++) {
        const dir = randomLike(xs[which].shape, 5, 100 * index + 10 * which + trial);
        const moved = (by: number) =>
          loss(
            op,
            inputs.map((a, i) => (i === which ? shifted(a, dir, by) : a)),
            attrs,
            cot,
          );
        const numeric = (moved(EPS) - moved(-EPS)) / (2 * EPS);
        const analytic = ga.data.reduce((s, v, i) => s + v * dir.data[i], 0);
        const scale = ga.data.reduce((s, v, i) => s + Math.abs(v * dir.data[i]), 0) + 1e-3;
        expect(
          Math.abs(numeric - analytic) / scale,
          `input ${which}: ${analytic} against ${numeric}`,
        ).toBeLessThan(1e-6);
      }
    }
  });

  it("builds no gradient that is not needed", () => {
    const [, sample, index] = checked[0];
    const attrs = sample.attrs ?? {};
    const inputs = realInputs(op, sample, index);
    const { values } = leaves([...inputs, ...op.ref(inputs, attrs)]);
    const xs = values.slice(0, inputs.length);
    const ys = apply(op, xs, attrs);
    const gy = ys.map((y, k) => (real(y) ? values[inputs.length + k] : null));
    for (let only = 0; only < xs.length; only++) {
      const grads = op.vjp!({ inputs: xs, outputs: ys, attrs, gy, needs: xs.map((_, i) => i === only) });
      grads.forEach((g, i) => {
        if (i !== only && xs.length > 1) expect(g === null, `input ${i} wants no gradient`).toBe(true);
      });
    }
  });
});
