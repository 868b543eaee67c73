// softmax — y[r] = exp(x[r] - m) / Σ exp(x - m) along one axis, m the largest; logSoftmax — its logarithm.
// Their gradients: softmax gx = y·(g - Σ g·y), logSoftmax gx = g - exp(y)·Σ g.

import { ulp } from "../core/accuracy.ts";
import { ShapeError } from "../core/error.ts";
import { numel, show } from "../core/shape.ts";
import { type NDArray, ndarray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { type Call, type Dispatch, defineOp, type SplitAxis } from "../graph/op.ts";
import { call } from "./build.ts";
import { foldGrid, operandStrides, workgroupSize } from "./layout.ts";

interface AxisAttrs extends Attrs {
  readonly axis: number;
}

/** Applies `f` to every line along the axis: line values in, line values out. */
function mapLines(
  xs: readonly NDArray[],
  axis: number,
  f: (...lines: Float64Array[]) => Float64Array,
): NDArray {
  const [x] = xs;
  const n = x.shape[axis];
  const inner = numel(x.shape.slice(axis + 1));
  const out = new Float64Array(x.data.length);
  for (let row = 0; row < out.length / n; row++) {
    const base = Math.floor(row / inner) * n * inner + (row % inner);
    const lines = xs.map((a) => Float64Array.from({ length: n }, (_, r) => a.data[base + r * inner]));
    f(...lines).forEach((v, r) => {
      out[base + r * inner] = v;
    });
  }
  return ndarray(x.shape, out);
}

const total = (v: Float64Array) => v.reduce((s, e) => s + e, 0);

function softmaxLine(x: Float64Array): Float64Array {
  const m = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const e = x.map((v) => Math.exp(v - m));
  const s = total(e);
  return e.map((v) => v / s);
}

function logSoftmaxLine(x: Float64Array): Float64Array {
  const m = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const s = Math.log(total(x.map((v) => Math.exp(v - m))));
  return x.map((v) => v - m - s);
}

function dispatch(c: Call<AxisAttrs>, shader: string, bind: Dispatch["bind"]): Dispatch {
  const [x] = c.inputs;
  const { axis } = c.attrs;
  const inner = numel(x.shape.slice(axis + 1));
  const rows = numel(x.shape) / x.shape[axis];
  const WG = workgroupSize(c.device);
  const place = (o: (typeof c.inputs)[number]) => ({
    offset: o.offset,
    batch: axis === 0 ? 0 : operandStrides(o)[0],
  });
  const [a, b, y] = [c.inputs[0], c.inputs[c.inputs.length - 1], c.outputs[0]].map(place);
  return {
    shader,
    params: { WG },
    bind,
    uniforms: {
      rows,
      length: x.shape[axis],
      inner,
      first: axis === 0 ? 1 : numel(x.shape.slice(1, axis)),
      a0: a.offset,
      an: a.batch,
      b0: b.offset,
      bn: b.batch,
      y0: y.offset,
      yn: y.batch,
      // Rows of axis 0 keep their stride when axis 0 itself is reduced.
      as_: operandStrides(c.inputs[0])[axis],
      bs: operandStrides(c.inputs[c.inputs.length - 1])[axis],
      ys: operandStrides(c.outputs[0])[axis],
    },
    grid: foldGrid(rows, c.device),
  };
}

function split(shape: readonly number[], axis: number, operands: number): SplitAxis[] {
  return shape.map((extent, d) => ({
    extent: d === axis ? 1 : extent,
    inputs: new Array<number>(operands).fill(d),
    outputs: [d],
    merge: "concat" as const,
  }));
}

const SAMPLES = [
  { inputs: [{ shape: [3, 7], low: -5, high: 5 }], attrs: { axis: 1 } },
  { inputs: [{ shape: [2, 5, 3] }], attrs: { axis: 1 } },
  { inputs: [{ shape: [4, 3] }], attrs: { axis: 0 } },
  { inputs: [{ shape: [2, 150], low: -20, high: 20 }], attrs: { axis: 1 } },
  {
    note: "NaN and large values",
    inputs: [
      { shape: [3, 3], values: [Number.NaN, 1, 2, 1000, 1000, -1000, Number.NEGATIVE_INFINITY, 0, 1] },
    ],
    attrs: { axis: 1 },
    differentiable: false,
  },
];

/** exp's error at x - m, and the rounding of x - m itself, relative to the result. */
const spread = (x: NDArray) =>
  x.data.reduce((m, v) => (Number.isFinite(v) ? Math.max(m, Math.abs(v)) : m), 0);

for (const log of [false, true]) {
  const name = log ? "logSoftmax" : "softmax";
  const line = log ? logSoftmaxLine : softmaxLine;
  defineOp<AxisAttrs>({
    name,
    infer: ([x], { axis }) => {
      if (x.dtype !== "f32" || !(x.shape[axis] > 0))
        throw new ShapeError(`${name}: takes an f32 tensor with a non-empty axis ${axis}, got ${show(x)}`);
      return [{ shape: x.shape, dtype: "f32" }];
    },
    ref: ([x], { axis }) => [mapLines([x], axis, line)],
    vjp: ({ outputs: [y], attrs, gy: [g] }) => [g && call(`${name}Grad`, [g, y], attrs)],
    terms: ([x], { axis }) => x.shape[axis],
    magnitude: ([x], { axis }) => [
      mapLines([x], axis, (l) => {
        const y = line(l);
        return log ? y.map((v, i) => Math.abs(v) + Math.abs(l[i])) : y;
      }),
    ],
    builtin: ([x], [y]) => {
      const m = spread(x);
      return [y.data.map((v) => (log ? 2 ** -21 + (8 + 4 * m) * ulp(1) : (10 + 6 * m) * ulp(v)))];
    },
    cost: ([x]) => ({ flops: 5 * numel(x.shape) }),
    kernels: [
      {
        name: "row",
        dispatches: (c) => {
          const d = dispatch(c, "softmax", { x: { in: 0 }, y: { out: 0 } });
          const finish = log ? "return (v - m) - safe_log(s);" : "return safe_exp(v - m) / s;";
          return [
            { ...d, hooks: { largest: "return max_bits(a, b);", power: "return safe_exp(x);", finish } },
          ];
        },
      },
    ],
    samples: SAMPLES,
    split: ([x], _o, { axis }) => split(x.shape, axis, 1),
  });

  defineOp<AxisAttrs>({
    name: `${name}Grad`,
    infer: ([g]) => [{ shape: g.shape, dtype: "f32" }],
    ref: ([g, y], { axis }) => [
      mapLines([g, y], axis, (gl, yl) => {
        const s = log ? total(gl) : total(gl.map((v, i) => v * yl[i]));
        return gl.map((v, i) => (log ? v - Math.exp(yl[i]) * s : yl[i] * (v - s)));
      }),
    ],
    terms: ([g], { axis }) => g.shape[axis],
    magnitude: ([g, y], { axis }) => [
      mapLines([g, y], axis, (gl, yl) => {
        const s = total(gl.map((v, i) => Math.abs(v) * (log ? 1 : Math.abs(yl[i]))));
        return gl.map((v, i) =>
          log ? Math.abs(v) + Math.exp(yl[i]) * s : Math.abs(yl[i]) * (Math.abs(v) + s),
        );
      }),
    ],
    builtin: ([g, y], _o, { axis }) => [
      log
        ? mapLines([g, y], axis, (gl, yl) => {
            const s = total(gl.map(Math.abs));
            return yl.map((v) => s * (3 + 2 * Math.abs(v)) * ulp(Math.exp(v)));
          }).data
        : new Float64Array(g.data.length),
    ],
    cost: ([g]) => ({ flops: 4 * numel(g.shape) }),
    kernels: [
      {
        name: "row",
        dispatches: (c) => {
          const d = dispatch(c, "softmax_grad", { g: { in: 0 }, v: { in: 1 }, y: { out: 0 } });
          const hooks = log
            ? { weight: "return g;", finish: "return g - safe_exp(v) * s;" }
            : { weight: "return g * v;", finish: "return v * (g - s);" };
          return [{ ...d, hooks }];
        },
      },
    ],
    samples: [
      {
        inputs: [{ shape: [3, 7] }, { shape: [3, 7], low: log ? -4 : 0, high: log ? 0 : 1 }],
        attrs: { axis: 1 },
      },
      {
        inputs: [{ shape: [2, 5, 3] }, { shape: [2, 5, 3], low: log ? -4 : 0, high: log ? 0 : 1 }],
        attrs: { axis: 1 },
      },
      {
        inputs: [{ shape: [2, 150] }, { shape: [2, 150], low: log ? -4 : 0, high: log ? 0 : 1 }],
        attrs: { axis: 1 },
      },
    ],
    split: ([g], _o, { axis }) => split(g.shape, axis, 2),
  });
}
