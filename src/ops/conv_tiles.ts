// The two register tiles that convolutions share: `pointwise` for 1×1 (and its input gradient, with the weight
// strides swapped) and `strip` for any kernel without groups (and its input gradient at stride 1, taps backwards).

import type { Call, Dispatch } from "../graph/op.ts";
import type { GemmCall } from "./gemm_call.ts";
import { ceilDiv, vectorOf, workgroupSize } from "./layout.ts";

/** Where bias, scale, shift and what is added begin in their bindings, and how far the pictures of the latter lie apart. */
export interface VectorOffsets {
  readonly b0: number;
  readonly r0: number;
  readonly rn: number;
  readonly scale0: number;
  readonly shift0: number;
}

export const NO_VECTORS: VectorOffsets = { b0: 0, r0: 0, rn: 0, scale0: 0, shift0: 0 };

/** For bindings whose elements are `v` values. */
const inUnits = (o: VectorOffsets, v: number): VectorOffsets => ({ ...o, r0: o.r0 / v, rn: o.rn / v });

interface Placed {
  readonly offset: number;
  readonly batchStride: number;
}

/** Whether all begin at whole vec4s, and so do their rows. */
const aligned = (list: readonly (Placed | undefined)[]): boolean =>
  list.every((o) => o === undefined || (o.offset % 4 === 0 && o.batchStride % 4 === 0));

/** What the pointwise tile needs of x [n,k,·] and y [n,m,·]: also used by the input gradient. */
export interface PointwiseCall {
  readonly n: number;
  readonly k: number;
  readonly m: number;
  readonly plane: number;
  readonly x: Placed;
  readonly y: Placed;
  /** What is added before the store. */
  readonly residual?: Placed;
}

/** The same as a product for tiles in workgroup memory: y[m,·] = Σ_k w(m,k)·x[k,·] over the pixels of all pictures. */
export function pointwiseProduct(p: PointwiseCall, w: { w0: number; wk: number; wm: number }): GemmCall {
  return {
    e: { m: p.m, n: p.n * p.plane, k: p.k, batch: 1 },
    a: { at: w.w0, batch: 0, outer: w.wm, k: w.wk },
    b: { at: p.x.offset, batch: 0, outer: 1, k: p.plane },
    y: { at: p.y.offset, batch: 0, row: p.plane },
    columns: { plane: p.plane, b: p.x.batchStride, y: p.y.batchStride },
  };
}

export function pointwiseFits(p: PointwiseCall): boolean {
  return p.plane % 4 === 0 && aligned([p.x, p.y, p.residual]);
}

/** Output channels in registers, input channels at a time. */
export const POINTWISE_SPACE = { TG: [4, 2, 1], KU: [4, 2, 1] } as const;

export const pointwisePick = (m: number): { TG: number; KU: number } => ({
  TG: m > 16 ? 4 : m > 8 ? 2 : 1,
  KU: 4,
});

const weave = (f: (i: number) => string) => [0, 1, 2, 3].map(f).join(", ");

/** Loads and stores of four neighbouring pixels one by one, those beyond the plane's end left out. */
const BY_PIXEL = {
  load: `return vec4<f32>(${weave((i) => `x[at + min(${i}u, left - 1u)]`)});`,
  load_residual: `return vec4<f32>(${weave((i) => `residual[at + min(${i}u, left - 1u)]`)});`,
  store: [0, 1, 2, 3].map((i) => `if (${i}u < left) { y[at + ${i}u] = v[${i}]; }`).join(" "),
};

/** The tile for devices with subgroups, for planes and offsets of any size. */
export function pointwiseSgDispatch(
  p: PointwiseCall,
  c: { params: Call["params"] },
  weights: { w0: number; wk: number; wm: number },
  rest: Pick<Dispatch, "hooks" | "bind"> & { readonly vectors: VectorOffsets },
): Dispatch {
  const { TG, KU } = c.params;
  const vec = pointwiseFits(p);
  const v = vec ? 4 : 1;
  const strips = ceilDiv(p.plane, 4);
  return {
    shader: "conv2d_pointwise_sg",
    params: { TG, KU, TAIL: p.k % KU === 0 ? 0 : 1 },
    types: { X: vectorOf(vec ? 4 : 1) },
    hooks: { ...rest.hooks, ...(vec ? {} : BY_PIXEL) },
    bind: rest.bind,
    uniforms: {
      k: p.k,
      m: p.m,
      strips,
      plane: p.plane / v,
      step: vec ? 1 : 4,
      q: p.n * strips,
      x0: p.x.offset / v,
      xn: p.x.batchStride / v,
      y0: p.y.offset / v,
      yn: p.y.batchStride / v,
      ...weights,
      ...inUnits(rest.vectors, v),
    },
    grid: [ceilDiv(p.n * strips, 8), ceilDiv(p.m, 8 * TG), 1],
  };
}

/** The plain tile: needs whole vec4s. */
export function pointwiseDispatch(
  p: PointwiseCall,
  c: { device: Call["device"]; params: Call["params"] },
  weights: { w0: number; wk: number; wm: number },
  rest: Pick<Dispatch, "hooks" | "bind"> & { readonly vectors: VectorOffsets },
): Dispatch {
  const hw4 = p.plane / 4;
  const WG = workgroupSize(c.device);
  const { TG } = c.params;
  return {
    shader: "conv2d_pointwise",
    params: { WG, TG },
    hooks: rest.hooks,
    bind: rest.bind,
    uniforms: {
      k: p.k,
      m: p.m,
      hw4,
      q: p.n * hw4,
      x0: p.x.offset / 4,
      xn: p.x.batchStride / 4,
      y0: p.y.offset / 4,
      yn: p.y.batchStride / 4,
      ...weights,
      ...inUnits(rest.vectors, 4),
    },
    grid: [ceilDiv(p.n * hw4, WG), ceilDiv(p.m, 8 * TG), 1],
  };
}

/** What the strip tile needs: also used by the input gradient at stride 1. */
export interface StripCall {
  readonly n: number;
  readonly k: number;
  readonly m: number;
  readonly ih: number;
  readonly iw: number;
  readonly oh: number;
  readonly ow: number;
  readonly kh: number;
  readonly kw: number;
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly pt: number;
  readonly pl: number;
  readonly x: Placed;
  readonly y: Placed;
  /** What is added before the store. */
  readonly residual?: Placed;
}

/** Kernel rows where all taps are few enough to unroll, else 0: the rows are walked. */
const fewRows = (s: { readonly kh: number; readonly kw: number }): number => (s.kh * s.kw <= 9 ? s.kh : 0);

/** Strip length for an output row: whole strips where possible, few registers. */
export function stripLength(ow: number): number {
  for (const sp of [8, 7, 4]) if (ow % sp === 0) return sp;
  return ow >= 8 ? 8 : ow >= 4 ? 4 : 2;
}

/** Narrow strips leave registers for two groups of outputs; strided ones read too much to be long. */
export function stripPick(ow: number, m: number, stride: number): { TG: number; SP: number } {
  const SP = stride > 1 ? Math.min(4, stripLength(ow)) : stripLength(ow);
  return { SP, TG: SP <= 4 && m > 8 ? 2 : 1 };
}

/** Stride 1, rows of vec4s that keep their width, and a window that reaches no further than a strip. */
export function rowFits(s: StripCall): boolean {
  const right = s.kw - 1 - s.pl;
  const unit = [...s.stride, ...s.dilation].every((v) => v === 1);
  return (
    unit &&
    s.iw % 4 === 0 &&
    aligned([s.x, s.y, s.residual]) &&
    s.iw === s.ow &&
    s.pl >= 0 &&
    right >= 0 &&
    s.kw <= 5
  );
}

/** Strip of 8 where rows are whole multiples of it. */
export const rowPick = (s: { readonly ow: number; readonly m: number }): { TG: number; SP: number } => ({
  SP: s.ow % 8 === 0 ? 8 : 4,
  TG: s.m > 8 ? 2 : 1,
});

export function rowDispatch(
  s: StripCall,
  c: { params: Call["params"] },
  weights: { w0: number; wk: number; wm: number; wt: number },
  rest: Pick<Dispatch, "hooks" | "bind"> & { readonly vectors: VectorOffsets },
): Dispatch {
  const { TG } = c.params;
  const SP = s.ow % c.params.SP === 0 ? c.params.SP : 4;
  const strips = s.ow / SP;
  const total = s.n * s.oh * strips;
  const { k, m, ih, oh, kh, pt } = s;
  return {
    shader: "conv2d_row_sg",
    params: { TG, SP, KW: s.kw, KH: fewRows(s), PL: s.pl },
    hooks: rest.hooks,
    bind: { ...rest.bind, x4: rest.bind.x },
    uniforms: {
      k,
      m,
      ih,
      w: s.ow,
      oh,
      strips,
      total,
      kh,
      pt,
      x0: s.x.offset,
      xn: s.x.batchStride,
      y0: s.y.offset,
      yn: s.y.batchStride,
      ...weights,
      ...rest.vectors,
    },
    grid: [ceilDiv(total, 8), ceilDiv(m, 8 * TG), 1],
  };
}

export function stripDispatch(
  s: StripCall,
  sg: boolean,
  c: { device: Call["device"]; params: Call["params"] },
  weights: { w0: number; wk: number; wm: number; wt: number },
  rest: Pick<Dispatch, "hooks" | "bind"> & { readonly vectors: VectorOffsets },
): Dispatch {
  const { TG, SP } = c.params;
  const strips = ceilDiv(s.ow, SP);
  const total = s.n * s.oh * strips;
  const WG = sg ? 8 : workgroupSize(c.device);
  const baked = { TG, SP, KW: s.kw, SW: s.stride[1], DW: s.dilation[1] };
  return {
    shader: sg ? "conv2d_strip_sg" : "conv2d_strip",
    params: sg ? { ...baked, KH: fewRows(s) } : { WG, ...baked },
    hooks: rest.hooks,
    bind: rest.bind,
    uniforms: {
      k: s.k,
      m: s.m,
      ih: s.ih,
      iw: s.iw,
      oh: s.oh,
      ow: s.ow,
      strips,
      total,
      kh: s.kh,
      sh: s.stride[0],
      dh: s.dilation[0],
      pt: s.pt,
      pl: s.pl,
      x0: s.x.offset,
      xn: s.x.batchStride,
      y0: s.y.offset,
      yn: s.y.batchStride,
      ...weights,
      ...rest.vectors,
    },
    grid: [ceilDiv(total, WG), ceilDiv(s.m, 8 * TG), 1],
  };
}
