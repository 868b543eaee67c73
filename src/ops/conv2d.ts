// conv2d — y[n,k,p,q] = store(bias[k] + Σ_{c,r,s} pro(x[n, c, p·sh-pt+r·dh, q·sw-pl+s·dw])·w[k,c,r,s])
// NCHW · OIHW, groups (depthwise included), asymmetric padding [top, bottom, left, right]. pro is the identity, or
// x·scale[c] + shift[c], perhaps through ReLU, with zero padding after it (a batch norm folded into the load). store is
// ReLU or nothing (attrs.relu), then what attrs.store lists (conv_store.ts).
// Inputs: x, w, then bias (attrs.bias), scale and shift (attrs.prologue), what is added before the store (attrs.store).

import { UNIT } from "../core/accuracy.ts";
import { ShapeError } from "../core/error.ts";
import { numel, sameShape, show, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray, ndarray } from "../graph/array.ts";
import type { Value } from "../graph/node.ts";
import { type Bound, type Call, defineOp, type Kernel, type Sample, type SplitAxis } from "../graph/op.ts";
import { call, sum } from "./build.ts";
import { windowKernels } from "./conv_gemm.ts";
import { GROUP_SPACE, groupDispatch, groupFits, groupPick } from "./conv_group.ts";
import {
  applyPrologue,
  type ConvAttrs,
  convOutput,
  geometry,
  groupSplit,
  isPointwise,
  type Prologue,
  prefersSubgroups,
  prologueHooks,
  prologueOffsets,
  reluOf,
  walkConv,
} from "./conv_shape.ts";
import { addsResidual, applyStore, type Store, storeBound, storeHooks, storeIsExact } from "./conv_store.ts";
import {
  POINTWISE_SPACE,
  type PointwiseCall,
  pointwiseDispatch,
  pointwiseFits,
  pointwisePick,
  pointwiseProduct,
  pointwiseSgDispatch,
  rowDispatch,
  rowFits,
  rowPick,
  type StripCall,
  stripDispatch,
  stripPick,
  type VectorOffsets,
} from "./conv_tiles.ts";
import { winogradKernel } from "./conv_winograd.ts";
import { gemmKernels } from "./gemm_call.ts";
import { ceilDiv, workgroupSize } from "./layout.ts";

export interface Conv2dAttrs extends ConvAttrs {
  readonly bias: boolean;
  readonly prologue: Prologue;
  readonly relu: boolean;
  readonly store: Store;
}

interface Roles<T> {
  readonly x: T;
  readonly w: T;
  readonly bias?: T;
  readonly scale?: T;
  readonly shift?: T;
  readonly residual?: T;
}

function roles<T>(inputs: readonly T[], a: Conv2dAttrs): Roles<T> {
  const at = a.bias ? 3 : 2;
  const fused = a.prologue !== "none";
  return {
    x: inputs[0],
    w: inputs[1],
    bias: a.bias ? inputs[2] : undefined,
    scale: fused ? inputs[at] : undefined,
    shift: fused ? inputs[at + 1] : undefined,
    residual: addsResidual(a.store) ? inputs[inputs.length - 1] : undefined,
  };
}

function infer(inputs: readonly TypeOf[], a: Conv2dAttrs): TypeOf[] {
  const r = roles(inputs, a);
  const shape = convOutput("conv2d", r.x, r.w, a);
  if (r.bias && (r.bias.shape.length !== 1 || r.bias.shape[0] !== shape[1])) {
    throw new ShapeError(
      `conv2d: bias must have one value for each of ${shape[1]} output channels, got ${show(r.bias)}`,
    );
  }
  for (const s of [r.scale, r.shift]) {
    if (s && numel(s.shape) !== r.x.shape[1])
      throw new ShapeError(`conv2d: scale and shift need ${r.x.shape[1]} values, got ${show(s)}`);
  }
  if (r.residual && !sameShape(r.residual.shape, shape))
    throw new ShapeError(`conv2d: what is added must be f32[${shape.join(",")}], got ${show(r.residual)}`);
  return [{ shape, dtype: "f32" }];
}

/** Everything up to attrs.store. */
function convolve(inputs: readonly NDArray[], a: Conv2dAttrs, relu: boolean): NDArray {
  const r = roles(inputs, a);
  const x = applyPrologue(r.x, a.prologue, r.scale, r.shift);
  const g = geometry(x.shape, r.w.shape, a);
  const out = new Float64Array(g.n * g.k * g.oh * g.ow);
  const plane = g.oh * g.ow;
  if (r.bias) for (let i = 0; i < out.length; i++) out[i] = r.bias.data[Math.floor(i / plane) % g.k];
  const sw = a.stride[1];
  walkConv(g, a, (xi, wi, yi, count) => {
    const w = r.w.data[wi];
    for (let i = 0; i < count; i++) out[yi + i] += w * x.data[xi + i * sw];
  });
  return ndarray([g.n, g.k, g.oh, g.ow], relu ? out.map((v) => Math.max(v, 0)) : out);
}

function magnitude(inputs: readonly NDArray[], a: Conv2dAttrs): NDArray {
  const r = roles(inputs, a);
  const abs = inputs.map((t) => mapArray(t, Math.abs));
  // |x·scale| + |shift| bounds what the load rounds, whatever the ReLU then keeps.
  return convolve(abs, { ...a, prologue: r.scale ? "affine" : "none" }, false);
}

/** How far the stored values may be off. */
function storedBound(inputs: readonly NDArray[], a: Conv2dAttrs): Float64Array {
  const allowed = 4 * UNIT * Math.sqrt(terms(inputs[1]));
  const sums = {
    value: convolve(inputs, a, a.relu),
    error: mapArray(magnitude(inputs, a), (m) => allowed * m),
  };
  return storeBound(sums, a.store, roles(inputs, a).residual);
}

const terms = (w: TypeOf): number => numel(w.shape.slice(1)) + 2;

function hooksOf(a: Conv2dAttrs, vec: boolean, residual?: string): Record<string, string> {
  const out = { ...prologueHooks(a.prologue, vec ? 4 : 1), ...storeHooks(a.store, vec, residual) };
  if (a.bias) out.start = "return bias[u.b0 + m];";
  if (a.relu) out.activate = `return ${reluOf("v", vec ? 4 : 1)};`;
  return out;
}

/** At which input each role is. */
function places(a: Conv2dAttrs): Roles<number> {
  const count = 2 + (a.bias ? 1 : 0) + (a.prologue === "none" ? 0 : 2) + (addsResidual(a.store) ? 1 : 0);
  return roles([...new Array(count).keys()], a);
}

function bindOf(a: Conv2dAttrs): Record<string, Bound> {
  const r = places(a);
  const bind: Record<string, Bound> = { x: { in: 0 }, w: { in: 1 }, y: { out: 0 } };
  if (r.bias !== undefined) bind.bias = { in: r.bias };
  if (r.scale !== undefined) bind.scale = { in: r.scale };
  if (r.shift !== undefined) bind.shift = { in: r.shift };
  if (r.residual !== undefined) bind.residual = { in: r.residual };
  return bind;
}

function vectorsOf(c: Call<Conv2dAttrs>): VectorOffsets {
  const r = roles(c.inputs, c.attrs);
  const { residual: add } = r;
  const own = { b0: r.bias?.offset ?? 0, r0: add?.offset ?? 0, rn: add?.batchStride ?? 0 };
  return { ...own, ...prologueOffsets(r.scale, r.shift) };
}

/** Baseline: one invocation per output element, right for everything. */
const direct: Kernel<Conv2dAttrs> = {
  name: "direct",
  dispatches: (c) => {
    const a = c.attrs;
    const [x, w] = c.inputs;
    const [y] = c.outputs;
    const g = geometry(x.shape, w.shape, a);
    const WG = workgroupSize(c.device);
    const hooks = hooksOf(a, false);
    if (a.bias) hooks.start = "return bias[u.b0 + k];";
    return [
      {
        shader: "conv2d_direct",
        params: { WG },
        hooks,
        bind: bindOf(a),
        uniforms: {
          x0: x.offset,
          xn: x.batchStride,
          w0: w.offset,
          y0: y.offset,
          yn: y.batchStride,
          ih: g.ih,
          iw: g.iw,
          oh: g.oh,
          ow: g.ow,
          kh: g.kh,
          kw: g.kw,
          sh: a.stride[0],
          sw: a.stride[1],
          dh: a.dilation[0],
          dw: a.dilation[1],
          pt: a.padding[0],
          pl: a.padding[2],
          cg: g.cg,
          kg: g.kg,
          wn: w.batchStride,
          ...vectorsOf(c),
        },
        grid: [Math.min(ceilDiv(g.oh * g.ow, WG), c.device.maxWorkgroups), g.k, g.n],
      },
    ];
  },
};

const isPixelwise = ({ inputs: [, w], attrs }: Call<Conv2dAttrs>) => isPointwise(attrs, w.shape.slice(2));

function pointwiseCall(c: Call<Conv2dAttrs>): PointwiseCall {
  const [x, w] = c.inputs;
  const [n, k, h, width] = x.shape;
  const { residual } = roles(c.inputs, c.attrs);
  return { n, k, m: w.shape[0], plane: h * width, x, y: c.outputs[0], residual };
}

const pointwiseWeights = ({ inputs: [, w] }: Call<Conv2dAttrs>) => ({
  w0: w.offset,
  wk: 1,
  wm: w.batchStride,
});

const fused = (c: Call<Conv2dAttrs>, vec: boolean, residual?: string) => ({
  hooks: hooksOf(c.attrs, vec, residual),
  bind: bindOf(c.attrs),
  vectors: vectorsOf(c),
});

const pointwise: Kernel<Conv2dAttrs> = {
  name: "pointwise",
  when: (c) => isPixelwise(c) && pointwiseFits(pointwiseCall(c)),
  score: () => 5,
  space: { TG: [1, 2] },
  dispatches: (c) => [pointwiseDispatch(pointwiseCall(c), c, pointwiseWeights(c), fused(c, true))],
};

const pointwiseSg: Kernel<Conv2dAttrs> = {
  name: "pointwise_sg",
  when: (c) => c.device.subgroups && isPixelwise(c),
  score: (c) => (prefersSubgroups(c.device) ? 9 : 2),
  space: POINTWISE_SPACE,
  pick: (c) => {
    const own = pointwisePick(c.inputs[1].shape[0]);
    // The loads of a residual that nothing follows are unrolled with the tile: lavapipe takes three times as long over
    // the widest one, which is hardly faster.
    return c.attrs.store.join() === "add" ? { ...own, TG: Math.min(own.TG, 2) } : own;
  },
  dispatches: (c) => {
    const rest = fused(c, true, "load_residual(u.r0 + n * u.rn + at, left)");
    return [pointwiseSgDispatch(pointwiseCall(c), c, pointwiseWeights(c), rest)];
  },
};

/** Whether nothing but bias and ReLU happens in the store: the kernels below can do no more there. */
const storesPlainly = (a: Conv2dAttrs): boolean => a.store.length === 0;

/** For the shaders of tiles in workgroup memory, which call their operands a and b. */
function tileFused(c: Call<Conv2dAttrs>) {
  const { x: b, w: a, y: _y, ...vectors } = bindOf(c.attrs);
  const { relu, prologue } = c.attrs;
  return { onLoad: prologueHooks(prologue, 4), relu, bind: { a, b, ...vectors }, vectors: vectorsOf(c) };
}

/** 1×1: the columns are the pixels of all pictures. */
const tiles = gemmKernels<Conv2dAttrs>({
  when: (c) => isPixelwise(c) && storesPlainly(c.attrs),
  call: (c) => pointwiseProduct(pointwiseCall(c), pointwiseWeights(c)),
  fused: tileFused,
  half: true,
});

function stripCall(c: Call<Conv2dAttrs>): StripCall {
  const [x, w] = c.inputs;
  const g = geometry(x.shape, w.shape, c.attrs);
  const { stride, dilation, padding } = c.attrs;
  const { residual } = roles(c.inputs, c.attrs);
  const [pt, , pl] = padding;
  return { ...g, m: g.k, k: g.c, stride, dilation, pt, pl, x, y: c.outputs[0], residual };
}

function windowFused(c: Call<Conv2dAttrs>) {
  const { y: _y, ...bind } = bindOf(c.attrs);
  const { relu, prologue } = c.attrs;
  return { onLoad: prologueHooks(prologue, 1), relu, bind, vectors: vectorsOf(c) };
}

/** Windows gathered into tiles. */
const windows = windowKernels<Conv2dAttrs>(
  (c) => c.attrs.groups === 1 && !isPixelwise(c) && storesPlainly(c.attrs),
  (c) => {
    const s = stripCall(c);
    const { w0, wk, wm } = stripWeights(c, s);
    return { s, w: { w0, wk, wm }, backwards: false };
  },
  windowFused,
  true,
);

const winograd = winogradKernel<Conv2dAttrs>(
  (c) => c.attrs.groups === 1 && storesPlainly(c.attrs),
  (c) => ({ s: stripCall(c), w: stripWeights(c, stripCall(c)) }),
  windowFused,
);

/** How the weights of a strip's taps lie: by input channel, by output channel, tap by tap. */
const stripWeights = ({ inputs: [, w] }: Call<Conv2dAttrs>, s: StripCall) => ({
  w0: w.offset,
  wk: s.kh * s.kw,
  wm: w.batchStride,
  wt: 1,
});

function strip(sg: boolean): Kernel<Conv2dAttrs> {
  return {
    name: sg ? "strip_sg" : "strip",
    when: (c) => (!sg || c.device.subgroups) && c.attrs.groups === 1,
    score: (c) => (sg ? (prefersSubgroups(c.device) ? 8 : 1) : 4),
    space: sg ? { TG: [1, 2], SP: [8, 7, 4, 2] } : { TG: [1], SP: [4, 8, 2] },
    pick: (c) =>
      sg
        ? stripPick(c.outputs[0].shape[3], c.inputs[1].shape[0], c.attrs.stride[1])
        : { TG: 1, SP: c.outputs[0].shape[3] >= 4 ? 4 : 2 },
    dispatches: (c) => {
      const s = stripCall(c);
      return [stripDispatch(s, sg, c, stripWeights(c, s), fused(c, false))];
    },
  };
}

/** Rows of vec4s that keep their width: strips without tests inside. */
const row: Kernel<Conv2dAttrs> = {
  name: "row_sg",
  when: (c) => c.device.subgroups && c.attrs.groups === 1 && rowFits(stripCall(c)),
  score: (c) => (prefersSubgroups(c.device) ? 8.5 : 1.5),
  space: { TG: [2, 1], SP: [8, 4] },
  pick: (c) => rowPick(stripCall(c)),
  dispatches: (c) => {
    const s = stripCall(c);
    // Places are counted in elements there, of which the residual's binding holds four each.
    const four = hooksOf(c.attrs, true, "residual[(u.r0 + n * u.rn + at) / 4u]");
    const { prologue } = prologueHooks(c.attrs.prologue, 1);
    const hooks = prologue ? { ...four, prologue, prologue4: four.prologue } : four;
    return [rowDispatch(s, c, stripWeights(c, s), { hooks, bind: bindOf(c.attrs), vectors: vectorsOf(c) })];
  },
};

/** Groups, depthwise convolutions among them. */
const grouped: Kernel<Conv2dAttrs> = {
  name: "group",
  when: (c) => groupFits(c.attrs, c.inputs[1].shape[3]),
  score: () => 6,
  space: GROUP_SPACE,
  pick: (c) => groupPick(c.device),
  dispatches: (c) => {
    const [x, w] = c.inputs;
    const g = geometry(x.shape, w.shape, c.attrs);
    return [groupDispatch({ g, a: c.attrs, from: x, w, to: c.outputs[0] }, c, fused(c, false))];
  },
};

/** Cut over pictures, output channels, or input channels (parts added; all but the plain sum needs the whole of it). */
function split(inputs: readonly TypeOf[], [y]: readonly TypeOf[], a: Conv2dAttrs): SplitAxis[] {
  const { bias, residual } = places(a);
  const rest = [...inputs.keys()].slice(2);
  const perPicture = rest.map((i) => (i === residual ? 0 : null));
  const perOut = rest.map((i) => (i === bias ? 0 : i === residual ? 1 : null));
  const axes: SplitAxis[] = [
    { extent: y.shape[0], inputs: [0, null, ...perPicture], outputs: [0], merge: "concat" },
    { extent: a.groups === 1 ? y.shape[1] : 1, inputs: [null, 0, ...perOut], outputs: [1], merge: "concat" },
  ];
  const kg = y.shape[1] / a.groups;
  const cg = inputs[1].shape[1];
  const units = rest.map((i): [number, number] => (i === residual ? [1, kg] : [0, i === bias ? kg : cg]));
  axes.push(...groupSplit(a, [[1, cg], [0, kg], ...units], [1, kg]));
  const plainSum = !a.bias && !a.relu && a.prologue === "none" && a.store.length === 0;
  if (plainSum && a.groups === 1) {
    axes.push({ extent: inputs[0].shape[1], inputs: [1, 1], outputs: [null], merge: "sum" });
  }
  return axes;
}

function vjp(
  inputs: readonly Value[],
  a: Conv2dAttrs,
  g: Value | null,
  needs: readonly boolean[],
): (Value | null)[] {
  if (a.relu || a.prologue !== "none" || a.store.length > 0)
    throw new Error("conv2d: fused forms are made after backward, never before");
  if (!g) return inputs.map(() => null);
  const [x, w] = inputs;
  const geo = { stride: a.stride, padding: a.padding, dilation: a.dilation, groups: a.groups };
  const [, , h, width] = x.shape;
  const [, , kh, kw] = w.shape;
  const out = [
    needs[0] ? call("conv2dInput", [g, w], { ...geo, size: [h, width] }) : null,
    needs[1] ? call("conv2dWeight", [x, g], { ...geo, kernel: [kh, kw], prologue: "none" }) : null,
  ];
  if (a.bias) out.push(needs[2] ? sum(g, [0, 2, 3]) : null);
  return out;
}

const plain = {
  bias: false,
  prologue: "none",
  relu: false,
  store: [],
  groups: 1,
  stride: [1, 1],
  padding: [0, 0, 0, 0],
  dilation: [1, 1],
} as const;
const x = (...shape: number[]) => ({ shape });

/** Every kernel with a residual, and with an activation that is not exact. */
const stored: readonly Sample<Conv2dAttrs>[] = [
  { inputs: [x(2, 6, 4, 4), x(20, 6, 1, 1), x(20), x(2, 20, 4, 4)], bias: true, store: ["add", "relu"] },
  { inputs: [x(3, 5, 3, 3), x(9, 5, 1, 1), x(3, 9, 3, 3)], store: ["add", "silu"] },
  {
    inputs: [x(2, 3, 5, 8), x(9, 3, 3, 3), x(2, 9, 5, 8)],
    padding: [1, 1, 1, 1] as const,
    store: ["add", "relu6"],
  },
  {
    inputs: [x(2, 3, 5, 8), x(9, 3, 3, 3), x(9)],
    padding: [1, 1, 1, 1] as const,
    bias: true,
    store: ["hardswish"],
  },
  {
    inputs: [x(2, 4, 7, 7), x(6, 2, 3, 3), x(4), x(4), x(2, 6, 3, 3)],
    ...{
      stride: [2, 2] as const,
      groups: 2,
      prologue: "affineRelu" as const,
      store: ["relu", "add", "sigmoid"],
    },
  },
  {
    inputs: [x(2, 3, 9, 7), x(5, 3, 3, 3), x(5), x(2, 5, 4, 3)],
    ...{ stride: [2, 2] as const, bias: true, relu: true, store: ["add", "hardsigmoid"] },
  },
].map(({ inputs, ...own }) => ({ inputs, attrs: { ...plain, ...own }, differentiable: false }));

defineOp<Conv2dAttrs>({
  name: "conv2d",
  infer,
  ref: (inputs, a) => [applyStore(convolve(inputs, a, a.relu), a.store, roles(inputs, a).residual)],
  vjp: ({ inputs, attrs, gy: [g], needs }) => vjp(inputs, attrs, g, needs),
  terms: ([, w]) => terms(w),
  exact: (a) => storeIsExact(a.store),
  // With attrs.store all that may differ is in `builtin`.
  magnitude: (inputs, a) => [mapArray(magnitude(inputs, a), (m) => (a.store.length > 0 ? 0 : m))],
  builtin: (inputs, [y], a) => [
    a.store.length > 0 ? storedBound(inputs, a) : new Float64Array(y.data.length),
  ],
  cost: ([, w], [y]) => ({ flops: 2 * numel(y.shape) * numel(w.shape.slice(1)) }),
  kernels: [
    direct,
    strip(false),
    pointwise,
    strip(true),
    row,
    pointwiseSg,
    ...tiles,
    ...windows,
    winograd,
    grouped,
  ],
  samples: [
    { inputs: [x(2, 3, 6, 5), x(4, 3, 3, 3)], attrs: { ...plain, padding: [1, 1, 1, 1] } },
    { inputs: [x(1, 2, 9, 11), x(3, 2, 3, 5)], attrs: { ...plain, stride: [2, 3], padding: [1, 1, 2, 2] } },
    {
      inputs: [x(2, 4, 7, 7), x(6, 2, 3, 3)],
      attrs: { ...plain, groups: 2, padding: [1, 1, 1, 1], stride: [2, 2] },
    },
    {
      note: "depthwise",
      inputs: [x(1, 3, 5, 6), x(3, 1, 3, 3)],
      attrs: { ...plain, groups: 3, padding: [1, 1, 1, 1] },
    },
    {
      note: "depthwise, stride 2, uneven padding, batch norm on load, bias, ReLU",
      inputs: [x(3, 6, 9, 11), x(6, 1, 5, 5), x(6), x(6), x(6)],
      attrs: {
        ...plain,
        bias: true,
        relu: true,
        prologue: "affineRelu",
        groups: 6,
        stride: [2, 2],
        padding: [1, 2, 2, 1],
      },
      differentiable: false,
    },
    {
      note: "depthwise, dilated, two outputs a channel",
      inputs: [x(1, 2, 9, 9), x(4, 1, 3, 3)],
      attrs: { ...plain, groups: 2, dilation: [2, 3], padding: [2, 2, 3, 3] },
    },
    {
      note: "four channels a group",
      inputs: [x(2, 8, 5, 9), x(8, 4, 3, 3)],
      attrs: { ...plain, groups: 2, padding: [1, 1, 1, 1] },
    },
    {
      note: "dilated",
      inputs: [x(1, 2, 9, 9), x(2, 2, 3, 3)],
      attrs: { ...plain, dilation: [2, 3], padding: [2, 2, 3, 3] },
    },
    {
      note: "asymmetric padding",
      inputs: [x(1, 2, 6, 6), x(2, 2, 3, 3)],
      attrs: { ...plain, stride: [2, 2], padding: [0, 1, 0, 1] },
    },
    { note: "1x1", inputs: [x(2, 5, 4, 4), x(11, 5, 1, 1)], attrs: plain },
    {
      note: "1x1 with bias",
      inputs: [x(3, 9, 2, 2), x(33, 9, 1, 1), x(33)],
      attrs: { ...plain, bias: true },
    },
    {
      note: "7x7/2 stem",
      inputs: [x(1, 3, 16, 16), x(9, 3, 7, 7)],
      attrs: { ...plain, stride: [2, 2], padding: [3, 3, 3, 3] },
    },
    { note: "odd plane", inputs: [x(1, 3, 7, 7), x(5, 3, 1, 1)], attrs: plain },
    {
      note: "batch norm on load, bias, ReLU",
      inputs: [x(2, 3, 4, 4), x(4, 3, 3, 3), x(4), x(3), x(3)],
      attrs: { ...plain, bias: true, relu: true, prologue: "affineRelu", padding: [1, 1, 1, 1] },
      differentiable: false,
    },
    {
      note: "batch norm on load, 1x1",
      inputs: [x(2, 6, 4, 4), x(20, 6, 1, 1), x(6), x(6)],
      attrs: { ...plain, prologue: "affineRelu" },
      differentiable: false,
    },
    {
      note: "1x1, many channels, odd plane, batch norm on load, bias, ReLU",
      inputs: [x(2, 300, 3, 5), x(37, 300, 1, 1), x(37), x(300), x(300)],
      attrs: { ...plain, bias: true, relu: true, prologue: "affineRelu" },
      differentiable: false,
    },
    {
      note: "1x1, many channels and pictures",
      inputs: [x(5, 68, 2, 6), x(76, 68, 1, 1), x(76)],
      attrs: { ...plain, bias: true },
    },
    {
      note: "many channels, odd sizes, batch norm on load, bias, ReLU",
      inputs: [x(3, 31, 7, 5), x(37, 31, 3, 3), x(37), x(31), x(31)],
      attrs: { ...plain, bias: true, relu: true, prologue: "affineRelu", padding: [1, 1, 1, 1] },
      differentiable: false,
    },
    {
      note: "Winograd's, batch norm on load, bias, ReLU",
      inputs: [x(2, 66, 5, 4), x(5, 66, 3, 3), x(5), x(66), x(66)],
      attrs: { ...plain, bias: true, relu: true, prologue: "affineRelu", padding: [1, 1, 1, 1] },
      differentiable: false,
    },
    {
      note: "Winograd's, uneven padding",
      inputs: [x(1, 64, 6, 7), x(9, 64, 3, 3)],
      attrs: { ...plain, padding: [0, 2, 1, 0] },
    },
    {
      note: "1x1/2",
      inputs: [x(2, 20, 6, 5), x(33, 20, 1, 1)],
      attrs: { ...plain, stride: [2, 2] },
    },
    {
      note: "batch norm on load, planes of one pixel",
      inputs: [x(3, 33, 1, 1), x(20, 33, 1, 1), x(20), x(33), x(33)],
      attrs: { ...plain, bias: true, relu: true, prologue: "affineRelu" },
      differentiable: false,
    },
    {
      note: "affine on load, groups",
      inputs: [x(1, 4, 5, 5), x(4, 2, 3, 3), x(4), x(4)],
      attrs: { ...plain, groups: 2, prologue: "affine" },
      differentiable: false,
    },
    ...stored,
  ],
  split,
});
