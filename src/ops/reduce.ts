// Reductions over axes: sum, amax, amin. y[o] = ⊕ over r of x[o, r], in a fixed order: each lane walks r with the
// stride of its workgroup, a tree joins the lanes, and long reductions to few outputs are cut into chunks that a
// second dispatch joins. So a result is the same bits on every run.

import { ShapeError } from "../core/error.ts";
import { numel, type Shape, show, stridesOf, type TypeOf } from "../core/shape.ts";
import { forEachIndex, type NDArray, ndarray, offsetOf } from "../graph/array.ts";
import type { Attrs, Value } from "../graph/node.ts";
import { type Call, type Dispatch, defineOp, type SplitAxis } from "../graph/op.ts";
import { call, div, expand, mul, reshape, sum } from "./build.ts";
import {
  ceilDiv,
  collapse,
  componentwise,
  foldGrid,
  group,
  lanes,
  operandStrides,
  pad8,
  rankParam,
  type Shares,
  vectorOf,
} from "./layout.ts";
import { joinParts, reduceOutput } from "./reduce_parts.ts";
import { WIDE_FROM } from "./runs.ts";

interface ReduceAttrs extends Attrs {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

function reducedShape(shape: Shape, a: ReduceAttrs): number[] {
  if (a.keepDims) return shape.map((d, i) => (a.axes.includes(i) ? 1 : d));
  return shape.filter((_, i) => !a.axes.includes(i));
}

const kept = (shape: Shape, a: ReduceAttrs) => shape.map((d, i) => (a.axes.includes(i) ? 1 : d));
const count = (shape: Shape, a: ReduceAttrs) => a.axes.reduce((n, d) => n * shape[d], 1);

function reduceRef(x: NDArray, a: ReduceAttrs, init: number, f: (acc: number, v: number) => number): NDArray {
  const keep = kept(x.shape, a);
  const strides = stridesOf(keep).map((s, d) => (a.axes.includes(d) ? 0 : s));
  const out = new Float64Array(numel(keep)).fill(init);
  forEachIndex(x.shape, (index, flat) => {
    const o = offsetOf(index, strides);
    out[o] = f(out[o], x.data[flat]);
  });
  return ndarray(reducedShape(x.shape, a), out);
}

interface Combine {
  readonly init: string;
  readonly combine: string;
}

/** How many chunks a long reduction to few outputs is cut into. */
function chunksOf(outputs: number, length: number, software: boolean): number {
  const wanted = ceilDiv(software ? 8 : 512, outputs);
  return Math.max(1, Math.min(wanted, Math.floor(length / 4096)));
}

const hooksOf = (how: Combine) => ({ init: `return ${how.init};`, combine: `return ${how.combine};` });

/** The hooks on vec4. */
const FOUR = {
  both: componentwise("V", (d) => `combine(a${d}, b${d})`),
  total: "return combine(combine(v.x, v.y), combine(v.z, v.w));",
};

function stage(c: Call<ReduceAttrs>, how: Combine, shares: Shares, chunks: number): Dispatch {
  const [x] = c.inputs;
  const { axes } = c.attrs;
  const strides = operandStrides(x);
  const pick = (inside: boolean) => x.shape.map((_, d) => d).filter((d) => axes.includes(d) === inside);
  const side = (list: number[]) =>
    collapse(
      list.map((d) => x.shape[d]),
      [list.map((d) => strides[d])],
    );
  const o = side(pick(false));
  const r = side(pick(true));
  const outputs = numel(o.shape);
  const step = r.strides[0].at(-1) ?? 0;
  const apart = [x.offset, ...o.strides[0], ...r.strides[0].slice(0, -1)];
  const last = r.shape.at(-1) ?? 1;
  const four = step === 1 && numel(x.shape) >= WIDE_FROM && [last, ...apart].every((v) => v % 4 === 0);
  const unit = four ? 4 : 1;
  const inner = last / unit;
  const length = numel(r.shape) / unit;
  const rows = r.shape.slice(0, -1);
  const counted = (strides: readonly number[]) =>
    pad8(
      strides.map((v) => v / unit),
      0,
    );
  return {
    shader: "reduce",
    params: { ...shares, RANK: rankParam(Math.max(o.shape.length, rows.length)) },
    types: { V: vectorOf(unit) },
    hooks: { ...hooksOf(how), ...(four ? FOUR : {}) },
    bind: { x: { in: 0 }, y: chunks > 1 ? { scratch: "partial" } : { out: 0 } },
    uniforms: {
      outputs,
      length,
      inner: Math.max(1, inner),
      step,
      chunks,
      per: ceilDiv(length, chunks),
      x0: x.offset / unit,
      ...(chunks > 1 ? { y0: 0, yrow: outputs * chunks, yn: 0 } : reduceOutput(c.outputs[0])),
      oshape: pad8(o.shape, 1),
      rshape: pad8(rows, 1),
      os: counted(o.strides[0]),
      rs: counted(r.strides[0].slice(0, -1)),
    },
    grid: foldGrid(ceilDiv(outputs * chunks, shares.LANES), c.device),
  };
}

/** Whether a lane for each output is best: there are enough of them and, on GPUs, neighbours read neighbours. */
function prefersLanes({ inputs: [x], attrs, device }: Call<ReduceAttrs>, outputs: number): boolean {
  if (device.software) return outputs >= 32;
  return outputs >= 1024 && !attrs.axes.includes(x.shape.length - 1);
}

function reduceKernels(how: Combine) {
  const chunked = (c: Call<ReduceAttrs>) => {
    const [x] = c.inputs;
    const length = count(x.shape, c.attrs);
    return {
      outputs: numel(x.shape) / length,
      chunks: chunksOf(numel(x.shape) / length, length, c.device.software),
    };
  };
  return [
    {
      name: "serial",
      score: (c: Call<ReduceAttrs>) => (prefersLanes(c, chunked(c).outputs) ? 2 : 0),
      dispatches: (c: Call<ReduceAttrs>) => [stage(c, how, lanes(c.device), 1)],
    },
    {
      name: "tree",
      when: (c: Call<ReduceAttrs>) => count(c.inputs[0].shape, c.attrs) >= 16,
      score: () => 1,
      scratch: (c: Call<ReduceAttrs>): Record<string, number> => {
        const { outputs, chunks } = chunked(c);
        return chunks > 1 ? { partial: outputs * chunks } : {};
      },
      dispatches: (c: Call<ReduceAttrs>) => {
        const { chunks } = chunked(c);
        const first = stage(c, how, group(c.device), chunks);
        const parts = { scratch: "partial", count: chunks, strides: [chunks, 1] as const };
        return chunks > 1 ? [first, joinParts(parts, c.outputs[0], c.device, hooksOf(how))] : [first];
      },
    },
  ];
}

function infer(name: string, [x]: readonly TypeOf[], a: ReduceAttrs): TypeOf[] {
  if (x.dtype !== "f32" || x.shape.length > 8)
    throw new ShapeError(`${name}: takes an f32 tensor of at most 8 dimensions, got ${show(x)}`);
  // A sum of nothing is 0; there is no largest of nothing.
  if (name !== "sum" && count(x.shape, a) === 0 && numel(reducedShape(x.shape, a)) > 0)
    throw new ShapeError(`${name}: nothing to reduce in ${show(x)}`);
  return [{ shape: reducedShape(x.shape, a), dtype: "f32" }];
}

/** Kept axes are cut side by side; reduced ones by the op itself, where parts can be added. */
function split(inputs: readonly TypeOf[], a: ReduceAttrs, addable: boolean): SplitAxis[] {
  let out = 0;
  return inputs[0].shape.map((extent, d) => {
    const reduced = a.axes.includes(d);
    const own = reduced && !a.keepDims ? null : out++;
    if (!reduced) return { extent, inputs: [d], outputs: [own], merge: "concat" as const };
    return { extent: addable ? extent : 1, inputs: [d], outputs: [null], merge: "sum" as const };
  });
}

const SAMPLES = [
  { inputs: [{ shape: [3, 5, 2] }], attrs: { axes: [1], keepDims: false } },
  { inputs: [{ shape: [2, 3, 4, 4] }], attrs: { axes: [0, 2, 3], keepDims: false } },
  { inputs: [{ shape: [3, 37] }], attrs: { axes: [1], keepDims: true } },
  { note: "whole vec4", inputs: [{ shape: [2, 3, 30, 24] }], attrs: { axes: [0, 2, 3], keepDims: false } },
  { inputs: [{ shape: [7] }], attrs: { axes: [0], keepDims: false } },
  { inputs: [{ shape: [] }], attrs: { axes: [], keepDims: false } },
];

/** Sums of nothing, along an axis that is walked and along one that is kept. */
const EMPTY = [
  { inputs: [{ shape: [3, 0] }], attrs: { axes: [1], keepDims: false } },
  { inputs: [{ shape: [0, 2] }], attrs: { axes: [0], keepDims: true } },
];

defineOp<ReduceAttrs>({
  name: "sum",
  infer: (inputs, a) => infer("sum", inputs, a),
  ref: ([x], a) => [reduceRef(x, a, 0, (s, v) => s + v)],
  vjp: ({ inputs: [x], attrs: a, gy: [g] }) => [g && expand(reshape(g, kept(x.shape, a)), x.shape)],
  terms: ([x], a) => count(x.shape, a),
  exact: true,
  cost: ([x]) => ({ flops: numel(x.shape) }),
  kernels: reduceKernels({ init: "0.0", combine: "a + b" }),
  samples: [
    ...SAMPLES,
    ...EMPTY,
    {
      note: "chunked",
      inputs: [{ shape: [2, 20000] }],
      attrs: { axes: [1], keepDims: false },
      differentiable: false,
    },
  ],
  split: (inputs, _o, a) => split(inputs, a, true),
});

/** PyTorch's amax/amin: tied extremes share the gradient evenly. */
function extremeGrad(x: Value, y: Value, g: Value, a: ReduceAttrs): Value {
  const wide = (v: Value) => expand(reshape(v, kept(x.shape, a)), x.shape);
  const hit = call("eq", [x, wide(y)]);
  return mul(hit, wide(div(g, reshape(sum(hit, a.axes, true), g.shape))));
}

for (const [name, init, pick] of [
  ["amax", Number.NEGATIVE_INFINITY, Math.max],
  ["amin", Number.POSITIVE_INFINITY, Math.min],
] as const) {
  defineOp<ReduceAttrs>({
    name,
    infer: (inputs, a) => infer(name, inputs, a),
    ref: ([x], a) => [reduceRef(x, a, init, (m, v) => pick(m, v))],
    vjp: ({ inputs: [x], outputs: [y], attrs: a, gy: [g] }) => [g && extremeGrad(x, y, g, a)],
    exact: true,
    cost: ([x]) => ({ flops: numel(x.shape) }),
    kernels: reduceKernels({
      init: name === "amax" ? "-make_inf(z)" : "make_inf(z)",
      combine: name === "amax" ? "max_bits(a, b)" : "min_bits(a, b)",
    }),
    samples: [
      ...SAMPLES.map((s) => ({ ...s, inputs: [{ ...s.inputs[0], distinct: true }] })),
      {
        note: "NaN and infinities",
        inputs: [
          {
            shape: [3, 2],
            values: [
              Number.NaN,
              1,
              Number.NEGATIVE_INFINITY,
              Number.NEGATIVE_INFINITY,
              Number.POSITIVE_INFINITY,
              2,
            ],
          },
        ],
        attrs: { axes: [1], keepDims: false },
        differentiable: false,
      },
    ],
    split: (inputs, _o, a) => split(inputs, a, false),
  });
}
