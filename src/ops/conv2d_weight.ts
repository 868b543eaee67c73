// conv2dWeight — gw[k,c,r,s] = Σ_{n,p,q} pro(x[n, c, p·sh-pt+r·dh, q·sw-pl+s·dw])·gy[n,k,p,q]: the gradient of
// conv2d's weight, with the same transform on load as the forward. Inputs: x, gy, then scale and shift.
// The sum over pictures is cut into parts where the device needs filling; a second pass adds them in fixed order.

import { ShapeError } from "../core/error.ts";
import { dims4, numel, show, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray, ndarray } from "../graph/array.ts";
import { type Bound, type Call, type Dispatch, defineOp, type Kernel, type SplitAxis } from "../graph/op.ts";
import { call } from "./build.ts";
import { weightKernels } from "./conv_gemm.ts";
import { groupWeightDispatches, groupWeightFits, groupWeightScratch } from "./conv_group.ts";
import {
  applyPrologue,
  type ConvAttrs,
  type Geometry,
  geometry,
  groupSplit,
  isPointwise,
  outSize,
  type Prologue,
  prefersSubgroups,
  prologueHooks,
  prologueOffsets,
  walkConv,
} from "./conv_shape.ts";
import { type Fused, gemmKernels } from "./gemm_call.ts";
import { ceilDiv, foldGrid, workgroupSize } from "./layout.ts";
import { joinParts } from "./reduce_parts.ts";

interface WeightAttrs extends ConvAttrs {
  readonly kernel: readonly [number, number];
  readonly prologue: Prologue;
}

function weightShape(x: TypeOf, g: TypeOf, a: WeightAttrs): [number, number, number, number] {
  const [n, c, h, w] = dims4(x, "conv2dWeight x");
  const [gn, k, oh, ow] = dims4(g, "conv2dWeight gy");
  const [eh, ew] = outSize(h, w, a.kernel[0], a.kernel[1], a);
  if (n !== gn || oh !== eh || ow !== ew)
    throw new ShapeError(`conv2dWeight: ${show(g)} is no output of ${show(x)} with kernel ${a.kernel}`);
  return [k, c / a.groups, a.kernel[0], a.kernel[1]];
}

function gradient([x0, gy, scale, shift]: readonly NDArray[], a: WeightAttrs): NDArray {
  const x = applyPrologue(x0, a.prologue, scale, shift);
  const shape = weightShape(x, gy, a);
  const out = new Float64Array(numel(shape));
  const sw = a.stride[1];
  walkConv(geometry(x.shape, shape, a), a, (xi, wi, yi, count) => {
    let s = 0;
    for (let i = 0; i < count; i++) s += x.data[xi + i * sw] * gy.data[yi + i];
    out[wi] += s;
  });
  return ndarray(shape, out);
}

const geo = (c: Call<WeightAttrs>): Geometry => geometry(c.inputs[0].shape, c.outputs[0].shape, c.attrs);

function bindOf(c: Call<WeightAttrs>, parts: number): Record<string, Bound> {
  const bind: Record<string, Bound> = {
    x: { in: 0 },
    g: { in: 1 },
    y: parts > 1 ? { scratch: "parts" } : { out: 0 },
  };
  if (c.attrs.prologue !== "none") {
    bind.scale = { in: 2 };
    bind.shift = { in: 3 };
  }
  return bind;
}

const direct: Kernel<WeightAttrs> = {
  name: "direct",
  dispatches: (c) => {
    const a = c.attrs;
    const [x, gy] = c.inputs;
    const [y] = c.outputs;
    const g = geo(c);
    const WG = workgroupSize(c.device);
    return [
      {
        shader: "conv2d_weight_direct",
        params: { WG },
        hooks: prologueHooks(a.prologue, 1),
        bind: bindOf(c, 1),
        uniforms: {
          x0: x.offset,
          xn: x.batchStride,
          g0: gy.offset,
          gn: gy.batchStride,
          y0: y.offset,
          total: numel(y.shape),
          n: g.n,
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
          yn: y.batchStride,
          ...prologueOffsets(c.inputs[2], c.inputs[3]),
        },
        grid: foldGrid(ceilDiv(numel(y.shape), WG), c.device),
      },
    ];
  },
};

/** How many parts the pictures are cut into so that `tiles` workgroups become enough to fill the device. */
function partsOf(n: number, tiles: number, software: boolean): number {
  return Math.max(1, Math.min(n, ceilDiv(software ? 2 : 256, tiles)));
}

interface Tile {
  readonly shader: string;
  readonly vec: boolean;
  /** Workgroups over the output, for the split. */
  readonly grid: (g: Geometry, c: Call<WeightAttrs>) => [number, number];
  readonly params: (c: Call<WeightAttrs>) => Record<string, number>;
  readonly uniforms: (g: Geometry, c: Call<WeightAttrs>) => Record<string, number>;
  /** Each kernel row is a workgroup of its own (z counts rows, then parts). */
  readonly perRow?: boolean;
}

function tiled(t: Tile, c: Call<WeightAttrs>): { parts: number; per: number } {
  const g = geo(c);
  const [gx, gy] = t.grid(g, c);
  const tiles = gx * gy * (t.perRow ? g.kh : 1);
  const per = ceilDiv(g.n, partsOf(g.n, tiles, c.device.software));
  return { parts: ceilDiv(g.n, per), per };
}

function tileDispatches(t: Tile, c: Call<WeightAttrs>): Dispatch[] {
  const [x, gy] = c.inputs;
  const [y] = c.outputs;
  const g = geo(c);
  const { parts, per } = tiled(t, c);
  const v = t.vec ? 4 : 1;
  const total = numel(y.shape);
  const [tx, ty] = t.grid(g, c);
  const first: Dispatch = {
    shader: t.shader,
    params: t.params(c),
    hooks: prologueHooks(c.attrs.prologue, t.vec ? 4 : 1),
    bind: bindOf(c, parts),
    uniforms: {
      o: g.k,
      n: g.n,
      per,
      part: total,
      x0: x.offset / v,
      xn: x.batchStride / v,
      g0: gy.offset / v,
      gn: gy.batchStride / v,
      y0: parts > 1 ? 0 : y.offset,
      yn: parts > 1 ? total / g.k : y.batchStride,
      ...prologueOffsets(c.inputs[2], c.inputs[3]),
      ...t.uniforms(g, c),
    },
    grid: [tx, ty, t.perRow ? parts * g.kh : parts],
  };
  return parts > 1
    ? [first, joinParts({ scratch: "parts", count: parts, strides: [1, total] }, y, c.device)]
    : [first];
}

function tileKernel(
  name: string,
  t: Tile,
  rest: Pick<Kernel<WeightAttrs>, "when" | "score" | "space">,
): Kernel<WeightAttrs> {
  return {
    name,
    ...rest,
    scratch: (c) => {
      const { parts } = tiled(t, c);
      return parts > 1 ? { parts: parts * numel(c.outputs[0].shape) } : ({} as Record<string, number>);
    },
    dispatches: (c) => tileDispatches(t, c),
  };
}

const tapUniforms = (g: Geometry, c: Call<WeightAttrs>) => ({
  taps: g.c * g.kh * g.kw,
  ih: g.ih,
  iw: g.iw,
  oh: g.oh,
  ow: g.ow,
  kh: g.kh,
  kw: g.kw,
  sh: c.attrs.stride[0],
  sw: c.attrs.stride[1],
  dh: c.attrs.dilation[0],
  dw: c.attrs.dilation[1],
  pt: c.attrs.padding[0],
  pl: c.attrs.padding[2],
});

const taps: Tile = {
  shader: "conv2d_weight_taps",
  vec: false,
  grid: (g, c) => [ceilDiv(g.c * g.kh * g.kw, workgroupSize(c.device)), ceilDiv(g.k, c.params.TO)],
  params: (c) => ({ WG: workgroupSize(c.device), TO: c.params.TO }),
  uniforms: tapUniforms,
};

const tapsSg: Tile = {
  shader: "conv2d_weight_taps_sg",
  vec: false,
  grid: (g, c) => [ceilDiv(g.c * g.kh * g.kw, 8 * c.params.TT), ceilDiv(g.k, 8 * c.params.TO)],
  params: (c) => ({ TO: c.params.TO, TT: c.params.TT }),
  uniforms: tapUniforms,
};

const pointwiseSg: Tile = {
  shader: "conv2d_weight_pointwise_sg",
  vec: true,
  grid: (g, c) => [ceilDiv(g.c, 8 * c.params.TC), ceilDiv(g.k, 8 * c.params.TO)],
  params: (c) => ({ TO: c.params.TO, TC: c.params.TC }),
  uniforms: (g) => ({ c: g.c, hw4: (g.ih * g.iw) / 4 }),
};

const channelGrid = (g: Geometry, c: Call<WeightAttrs>): [number, number] => [
  ceilDiv(g.c, 8 * c.params.TC),
  ceilDiv(g.k, 8 * c.params.TO),
];

const rowSg: Tile = {
  shader: "conv2d_weight_row_sg",
  vec: false,
  perRow: true,
  grid: channelGrid,
  params: (c) => ({ TO: c.params.TO, TC: c.params.TC, KW: c.attrs.kernel[1] }),
  uniforms: (g, { attrs: { padding } }) => ({
    c: g.c,
    ih: g.ih,
    iw: g.iw,
    oh: g.oh,
    ow: g.ow,
    kh: g.kh,
    pt: padding[0],
    pl: padding[2],
  }),
};

const rollSg: Tile = {
  shader: "conv2d_weight_roll_sg",
  vec: true,
  perRow: true,
  grid: channelGrid,
  params: (c) => ({ TO: c.params.TO, TC: c.params.TC, KW: c.attrs.kernel[1], PL: c.attrs.padding[2] }),
  uniforms: (g, c) => ({ c: g.c, h: g.ih, w4: g.iw / 4, kh: g.kh, pt: c.attrs.padding[0], gh: g.oh }),
};

const single = (c: Call<WeightAttrs>) => c.attrs.groups === 1;

/** Windows that roll: stride 1, no gaps between taps, few enough taps a row to hold in registers. */
const rolls = ({ attrs: a }: Call<WeightAttrs>) =>
  a.groups === 1 && [...a.stride, ...a.dilation].every((v) => v === 1) && a.kernel[1] > 1 && a.kernel[1] <= 5;

/** Rows of vec4s that keep their width, with a window that reaches into the neighbours only. */
function rollFits(c: Call<WeightAttrs>): boolean {
  const [x, gy] = c.inputs;
  const [, , pl, pr] = c.attrs.padding;
  const aligned = [x.offset, x.batchStride, gy.offset, gy.batchStride, x.shape[3]].every((v) => v % 4 === 0);
  return rolls(c) && aligned && pl + pr === c.attrs.kernel[1] - 1 && Math.max(pl, pr) <= 3;
}

const isPixelwise = ({ attrs }: Call<WeightAttrs>) => isPointwise(attrs, attrs.kernel);

/** 1×1: a product along the pixels of all pictures. */
const tiles = gemmKernels<WeightAttrs>({
  when: isPixelwise,
  call: (c) => {
    const [x, gy] = c.inputs;
    const [y] = c.outputs;
    const { n, c: channels, k, ih, iw } = geo(c);
    const plane = ih * iw;
    return {
      e: { m: k, n: channels, k: n * plane, batch: 1 },
      a: { at: gy.offset, batch: 0, outer: plane, k: 1 },
      b: { at: x.offset, batch: 0, outer: plane, k: 1 },
      y: { at: y.offset, batch: 0, row: y.batchStride },
      along: { plane, a: gy.batchStride, b: x.batchStride },
    };
  },
  fused: (c) => {
    const { x: b, g: a, ...rest } = fused(c, true).bind;
    return { ...fused(c, true), bind: { a, b, ...rest } };
  },
});

function fused(c: Call<WeightAttrs>, vec: boolean): Fused {
  const { y: _y, ...bind } = bindOf(c, 1);
  const vectors = { b0: 0, ...prologueOffsets(c.inputs[2], c.inputs[3]) };
  return { onLoad: prologueHooks(c.attrs.prologue, vec ? 4 : 1), relu: false, bind, vectors };
}

/** Windows gathered into tiles. */
const windows = weightKernels<WeightAttrs>(
  (c) => single(c) && !isPixelwise(c),
  (c) => ({ g: geo(c), a: c.attrs, x: c.inputs[0], gy: c.inputs[1], y: c.outputs[0] }),
  (c) => fused(c, false),
);

/** Groups, depthwise convolutions among them. */
const grouped: Kernel<WeightAttrs> = {
  name: "group",
  when: (c) => groupWeightFits(geo(c), c.attrs, c.device),
  score: () => 6,
  space: { SP: [4, 8, 2] },
  scratch: (c) => groupWeightScratch(geo(c), c.device),
  dispatches: (c) => {
    const [x, gy, ...vectors] = c.inputs;
    const { y: _y, ...bind } = bindOf(c, 1);
    return groupWeightDispatches({ g: geo(c), a: c.attrs, x, gy, y: c.outputs[0] }, c, {
      hooks: prologueHooks(c.attrs.prologue, 1),
      bind,
      vectors: { ...prologueOffsets(vectors[0], vectors[1]) },
    });
  },
};

function pointwiseFits(c: Call<WeightAttrs>): boolean {
  const [x, gy] = c.inputs;
  const plane = x.shape[2] * x.shape[3];
  return (
    isPixelwise(c) && [plane, x.offset, x.batchStride, gy.offset, gy.batchStride].every((v) => v % 4 === 0)
  );
}

const kernels: readonly Kernel<WeightAttrs>[] = [
  direct,
  tileKernel("taps", taps, { when: single, score: () => 4, space: { TO: [8, 4] } }),
  tileKernel("taps_sg", tapsSg, {
    when: (c) => c.device.subgroups && single(c),
    score: (c) => (prefersSubgroups(c.device) ? 8 : 1),
    space: { TO: [2, 1], TT: [4, 2] },
  }),
  tileKernel("row_sg", rowSg, {
    when: (c) => c.device.subgroups && rolls(c),
    score: (c) => (prefersSubgroups(c.device) ? 8.5 : 1.5),
    space: { TO: [2, 1, 4], TC: [2, 1] },
  }),
  tileKernel("roll_sg", rollSg, {
    when: (c) => c.device.subgroups && rollFits(c),
    score: (c) => (prefersSubgroups(c.device) ? 9 : 2),
    space: { TO: [2, 1], TC: [2, 1] },
  }),
  tileKernel("pointwise_sg", pointwiseSg, {
    when: (c) => c.device.subgroups && pointwiseFits(c),
    score: (c) => (prefersSubgroups(c.device) ? 9 : 2),
    space: { TO: [2, 1], TC: [4, 2] },
  }),
  ...tiles,
  ...windows,
  grouped,
];

/** Pictures by addition, output and input channels side by side. */
function split(inputs: readonly TypeOf[], [y]: readonly TypeOf[], a: WeightAttrs): SplitAxis[] {
  const vectors = inputs.slice(2);
  const axes: SplitAxis[] = [
    { extent: inputs[0].shape[0], inputs: [0, 0, ...vectors.map(() => null)], outputs: [null], merge: "sum" },
  ];
  if (a.groups === 1) {
    axes.push({
      extent: y.shape[0],
      inputs: [null, 1, ...vectors.map(() => null)],
      outputs: [0],
      merge: "concat",
    });
    axes.push({
      extent: y.shape[1],
      inputs: [1, null, ...vectors.map(() => 0)],
      outputs: [1],
      merge: "concat",
    });
  }
  const [kg, cg] = [y.shape[0] / a.groups, y.shape[1]];
  const units = vectors.map((): [number, number] => [0, cg]);
  return [...axes, ...groupSplit(a, [[1, cg], [1, kg], ...units], [0, kg])];
}

const plain = {
  groups: 1,
  stride: [1, 1],
  padding: [0, 0, 0, 0],
  dilation: [1, 1],
  kernel: [3, 3],
  prologue: "none",
} as const;
const t = (...shape: number[]) => ({ shape });

defineOp<WeightAttrs>({
  name: "conv2dWeight",
  infer: ([x, g], a) => [{ shape: weightShape(x, g, a), dtype: "f32" }],
  ref: (inputs, a) => [gradient(inputs, a)],
  vjp: ({ inputs: [x, g], attrs: { kernel: _kernel, prologue, ...rest }, gy: [gw], needs }) => {
    if (!gw || prologue !== "none") return [null, null];
    return [
      needs[0] ? call("conv2dInput", [g, gw], { ...rest, size: [x.shape[2], x.shape[3]] }) : null,
      needs[1]
        ? call("conv2d", [x, gw], { ...rest, bias: false, prologue: "none", relu: false, store: [] })
        : null,
    ];
  },
  terms: ([, g]) => g.shape[0] * g.shape[2] * g.shape[3],
  exact: true,
  magnitude: (inputs, a) => {
    const abs = inputs.map((i) => mapArray(i, Math.abs));
    return [gradient(abs, { ...a, prologue: a.prologue === "none" ? "none" : "affine" })];
  },
  cost: ([, g], [y]) => ({ flops: 2 * numel(g.shape) * numel(y.shape.slice(1)) }),
  kernels,
  samples: [
    { inputs: [t(2, 3, 6, 5), t(2, 4, 6, 5)], attrs: { ...plain, padding: [1, 1, 1, 1] } },
    {
      inputs: [t(1, 2, 9, 11), t(1, 3, 5, 4)],
      attrs: { ...plain, kernel: [3, 5], stride: [2, 3], padding: [1, 1, 2, 2] },
    },
    {
      inputs: [t(2, 4, 7, 7), t(2, 6, 4, 4)],
      attrs: { ...plain, groups: 2, stride: [2, 2], padding: [1, 1, 1, 1] },
    },
    {
      note: "depthwise",
      inputs: [t(2, 3, 5, 6), t(2, 3, 5, 6)],
      attrs: { ...plain, groups: 3, padding: [1, 1, 1, 1] },
    },
    {
      note: "depthwise, rows left over",
      inputs: [t(5, 2, 3, 9), t(5, 2, 3, 9)],
      attrs: { ...plain, groups: 2, padding: [1, 1, 1, 1] },
    },
    {
      note: "two channels a group, batch norm on load",
      inputs: [t(3, 4, 9, 11), t(3, 4, 4, 5), t(4), t(4)],
      attrs: {
        ...plain,
        kernel: [5, 5],
        groups: 2,
        stride: [2, 2],
        padding: [1, 2, 2, 1],
        prologue: "affineRelu",
      },
      differentiable: false,
    },
    {
      note: "dilated",
      inputs: [t(1, 2, 9, 9), t(1, 2, 9, 9)],
      attrs: { ...plain, dilation: [2, 3], padding: [2, 2, 3, 3] },
    },
    {
      note: "asymmetric",
      inputs: [t(1, 2, 6, 6), t(1, 2, 3, 3)],
      attrs: { ...plain, stride: [2, 2], padding: [0, 1, 0, 1] },
    },
    {
      note: "rows of four",
      inputs: [t(2, 19, 5, 8), t(2, 9, 5, 8)],
      attrs: { ...plain, padding: [1, 1, 1, 1] },
    },
    {
      note: "rows of four, uneven padding, batch norm on load",
      inputs: [t(1, 10, 4, 12), t(1, 17, 6, 12), t(10), t(10)],
      attrs: { ...plain, kernel: [2, 4], padding: [1, 2, 3, 0], prologue: "affineRelu" },
      differentiable: false,
    },
    { note: "1x1", inputs: [t(3, 37, 4, 4), t(3, 19, 4, 4)], attrs: { ...plain, kernel: [1, 1] } },
    {
      note: "stem",
      inputs: [t(3, 3, 12, 12), t(3, 9, 6, 6)],
      attrs: { ...plain, kernel: [7, 7], stride: [2, 2], padding: [3, 3, 3, 3] },
    },
    {
      note: "batch norm on load",
      inputs: [t(2, 5, 4, 4), t(2, 6, 4, 4), t(5), t(5)],
      attrs: { ...plain, padding: [1, 1, 1, 1], prologue: "affineRelu" },
      differentiable: false,
    },
    {
      note: "many pictures and channels, odd sizes, batch norm on load",
      inputs: [t(9, 13, 7, 5), t(9, 35, 7, 5), t(13), t(13)],
      attrs: { ...plain, padding: [1, 1, 1, 1], prologue: "affineRelu" },
      differentiable: false,
    },
    {
      note: "1x1/2",
      inputs: [t(2, 20, 6, 5), t(2, 33, 3, 3)],
      attrs: { ...plain, kernel: [1, 1], stride: [2, 2] },
    },
    {
      note: "1x1, many pictures, odd plane",
      inputs: [t(31, 35, 3, 3), t(31, 66, 3, 3)],
      attrs: { ...plain, kernel: [1, 1] },
    },
    {
      note: "batch norm on load, 1x1, many pixels",
      inputs: [t(5, 36, 8, 8), t(5, 68, 8, 8), t(36), t(36)],
      attrs: { ...plain, kernel: [1, 1], prologue: "affineRelu" },
      differentiable: false,
    },
    {
      note: "batch norm on load, 1x1",
      inputs: [t(2, 12, 4, 4), t(2, 9, 4, 4), t(12), t(12)],
      attrs: { ...plain, kernel: [1, 1], prologue: "affineRelu" },
      differentiable: false,
    },
  ],
  split,
});
