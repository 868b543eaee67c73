// Elementwise ops with broadcasting: y[i] = f(a[i], b[i], c[i]). Every op is a row of a table (unary.ts, binary.ts);
// this file makes from a row the op, its gradient op and their two kernels (elementwise.wgsl for any strides,
// elementwise_vec4.wgsl for dense operands).

import type { DType } from "../core/dtype.ts";
import { ShapeError } from "../core/error.ts";
import { broadcastShapes, broadcastStrides, numel, show, type TypeOf } from "../core/shape.ts";
import { forEachIndex, type NDArray, ndarray, offsetOf } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import type { Bound, Call, Dispatch, Kernel, SplitAxis } from "../graph/op.ts";
import {
  ceilDiv,
  collapse,
  componentwise,
  foldGrid,
  isDense,
  pad8,
  rankParam,
  rowSize,
  stridesAs,
  vectorOf,
  workgroupSize,
} from "./layout.ts";
import { NOWHERE, type Placed, runsOf, type Strided, UNUSED } from "./runs.ts";

const WGSL: Readonly<Record<DType, string>> = { f32: "f32", i32: "i32", u32: "u32", u8: "u32" };
const LETTERS = ["a", "b", "c"] as const;

/** The common dtype of the operands, or an error naming the op. */
export function commonDtype(name: string, inputs: readonly TypeOf[], allowed: readonly DType[]): DType {
  const dtype = inputs[0].dtype;
  if (!allowed.includes(dtype) || inputs.some((t) => t.dtype !== dtype)) {
    throw new ShapeError(
      `${name}: takes ${allowed.join(" or ")} tensors of one dtype, got ${inputs.map(show).join(" and ")}`,
    );
  }
  return dtype;
}

export function broadcastInfer(name: string, inputs: readonly TypeOf[]): number[] {
  const shape = broadcastShapes(
    inputs.map((t) => t.shape),
    name,
  );
  if (shape.length > 8) throw new ShapeError(`${name}: at most 8 dimensions, got ${show(inputs[0])}`);
  return shape;
}

/** The float64 loop behind every elementwise reference. */
export function mapBroadcast(
  inputs: readonly NDArray[],
  dtype: DType,
  f: (...v: number[]) => number,
): NDArray {
  const shape = broadcastShapes(
    inputs.map((t) => t.shape),
    "elementwise",
  );
  const strides = inputs.map((t) => broadcastStrides(t.shape, shape));
  const out = new Float64Array(numel(shape));
  const args = new Array<number>(inputs.length);
  forEachIndex(shape, (index, flat) => {
    for (let k = 0; k < inputs.length; k++) args[k] = inputs[k].data[offsetOf(index, strides[k])];
    out[flat] = f(...args);
  });
  return ndarray(shape, out, dtype);
}

export interface Expression {
  /** WGSL of the operands, called by `names`, and of the scalars s0, s1; perhaps one for each dtype of the operands. */
  readonly wgsl: string | ((dtype: DType) => string);
  readonly names: readonly string[];
  /** Values of s0 and s1. */
  readonly scalars?: (attrs: Attrs) => readonly number[];
}

const rows = new Map<string, Expression>();

/** What the elementwise op of that name computes; undefined for other ops. */
export const elementwiseRow = (op: string): Expression | undefined => rows.get(op);

/** WGSL of a row for operands of that type. */
export const wgslOf = (e: Expression, dtype: DType): string =>
  typeof e.wgsl === "string" ? e.wgsl : e.wgsl(dtype);

/** Bodies of the hooks: `f` names its operands as the row does; unused operands keep the default loads. */
function hooks(e: Expression, call: Call): Record<string, string> {
  const names = e.names.map((name, i) => `let ${name} = p${i};`).join(" ");
  const out: Record<string, string> = { f: `${names} return ${wgslOf(e, call.inputs[0]?.dtype ?? "f32")};` };
  for (const letter of LETTERS.slice(1, call.inputs.length)) out[`load_${letter}`] = `return ${letter}[i];`;
  return out;
}

function types(call: Call): Record<string, string> {
  const out: Record<string, string> = { TY: WGSL[call.outputs[0].dtype] };
  LETTERS.forEach((_, i) => {
    out[`T${"ABC"[i]}`] = WGSL[call.inputs[i]?.dtype ?? "f32"];
  });
  return out;
}

function binds(call: Call): Record<string, Bound> {
  const bind: Record<string, Bound> = { y: { out: 0 } };
  call.inputs.forEach((_, i) => {
    bind[LETTERS[i]] = { in: i };
  });
  return bind;
}

/** One strided pass; also permute, expand and every copy, with strides of their own. */
export function stridedDispatch(
  e: Expression,
  call: Call,
  shape: readonly number[],
  inputs: readonly Strided[],
  outStrides?: readonly number[],
): Dispatch {
  const y = call.outputs[0];
  const all = [...inputs, { offset: y.offset, strides: outStrides ?? stridesAs(y, shape) }];
  const merged = collapse(
    shape,
    all.map((o) => o.strides),
  );
  const placed = all.map(({ offset }, i) => ({ offset, strides: merged.strides[i] }));
  // Software devices are slow at the divisions that find a place.
  const pass = call.device.software ? inRuns : oneByOne;
  return pass(e, call, merged.shape, placed.slice(0, -1), placed[inputs.length]);
}

type StridedPass = (
  e: Expression,
  call: Call,
  shape: readonly number[],
  inputs: readonly Strided[],
  y: Strided,
) => Dispatch;

const oneByOne: StridedPass = (e, call, shape, inputs, y) => {
  const [s0 = 0, s1 = 0] = e.scalars?.(call.attrs) ?? [];
  const [a, b, c] = [0, 1, 2].map((i) => inputs[i] ?? NOWHERE);
  const WG = workgroupSize(call.device);
  const UNROLL = 4;
  return {
    shader: "elementwise",
    params: { WG, UNROLL, RANK: rankParam(shape.length) },
    types: types(call),
    hooks: { ...hooks(e, call), ...(inputs.length === 0 ? { load_a: "return TA(0);" } : {}) },
    bind: binds(call),
    uniforms: {
      total: numel(shape),
      a0: a.offset,
      b0: b.offset,
      c0: c.offset,
      y0: y.offset,
      s0,
      s1,
      pad: 0,
      shape: pad8(shape, 1),
      as_: pad8(a.strides, 0),
      bs: pad8(b.strides, 0),
      cs: pad8(c.strides, 0),
      ys: pad8(y.strides, 0),
    },
    grid: foldGrid(ceilDiv(numel(shape), WG * UNROLL), call.device),
  };
};

const inRuns: StridedPass = (e, call, shape, inputs, y) => {
  const [s0 = 0, s1 = 0] = e.scalars?.(call.attrs) ?? [];
  const WG = workgroupSize(call.device);
  const { four, extents, outer, placed } = runsOf(shape, [...inputs, y]);
  const [a, b, c] = [0, 1, 2].map((i) => (i < inputs.length ? placed[i] : UNUSED));
  const out = placed[inputs.length];
  return {
    shader: "elementwise_runs",
    params: { WG, RANK: rankParam(outer.length) },
    types: { ...types(call), ...vectorTypes(call, four, [a, b, c, out]) },
    hooks: { ...runHooks(e, call), ...(four ? { all: FOUR } : {}) },
    bind: binds(call),
    uniforms: {
      ...extents,
      a0: a.offset,
      b0: b.offset,
      c0: c.offset,
      y0: out.offset,
      ai: a.step,
      bi: b.step,
      ci: c.step,
      yi: out.step,
      s0,
      s1,
      pad0: 0,
      pad1: 0,
      shape: pad8(outer, 1),
      as_: pad8(a.strides, 0),
      bs: pad8(b.strides, 0),
      cs: pad8(c.strides, 0),
      ys: pad8(out.strides, 0),
    },
    grid: foldGrid(ceilDiv(extents.total, WG), call.device),
  };
};

/** The body of `all` on vec4s. */
const FOUR = componentwise("VY", (d) => `f(p${d}, q${d}, r${d}, u.s0, u.s1)`);

/** What is computed with (V) and what the arrays hold (X), by operand. */
function vectorTypes(call: Call, four: boolean, placed: readonly Placed[]): Record<string, string> {
  const scalar = types(call);
  const out: Record<string, string> = {};
  ["A", "B", "C", "Y"].forEach((letter, i) => {
    const element = scalar[`T${letter}`];
    out[`V${letter}`] = vectorOf(four ? 4 : 1, element);
    out[`X${letter}`] = vectorOf(placed[i].unit, element);
  });
  return out;
}

function runHooks(e: Expression, call: Call): Record<string, string> {
  const out = hooks(e, call);
  if (call.inputs.length === 0) out.load_a = "return VA(0);";
  for (const letter of LETTERS.slice(1, call.inputs.length))
    out[`load_${letter}`] = `return V${letter.toUpperCase()}(${letter}[i]);`;
  return out;
}

/** Dense f32 operands of the output's shape whose rows are whole vec4. */
function vec4Fits(call: Call): boolean {
  const y = call.outputs[0];
  const row = rowSize(y.shape);
  return [...call.inputs, y].every(
    (o) =>
      o.dtype === "f32" &&
      o.shape.length === y.shape.length &&
      o.shape.every((d, i) => d === y.shape[i]) &&
      o.offset % 4 === 0 &&
      (isDense(o) ? numel(y.shape) % 4 === 0 : row % 4 === 0 && o.batchStride % 4 === 0),
  );
}

function vec4Dispatch(e: Expression, call: Call): Dispatch {
  const y = call.outputs[0];
  const all = [...call.inputs, y];
  const dense = all.every(isDense);
  const total4 = numel(y.shape) / 4;
  const row4 = dense ? total4 : rowSize(y.shape) / 4;
  const scalars = e.scalars?.(call.attrs) ?? [];
  const WG = workgroupSize(call.device);
  const UNROLL = 4;
  const place = (o: (typeof all)[number] | undefined) =>
    o ? [o.offset / 4, dense || isDense(o) ? row4 : o.batchStride / 4] : [0, 0];
  const [a, b, c] = [0, 1, 2].map((i) => place(call.inputs[i]));
  const [y0, yn] = place(y);
  return {
    shader: "elementwise_vec4",
    params: { WG, UNROLL },
    hooks: hooks(e, call),
    bind: binds(call),
    uniforms: {
      total4,
      row4,
      a0: a[0],
      an: a[1],
      b0: b[0],
      bn: b[1],
      c0: c[0],
      cn: c[1],
      y0,
      yn,
      s0: scalars[0] ?? 0,
      s1: scalars[1] ?? 0,
    },
    grid: foldGrid(ceilDiv(total4, WG * UNROLL), call.device),
  };
}

const kernelsOf = (e: Expression): readonly Kernel[] => [
  {
    name: "strided",
    dispatches: (call) => {
      const shape = call.outputs[0].shape;
      const inputs = call.inputs.map((o) => ({ offset: o.offset, strides: stridesAs(o, shape) }));
      return [stridedDispatch(e, call, shape, inputs)];
    },
  },
  {
    name: "vec4",
    when: vec4Fits,
    score: (c) => (c.device.software ? -1 : 1),
    dispatches: (call) => [vec4Dispatch(e, call)],
  },
];

/** The two kernels of the elementwise op `name`, whose row chains may then use. */
export function elementwiseKernels(name: string, e: Expression): readonly Kernel[] {
  rows.set(name, e);
  return kernelsOf(e);
}

/** The same kernels for an op that is computed in the buffer of its first operand, a: it is read from there. */
export function inPlaceKernels(e: Expression): readonly Kernel[] {
  const held = (call: Call): Call => ({ ...call, inputs: [call.outputs[0], ...call.inputs.slice(1)] });
  return kernelsOf(e).map((kernel) => ({
    ...kernel,
    inPlace: [[0, 0]],
    when: kernel.when && ((call) => kernel.when?.(held(call)) === true),
    dispatches: (call) =>
      kernel.dispatches(held(call)).map((d) => {
        const { a: _, ...bind } = d.bind;
        return { ...d, bind, hooks: { ...d.hooks, load_a: "return y[i];" } };
      }),
  }));
}

/** Elementwise work can be cut along any axis; operands that repeat along it go whole to every part. */
export function elementwiseSplit(
  inputs: readonly TypeOf[],
  outputs: readonly TypeOf[],
): readonly SplitAxis[] {
  const shape = outputs[0].shape;
  return shape.map((extent, d) => ({
    extent,
    inputs: inputs.map((t) => {
      const own = d - (shape.length - t.shape.length);
      return own < 0 || t.shape[own] === 1 ? null : own;
    }),
    outputs: outputs.map(() => d),
    merge: "concat" as const,
  }));
}
