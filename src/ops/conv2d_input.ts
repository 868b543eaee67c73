// conv2dInput — gx[n,c,h,w] = Σ_{k,r,s} gy[n,k,p,q]·w[k,c,r,s] over the outputs (p,q) whose tap (r,s) reads (h,w):
// p·sh - pt + r·dh = h, q·sw - pl + s·dw = w. The gradient of conv2d's input. At stride 1 it is a convolution with the
// taps walked backwards and the weight strides swapped, so it runs on conv2d's tiles.

import { ShapeError } from "../core/error.ts";
import { dims4, numel, show, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray, ndarray } from "../graph/array.ts";
import { type Call, type Dispatch, defineOp, type Kernel, type SplitAxis } from "../graph/op.ts";
import { call } from "./build.ts";
import { windowKernels } from "./conv_gemm.ts";
import { GROUP_SPACE, groupFits, groupInputDispatch, groupPick } from "./conv_group.ts";
import {
  type ConvAttrs,
  geometry,
  groupSplit,
  isPointwise,
  outSize,
  prefersSubgroups,
  walkConv,
} from "./conv_shape.ts";
import {
  NO_VECTORS,
  POINTWISE_SPACE,
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
} from "./conv_tiles.ts";
import { winogradKernel } from "./conv_winograd.ts";
import { gemmKernels, UNFUSED } from "./gemm_call.ts";
import { ceilDiv, workgroupSize } from "./layout.ts";

interface InputAttrs extends ConvAttrs {
  /** Height and width of the input whose gradient this is. */
  readonly size: readonly [number, number];
}

function inputShape(g: TypeOf, w: TypeOf, a: InputAttrs): [number, number, number, number] {
  const [n, k, oh, ow] = dims4(g, "conv2dInput gy");
  const [wk, cg, kh, kw] = dims4(w, "conv2dInput w");
  const [h, width] = outSize(a.size[0], a.size[1], kh, kw, a);
  if (k !== wk || oh !== h || ow !== width)
    throw new ShapeError(`conv2dInput: ${show(g)} is no output of w ${show(w)} on ${a.size}`);
  return [n, cg * a.groups, a.size[0], a.size[1]];
}

function gradient([gy, w]: readonly NDArray[], a: InputAttrs): NDArray {
  const shape = inputShape(gy, w, a);
  const g = geometry(shape, w.shape, a);
  const out = new Float64Array(numel(shape));
  const sw = a.stride[1];
  walkConv(g, a, (xi, wi, yi, count) => {
    const weight = w.data[wi];
    for (let i = 0; i < count; i++) out[xi + i * sw] += weight * gy.data[yi + i];
  });
  return ndarray(shape, out);
}

/** Nothing is fused. */
const PLAIN: Pick<Dispatch, "bind"> & { readonly vectors: typeof NO_VECTORS } = {
  bind: { x: { in: 0 }, w: { in: 1 }, y: { out: 0 } },
  vectors: NO_VECTORS,
};

const direct: Kernel<InputAttrs> = {
  name: "direct",
  dispatches: (c) => {
    const a = c.attrs;
    const [gy, w] = c.inputs;
    const [y] = c.outputs;
    const g = geometry(y.shape, w.shape, a);
    const WG = workgroupSize(c.device);
    return [
      {
        shader: "conv2d_input_direct",
        params: { WG },
        bind: { g: { in: 0 }, w: { in: 1 }, y: { out: 0 } },
        uniforms: {
          g0: gy.offset,
          gn: gy.batchStride,
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
        },
        grid: [Math.min(ceilDiv(g.ih * g.iw, WG), c.device.maxWorkgroups), g.c, g.n],
      },
    ];
  },
};

const unitStride = (a: ConvAttrs) => a.groups === 1 && a.stride[0] === 1 && a.stride[1] === 1;

function pointwiseCall(c: Call<InputAttrs>) {
  const [gy, w] = c.inputs;
  const [n, k, h, width] = gy.shape;
  return { n, k, m: w.shape[1], plane: h * width, x: gy, y: c.outputs[0] };
}

const isPixelwise = ({ inputs: [, w], attrs }: Call<InputAttrs>) => isPointwise(attrs, w.shape.slice(2));

const pointwiseWeights = ({ inputs: [, w] }: Call<InputAttrs>) => ({
  w0: w.offset,
  wk: w.batchStride,
  wm: 1,
});

const pointwise: Kernel<InputAttrs> = {
  name: "pointwise",
  when: (c) => isPixelwise(c) && pointwiseFits(pointwiseCall(c)),
  score: () => 5,
  space: { TG: [1, 2] },
  dispatches: (c) => [pointwiseDispatch(pointwiseCall(c), c, pointwiseWeights(c), PLAIN)],
};

const pointwiseSg: Kernel<InputAttrs> = {
  name: "pointwise_sg",
  when: (c) => c.device.subgroups && isPixelwise(c),
  score: (c) => (prefersSubgroups(c.device) ? 9 : 2),
  space: POINTWISE_SPACE,
  pick: (c) => pointwisePick(c.inputs[1].shape[1]),
  dispatches: (c) => [pointwiseSgDispatch(pointwiseCall(c), c, pointwiseWeights(c), PLAIN)],
};

/** 1×1: the columns are the pixels of all pictures. */
const tiles = gemmKernels<InputAttrs>({
  when: isPixelwise,
  call: (c) => pointwiseProduct(pointwiseCall(c), pointwiseWeights(c)),
  fused: () => ({ ...UNFUSED, bind: { a: { in: 1 }, b: { in: 0 } } }),
});

/** gy convolved with the taps reversed; the padding becomes what the kernel reaches beyond it. */
function stripCall({ inputs: [gy, w], outputs: [y], attrs }: Call<InputAttrs>): StripCall {
  const g = geometry(y.shape, w.shape, attrs);
  const { stride, dilation, padding } = attrs;
  return {
    n: g.n,
    k: g.k,
    m: g.c,
    ih: g.oh,
    iw: g.ow,
    oh: g.ih,
    ow: g.iw,
    kh: g.kh,
    kw: g.kw,
    stride,
    dilation,
    pt: dilation[0] * (g.kh - 1) - padding[0],
    pl: dilation[1] * (g.kw - 1) - padding[2],
    x: gy,
    y,
  };
}

/** Windows gathered into tiles, at any stride. */
const windows = windowKernels<InputAttrs>(
  (c) => c.attrs.groups === 1 && !isPixelwise(c),
  (c) => {
    const [, w] = c.inputs;
    const { padding } = c.attrs;
    const taps = w.shape[2] * w.shape[3];
    return {
      s: { ...stripCall(c), pt: padding[0], pl: padding[2] },
      w: { w0: w.offset, wk: w.batchStride, wm: taps },
      backwards: true,
    };
  },
  () => ({ ...UNFUSED, bind: { x: { in: 0 }, w: { in: 1 } } }),
);

function stripWeights({ inputs: [, w] }: Call<InputAttrs>) {
  const taps = w.shape[2] * w.shape[3];
  return { w0: w.offset + taps - 1, wk: w.batchStride, wm: taps, wt: -1 };
}

const winograd = winogradKernel<InputAttrs>(
  (c) => unitStride(c.attrs),
  (c) => ({ s: stripCall(c), w: stripWeights(c) }),
  () => ({ ...UNFUSED, bind: { x: { in: 0 }, w: { in: 1 } } }),
);

/** Stride 1. */
function strip(sg: boolean): Kernel<InputAttrs> {
  return {
    name: sg ? "strip_sg" : "strip",
    when: (c) => (!sg || c.device.subgroups) && unitStride(c.attrs),
    score: (c) => (sg ? (prefersSubgroups(c.device) ? 8 : 1) : 4),
    space: sg ? { TG: [1, 2], SP: [8, 7, 4, 2] } : { TG: [1], SP: [4, 8, 2] },
    pick: (c) => {
      const width = c.outputs[0].shape[3];
      return sg ? stripPick(width, c.outputs[0].shape[1], 1) : { TG: 1, SP: width >= 4 ? 4 : 2 };
    },
    dispatches: (c) => [stripDispatch(stripCall(c), sg, c, stripWeights(c), PLAIN)],
  };
}

/** Rows of vec4s that keep their width (conv_tiles.ts). */
const row: Kernel<InputAttrs> = {
  name: "row_sg",
  when: (c) => c.device.subgroups && unitStride(c.attrs) && rowFits(stripCall(c)),
  score: (c) => (prefersSubgroups(c.device) ? 8.5 : 1.5),
  space: { TG: [2, 1], SP: [8, 4] },
  pick: (c) => rowPick(stripCall(c)),
  dispatches: (c) => [rowDispatch(stripCall(c), c, stripWeights(c), PLAIN)],
};

/** Groups, depthwise convolutions among them, at any stride. */
const grouped: Kernel<InputAttrs> = {
  name: "group",
  when: (c) => groupFits(c.attrs, c.inputs[1].shape[3]),
  score: () => 6,
  space: GROUP_SPACE,
  pick: (c) => groupPick(c.device),
  dispatches: (c) => {
    const [gy, w] = c.inputs;
    const [y] = c.outputs;
    const g = geometry(y.shape, w.shape, c.attrs);
    return [groupInputDispatch({ g, a: c.attrs, from: gy, w, to: y }, c)];
  },
};

function split([, w]: readonly TypeOf[], [y]: readonly TypeOf[], a: InputAttrs): SplitAxis[] {
  const axes: SplitAxis[] = [{ extent: y.shape[0], inputs: [0, null], outputs: [0], merge: "concat" }];
  if (a.groups === 1) {
    axes.push({ extent: y.shape[1], inputs: [null, 1], outputs: [1], merge: "concat" });
    axes.push({ extent: w.shape[0], inputs: [1, 0], outputs: [null], merge: "sum" });
  }
  const [kg, cg] = [w.shape[0] / a.groups, w.shape[1]];
  return [
    ...axes,
    ...groupSplit(
      a,
      [
        [1, kg],
        [0, kg],
      ],
      [1, cg],
    ),
  ];
}

const plain = { groups: 1, stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1] } as const;
const t = (...shape: number[]) => ({ shape });

defineOp<InputAttrs>({
  name: "conv2dInput",
  infer: ([g, w], a) => [{ shape: inputShape(g, w, a), dtype: "f32" }],
  ref: (inputs, a) => [gradient(inputs, a)],
  // Linear in both operands: the double backward that its tests check is conv2d and conv2dWeight again.
  vjp: ({ inputs: [g, w], attrs: { size: _size, ...geo }, gy: [gx], needs }) => {
    if (!gx) return [null, null];
    const [, , kh, kw] = w.shape;
    return [
      needs[0]
        ? call("conv2d", [gx, w], { ...geo, bias: false, prologue: "none", relu: false, store: [] })
        : null,
      needs[1] ? call("conv2dWeight", [gx, g], { ...geo, kernel: [kh, kw], prologue: "none" }) : null,
    ];
  },
  terms: ([, w], a) => (w.shape[0] / a.groups) * w.shape[2] * w.shape[3],
  exact: true,
  magnitude: (inputs, a) => [
    gradient(
      inputs.map((i) => mapArray(i, Math.abs)),
      a,
    ),
  ],
  cost: ([g, w]) => ({ flops: 2 * numel(g.shape) * numel(w.shape.slice(1)) }),
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
    { inputs: [t(2, 4, 6, 5), t(4, 3, 3, 3)], attrs: { ...plain, padding: [1, 1, 1, 1], size: [6, 5] } },
    {
      inputs: [t(1, 3, 5, 4), t(3, 2, 3, 5)],
      attrs: { ...plain, stride: [2, 3], padding: [1, 1, 2, 2], size: [9, 11] },
    },
    {
      inputs: [t(2, 6, 4, 4), t(6, 2, 3, 3)],
      attrs: { ...plain, groups: 2, stride: [2, 2], padding: [1, 1, 1, 1], size: [7, 7] },
    },
    {
      note: "depthwise",
      inputs: [t(1, 3, 5, 6), t(3, 1, 3, 3)],
      attrs: { ...plain, groups: 3, padding: [1, 1, 1, 1], size: [5, 6] },
    },
    {
      note: "depthwise, stride 2, uneven padding",
      inputs: [t(3, 6, 4, 5), t(6, 1, 5, 5)],
      attrs: { ...plain, groups: 6, stride: [2, 2], padding: [1, 2, 2, 1], size: [9, 11] },
    },
    {
      note: "depthwise, stride 3, dilated, rows left over",
      inputs: [t(1, 2, 3, 3), t(2, 1, 3, 3)],
      attrs: { ...plain, groups: 2, stride: [2, 3], dilation: [1, 2], padding: [1, 1, 0, 3], size: [6, 9] },
    },
    {
      note: "four channels a group",
      inputs: [t(2, 8, 5, 9), t(8, 4, 3, 3)],
      attrs: { ...plain, groups: 2, padding: [1, 1, 1, 1], size: [5, 9] },
    },
    {
      note: "dilated",
      inputs: [t(1, 2, 9, 9), t(2, 3, 3, 3)],
      attrs: { ...plain, dilation: [2, 3], padding: [2, 2, 3, 3], size: [9, 9] },
    },
    {
      note: "asymmetric",
      inputs: [t(1, 2, 6, 7), t(2, 2, 3, 3)],
      attrs: { ...plain, padding: [0, 2, 1, 2], size: [6, 6] },
    },
    { note: "1x1", inputs: [t(2, 11, 4, 4), t(11, 21, 1, 1)], attrs: { ...plain, size: [4, 4] } },
    {
      note: "1x1, many channels, odd plane",
      inputs: [t(3, 270, 3, 3), t(270, 35, 1, 1)],
      attrs: { ...plain, size: [3, 3] },
    },
    {
      note: "1x1, channels of four",
      inputs: [t(2, 20, 6, 6), t(20, 72, 1, 1)],
      attrs: { ...plain, size: [6, 6] },
    },
    {
      note: "Winograd's, uneven padding",
      inputs: [t(2, 65, 6, 6), t(65, 6, 3, 3)],
      attrs: { ...plain, padding: [0, 2, 1, 0], size: [6, 7] },
    },
    {
      note: "many channels, stride 2",
      inputs: [t(3, 33, 4, 3), t(33, 35, 3, 3)],
      attrs: { ...plain, stride: [2, 2], padding: [1, 1, 1, 1], size: [7, 5] },
    },
    {
      note: "1x1/2",
      inputs: [t(2, 20, 3, 3), t(20, 33, 1, 1)],
      attrs: { ...plain, stride: [2, 2], size: [6, 5] },
    },
    {
      note: "rows left over",
      inputs: [t(1, 2, 3, 3), t(2, 2, 3, 3)],
      attrs: { ...plain, stride: [2, 2], size: [8, 8] },
    },
  ],
  split,
});
