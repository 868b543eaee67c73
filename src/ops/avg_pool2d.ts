// avgPool2d — y[n,c,p,q] = Σ x over the window / divisor: with fixed windows (kernel, stride, padding; divisor the
// padded or the real window, or given), or adaptive ones (from ⌊p·H/OH⌋ to ⌈(p+1)·H/OH⌉). PyTorch's AvgPool2d and
// AdaptiveAvgPool2d. x may be transformed on load as a convolution's is (attrs.prologue; inputs x, scale, shift). Its
// gradient avgPool2dInput gathers gy / divisor of the windows that cover an element.

import { numel, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray, ndarray } from "../graph/array.ts";
import {
  type BareCall,
  type Bound,
  type Call,
  defineOp,
  type Kernel,
  type Operand,
  type SplitAxis,
} from "../graph/op.ts";
import { call } from "./build.ts";
import { applyPrologue, type Prologue, prologueHooks, prologueOffsets } from "./conv_shape.ts";
import { ceilDiv, vectorOf } from "./layout.ts";
import { blocks, type PoolAttrs, poolOutput, poolUniforms, windowParams } from "./pool_shape.ts";

export interface AvgAttrs extends PoolAttrs {
  /** Output size of adaptive pooling; null for fixed windows. */
  readonly adaptive: readonly [number, number] | null;
  readonly countIncludePad: boolean;
  readonly divisor: number | null;
  readonly prologue: Prologue;
}

interface InputAttrs extends AvgAttrs {
  readonly size: readonly [number, number];
}

function outputShape(x: TypeOf, a: AvgAttrs): [number, number, number, number] {
  if (!a.adaptive) return poolOutput("avgPool2d", x, a);
  const one: PoolAttrs = { ...a, kernel: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0] };
  const [n, c] = poolOutput("adaptiveAvgPool2d", x, one);
  return [n, c, a.adaptive[0], a.adaptive[1]];
}

/** The window [kh, kw] where windows of pictures [ih, iw] lie side by side, all inside; null where they do not. */
export function tileOf(a: AvgAttrs, [ih, iw]: readonly number[]): readonly [number, number] | null {
  if (a.adaptive) {
    const [oh, ow] = a.adaptive;
    return ih % oh === 0 && iw % ow === 0 ? [ih / oh, iw / ow] : null;
  }
  const beside = a.kernel.every((k, i) => k === a.stride[i]) && a.padding.every((p) => p === 0);
  return beside && !a.ceilMode ? a.kernel : null;
}

interface Window {
  readonly from: number;
  readonly to: number;
  /** Extent counted by the divisor when padding counts. */
  readonly padded: number;
}

/** The window of output o along one axis (0 = rows, 1 = columns). */
function windowOf(o: number, axis: 0 | 1, size: number, out: number, a: AvgAttrs): Window {
  if (a.adaptive) {
    const from = Math.floor((o * size) / out);
    const to = Math.ceil(((o + 1) * size) / out);
    return { from, to, padded: to - from };
  }
  const lead = a.padding[2 * axis];
  const start = o * a.stride[axis] - lead;
  const end = Math.min(start + a.kernel[axis], size + a.padding[2 * axis + 1]);
  return { from: Math.max(start, 0), to: Math.min(end, size), padded: end - start };
}

/** Calls f(input index, output index, 1 / divisor) for every pair. */
function walk(
  x: readonly number[],
  y: readonly number[],
  a: AvgAttrs,
  f: (i: number, o: number, k: number) => void,
): void {
  const [n, c, ih, iw] = x;
  const [, , oh, ow] = y;
  for (let nc = 0; nc < n * c; nc++) {
    for (let p = 0; p < oh; p++) {
      const r = windowOf(p, 0, ih, oh, a);
      for (let q = 0; q < ow; q++) {
        const s = windowOf(q, 1, iw, ow, a);
        const real = (r.to - r.from) * (s.to - s.from);
        const k = 1 / (a.divisor ?? (a.countIncludePad ? r.padded * s.padded : real));
        const o = (nc * oh + p) * ow + q;
        for (let h = r.from; h < r.to; h++)
          for (let w = s.from; w < s.to; w++) f((nc * ih + h) * iw + w, o, k);
      }
    }
  }
}

function forward([x0, scale, shift]: readonly NDArray[], a: AvgAttrs): NDArray {
  const x = applyPrologue(x0, a.prologue, scale, shift);
  const shape = outputShape(x, a);
  const out = new Float64Array(numel(shape));
  walk(x.shape, shape, a, (i, o, k) => {
    out[o] += x.data[i] * k;
  });
  return ndarray(shape, out);
}

/** Windows of adaptive pooling, spliced into the shaders. */
const ADAPTIVE = {
  rows: "let f = o * u.ih / u.oh; let t = ((o + 1) * u.ih + u.oh - 1) / u.oh; return vec3<i32>(f, t, t - f);",
  cols: "let f = o * u.iw / u.ow; let t = ((o + 1) * u.iw + u.ow - 1) / u.ow; return vec3<i32>(f, t, t - f);",
};
const ADAPTIVE_INPUT = {
  ...ADAPTIVE,
  reach_rows: "return vec2<i32>(h * u.oh / u.ih, min(((h + 1) * u.oh + u.ih - 1) / u.ih, u.oh));",
  reach_cols: "return vec2<i32>(w * u.ow / u.iw, min(((w + 1) * u.ow + u.iw - 1) / u.iw, u.ow));",
};

function uniforms(c: Call<AvgAttrs>, x: readonly number[], y: readonly number[]) {
  const a = c.attrs;
  const { dh: _dh, dw: _dw, ...geometry } = poolUniforms(x, y, a);
  const [from, to] = [c.inputs[0], c.outputs[0]];
  return {
    x0: from.offset,
    xn: from.batchStride,
    y0: to.offset,
    yn: to.batchStride,
    ...geometry,
    pb: a.padding[1],
    pr: a.padding[3],
    include: a.countIncludePad ? 1 : 0,
    divisor: a.divisor ?? 0,
  };
}

const planeOf = ({ shape }: TypeOf) => shape.slice(2);

/** The operands of the batch norm on load, where there is one. */
function loaded(c: Call<AvgAttrs>) {
  const fused = c.attrs.prologue !== "none";
  const bind: Record<string, Bound> = fused ? { scale: { in: 1 }, shift: { in: 2 } } : {};
  const offsets = prologueOffsets(c.inputs[1], c.inputs[2]);
  return { bind, offsets, hooks: prologueHooks(c.attrs.prologue, 1) };
}

/** Any windows. */
const windows: Kernel<AvgAttrs> = {
  name: "window",
  dispatches: (c) => {
    const { bind, offsets, hooks } = loaded(c);
    const [x, y] = [c.inputs[0].shape, c.outputs[0].shape];
    const { WG, extents, grid } = blocks(y, c.device);
    return [
      {
        shader: "avg_pool2d",
        params: { WG },
        hooks: c.attrs.adaptive ? { ...hooks, ...ADAPTIVE } : hooks,
        bind: { ...XY, ...bind },
        uniforms: { ...uniforms(c, x, y), ...extents, ...offsets },
        grid,
      },
    ];
  },
};

const windowsInput: Kernel<InputAttrs> = {
  name: "window",
  dispatches: (c) => {
    const [y, x] = [c.inputs[0].shape, c.outputs[0].shape];
    const { WG, extents, grid } = blocks(x, c.device);
    return [
      {
        shader: "avg_pool2d_input",
        params: { WG },
        hooks: c.attrs.adaptive ? ADAPTIVE_INPUT : {},
        bind: XY,
        uniforms: { ...uniforms(c, x, y), ...extents },
        grid,
      },
    ];
  },
};

const XY: Readonly<Record<string, Bound>> = { x: { in: 0 }, y: { out: 0 } };

/** The pooled operand of windows side by side, the one below the windows, and the window. */
interface Tiling {
  readonly pooled: Operand;
  readonly whole: Operand;
  readonly window: readonly [number, number];
}

const tilingOf = ({ inputs: [x], outputs: [y], attrs }: BareCall<AvgAttrs>): Tiling | null => {
  const window = tileOf(attrs, planeOf(x));
  return window && { pooled: y, whole: x, window };
};

const tilingOfInput = ({ inputs: [g], outputs: [y], attrs }: BareCall<InputAttrs>): Tiling | null => {
  const window = tileOf(attrs, attrs.size);
  return window && { pooled: g, whole: y, window };
};

/** What all dispatches of windows side by side share; places are counted in `from` elements of the input, `to` of the output. */
function tileUniforms(c: BareCall<AvgAttrs>, { pooled, whole, window: [kh, kw] }: Tiling, from = 1, to = 1) {
  const [x, y] = [c.inputs[0], c.outputs[0]];
  const [across, wide] = pooled === x ? [from, to] : [to, from];
  const [ih, iw] = planeOf(whole);
  const [oh, ow] = planeOf(pooled);
  return {
    x0: x.offset / from,
    xn: x.batchStride / from,
    y0: y.offset / to,
    yn: y.batchStride / to,
    ih,
    iw: iw / wide,
    oh,
    ow: ow / across,
    divide: 1 / (c.attrs.divisor ?? kh * kw),
  };
}

const tiled: Kernel<AvgAttrs> = {
  name: "tiles",
  when: (c) => tilingOf(c) !== null,
  score: () => 1,
  dispatches: (c) => {
    const t = tilingOf(c) as Tiling;
    const { bind, offsets, hooks } = loaded(c);
    const { WG, extents, grid } = blocks(t.pooled.shape, c.device);
    const [kh, kw] = t.window;
    return [
      {
        shader: "avg_pool2d_tiles",
        params: { WG, ...windowParams(t.window) },
        hooks,
        bind: { ...XY, ...bind },
        uniforms: { ...extents, ...tileUniforms(c, t), kh, kw, ...offsets },
        grid,
      },
    ];
  },
};

const tiledInput: Kernel<InputAttrs> = {
  name: "tiles",
  when: (c) => tilingOfInput(c) !== null,
  score: () => 1,
  dispatches: (c) => {
    const t = tilingOfInput(c) as Tiling;
    const [kh, kw] = t.window;
    const [n, ch] = t.pooled.shape;
    const [ih, iw] = planeOf(t.whole);
    // Also what no window reaches.
    const { WG, extents, grid } = blocks([n, ch, ceilDiv(ih, kh), ceilDiv(iw, kw)], c.device);
    return [
      {
        shader: "avg_pool2d_tiles_input",
        params: { WG, ...windowParams(t.window) },
        bind: XY,
        uniforms: { ...extents, ...tileUniforms(c, t), kh, kw },
        grid,
      },
    ];
  },
};

/** Outputs of windows of 2×2 that are loaded together: two where rows of four lie in vec4, one in vec2, null elsewhere. */
function pairing(t: Tiling | null): 1 | 2 | null {
  if (!t?.window.every((k) => k === 2)) return null;
  const { pooled, whole } = t;
  const fits = (o: Operand, size: number) =>
    o.shape[3] % size === 0 && o.offset % size === 0 && o.batchStride % size === 0;
  if (planeOf(whole).some((d, i) => d !== 2 * planeOf(pooled)[i])) return null;
  return fits(whole, 4) && fits(pooled, 2) ? 2 : fits(whole, 2) ? 1 : null;
}

const paired: Kernel<AvgAttrs> = {
  name: "pairs",
  when: (c) => pairing(tilingOf(c)) !== null,
  score: () => 2,
  dispatches: (c) => {
    const t = tilingOf(c) as Tiling;
    const two = pairing(t) === 2;
    const [from, to] = two ? ([4, 2] as const) : ([2, 1] as const);
    const [n, ch, oh, ow] = t.pooled.shape;
    const { WG, extents, grid } = blocks([n, ch, oh, ow / to], c.device);
    const { bind, offsets } = loaded(c);
    return [
      {
        shader: "avg_pool2d_pairs",
        params: { WG },
        types: { X: vectorOf(from), Y: vectorOf(to) },
        hooks: { ...prologueHooks(c.attrs.prologue, from), ...(two ? {} : { across: "return v.x + v.y;" }) },
        bind: { ...XY, ...bind },
        uniforms: { ...extents, ...tileUniforms(c, t, from, to), ...offsets },
        grid,
      },
    ];
  },
};

const pairedInput: Kernel<InputAttrs> = {
  name: "pairs",
  when: (c) => pairing(tilingOfInput(c)) !== null,
  score: () => 2,
  dispatches: (c) => {
    const t = tilingOfInput(c) as Tiling;
    const two = pairing(t) === 2;
    const [from, to] = two ? ([2, 4] as const) : ([1, 2] as const);
    const [n, ch, oh, ow] = t.pooled.shape;
    const { WG, extents, grid } = blocks([n, ch, oh, ow / from], c.device);
    return [
      {
        shader: "avg_pool2d_pairs_input",
        params: { WG },
        types: { X: vectorOf(from), Y: vectorOf(to) },
        hooks: two ? undefined : { below: "return vec2<f32>(v);" },
        bind: XY,
        uniforms: { ...extents, ...tileUniforms(c, t, from, to) },
        grid,
      },
    ];
  },
};

const split = (shape: readonly number[]): SplitAxis[] =>
  [0, 1].map((d) => ({ extent: shape[d], inputs: [d], outputs: [d], merge: "concat" as const }));

const plain = {
  kernel: [2, 2],
  stride: [2, 2],
  padding: [0, 0, 0, 0],
  dilation: [1, 1],
  ceilMode: false,
  adaptive: null,
  countIncludePad: true,
  divisor: null,
  prologue: "none",
} as const;

const CASES: readonly { note?: string; x: number[]; attrs: AvgAttrs }[] = [
  { x: [2, 3, 6, 6], attrs: plain },
  { note: "rows of vec4", x: [2, 3, 6, 8], attrs: plain },
  { note: "wider than a block", x: [1, 2, 4, 264], attrs: plain },
  { note: "padding counts", x: [1, 2, 7, 5], attrs: { ...plain, kernel: [3, 3], padding: [1, 1, 1, 1] } },
  {
    note: "padding does not count",
    x: [1, 2, 7, 5],
    attrs: { ...plain, kernel: [3, 3], padding: [1, 1, 1, 1], countIncludePad: false },
  },
  {
    note: "ceil mode",
    x: [1, 2, 7, 8],
    attrs: { ...plain, kernel: [3, 2], stride: [2, 3], padding: [1, 1, 0, 0], ceilMode: true },
  },
  {
    note: "columns and rows left over",
    x: [2, 2, 7, 20],
    attrs: { ...plain, kernel: [3, 2], stride: [3, 2] },
  },
  { note: "given divisor", x: [1, 1, 4, 4], attrs: { ...plain, divisor: 3 } },
  { note: "adaptive", x: [2, 3, 7, 5], attrs: { ...plain, adaptive: [3, 2] } },
  { note: "global", x: [2, 3, 4, 7], attrs: { ...plain, adaptive: [1, 1] } },
  { note: "global over 2×2", x: [9, 3, 2, 2], attrs: { ...plain, adaptive: [1, 1] } },
  { note: "adaptive upwards", x: [1, 2, 3, 3], attrs: { ...plain, adaptive: [5, 4] } },
];

const covered = (a: AvgAttrs, [h, w]: readonly number[]) =>
  a.adaptive
    ? Math.ceil(h / a.adaptive[0] + 1) * Math.ceil(w / a.adaptive[1] + 1)
    : a.kernel[0] * a.kernel[1];

defineOp<AvgAttrs>({
  name: "avgPool2d",
  infer: ([x], a) => [{ shape: outputShape(x, a), dtype: "f32" }],
  ref: (inputs, a) => [forward(inputs, a)],
  vjp: ({ inputs: [x], attrs, gy: [g] }) => {
    if (attrs.prologue !== "none")
      throw new Error("avgPool2d: fused forms are made after backward, never before");
    return [g && call("avgPool2dInput", [g], { ...attrs, size: [x.shape[2], x.shape[3]] })];
  },
  terms: ([x], a) => covered(a, x.shape.slice(2)) + 6,
  magnitude: (inputs, a) => {
    const abs = inputs.map((t) => mapArray(t, Math.abs));
    return [forward(abs, { ...a, prologue: a.prologue === "none" ? "none" : "affine" })];
  },
  cost: ([x]) => ({ flops: numel(x.shape) }),
  kernels: [windows, tiled, paired],
  samples: [
    ...CASES.map(({ note, x, attrs }) => ({ note, inputs: [{ shape: x }], attrs })),
    ...CASES.slice(0, 5).map(({ x, attrs }) => ({
      note: "batch norm on load",
      inputs: [{ shape: x }, { shape: [x[1]] }, { shape: [x[1]] }],
      attrs: { ...attrs, prologue: "affineRelu" as const },
      differentiable: false,
    })),
  ],
  split: ([x, ...vectors]) => [
    { extent: x.shape[0], inputs: [0, ...vectors.map(() => null)], outputs: [0], merge: "concat" },
    { extent: x.shape[1], inputs: [1, ...vectors.map(() => 0)], outputs: [1], merge: "concat" },
  ],
});

function backward(g: NDArray, a: InputAttrs): NDArray {
  const shape = [g.shape[0], g.shape[1], a.size[0], a.size[1]];
  const out = new Float64Array(numel(shape));
  walk(shape, g.shape, a, (i, o, k) => {
    out[i] += g.data[o] * k;
  });
  return ndarray(shape, out);
}

defineOp<InputAttrs>({
  name: "avgPool2dInput",
  infer: ([g], a) => [{ shape: [g.shape[0], g.shape[1], a.size[0], a.size[1]], dtype: "f32" }],
  ref: ([g], a) => [backward(g, a)],
  terms: (_i, a) => covered(a, a.size) + 3,
  magnitude: ([g], a) => [backward(mapArray(g, Math.abs), a)],
  cost: (_i, [y]) => ({ flops: numel(y.shape) }),
  kernels: [windowsInput, tiledInput, pairedInput],
  samples: CASES.map(({ note, x, attrs }) => ({
    note,
    inputs: [{ shape: outputShape({ shape: x, dtype: "f32" }, attrs) }],
    attrs: { ...attrs, size: [x[2], x[3]] as const },
    differentiable: false,
  })),
  split: ([g]) => split(g.shape),
});
