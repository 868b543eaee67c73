// maxPool2d — y[n,c,p,q] = the largest x in the window at (p·sh-pt, q·sw-pl), and its flat position h·W + w in the
// plane. Ties give the first in row order, NaN is largest (PyTorch). Its gradient maxPool2dInput gathers: each input
// element adds the gy of the windows that chose it.

import { numel } from "../core/shape.ts";
import { ndarray } from "../graph/array.ts";
import {
  type BareCall,
  type Call,
  type Dispatch,
  defineOp,
  type Kernel,
  type SplitAxis,
} from "../graph/op.ts";
import { call } from "./build.ts";
import { ceilDiv, foldGrid, workgroupSize } from "./layout.ts";
import { blocks, type PoolAttrs, poolOutput, poolUniforms, windowParams } from "./pool_shape.ts";

const larger = (v: number, best: number) => v > best || Number.isNaN(v);

/** Pictures and channels can be cut. */
function split(shape: readonly number[], inputs: number, outputs: number): SplitAxis[] {
  return [0, 1].map((d) => ({
    extent: shape[d],
    inputs: new Array<number>(inputs).fill(d),
    outputs: new Array<number>(outputs).fill(d),
    merge: "concat" as const,
  }));
}

const plain = {
  kernel: [2, 2],
  stride: [2, 2],
  padding: [0, 0, 0, 0],
  dilation: [1, 1],
  ceilMode: false,
} as const;
const stem = { ...plain, kernel: [3, 3], padding: [1, 1, 1, 1] } as const;

/** Any windows: `x` is counted in vectors of `width` along a row. */
function forward(c: Call<PoolAttrs>, width: 1 | 2): Omit<Dispatch, "shader"> {
  const [x] = c.inputs;
  const [y, at] = c.outputs;
  const { WG, extents, grid } = blocks(y.shape, c.device);
  const geometry = poolUniforms(x.shape, y.shape, c.attrs);
  return {
    params: { WG, ...windowParams(c.attrs.kernel) },
    bind: { x: { in: 0 }, y: { out: 0 }, at: { out: 1 } },
    uniforms: {
      ...geometry,
      ...extents,
      iw: geometry.iw / width,
      x0: x.offset / width,
      xn: x.batchStride / width,
      y0: y.offset,
      yn: y.batchStride,
      i0: at.offset,
      in_: at.batchStride,
    },
    grid,
  };
}

const windows: Kernel<PoolAttrs> = {
  name: "window",
  dispatches: (c) => [{ ...forward(c, 1), shader: "max_pool2d" }],
};

const pairs: Kernel<PoolAttrs> = {
  name: "pairs",
  when: ({ inputs: [x], attrs: { kernel, stride, dilation } }) =>
    (kernel[1] === 2 || kernel[1] === 3) &&
    stride[1] === 2 &&
    dilation[1] === 1 &&
    [x.shape[3], x.offset, x.batchStride].every((v) => v % 2 === 0),
  score: () => 1,
  dispatches: (c) => {
    const dispatch = forward(c, 2);
    const { kernel, padding } = c.attrs;
    // Two columns need one pair where they begin on an even one.
    const FROM = padding[2] % 2 === 1 ? 1 : kernel[1] === 2 ? 2 : 0;
    const params = { ...dispatch.params, KW: kernel[1], FROM };
    return [{ ...dispatch, params, shader: "max_pool2d_pairs" }];
  },
};

const maxPool2d = defineOp<PoolAttrs>({
  name: "maxPool2d",
  infer: ([x], a) => {
    const shape = poolOutput("maxPool2d", x, a);
    return [
      { shape, dtype: "f32" },
      { shape, dtype: "i32" },
    ];
  },
  ref: ([x], a) => {
    const [n, c, oh, ow] = poolOutput("maxPool2d", x, a);
    const [, , ih, iw] = x.shape;
    const y = new Float64Array(n * c * oh * ow);
    const at = new Float64Array(y.length);
    for (let i = 0; i < y.length; i++) {
      const q = i % ow;
      const p = Math.floor(i / ow) % oh;
      const plane = Math.floor(i / (ow * oh)) * ih * iw;
      let best = Number.NEGATIVE_INFINITY;
      let where = -1;
      for (let r = 0; r < a.kernel[0]; r++) {
        const h = p * a.stride[0] - a.padding[0] + r * a.dilation[0];
        if (h < 0 || h >= ih) continue;
        for (let s = 0; s < a.kernel[1]; s++) {
          const w = q * a.stride[1] - a.padding[2] + s * a.dilation[1];
          if (w < 0 || w >= iw) continue;
          const v = x.data[plane + h * iw + w];
          if (where >= 0 && !larger(v, best)) continue;
          if (Number.isNaN(best)) continue;
          best = v;
          where = h * iw + w;
        }
      }
      y[i] = best;
      at[i] = where;
    }
    return [ndarray([n, c, oh, ow], y), ndarray([n, c, oh, ow], at, "i32")];
  },
  vjp: ({ inputs: [x], outputs: [, at], attrs, gy: [g] }) => {
    return [g && call("maxPool2dInput", [g, at], { ...attrs, size: [x.shape[2], x.shape[3]] })];
  },
  exact: true,
  cost: (_i, [y], a) => ({ flops: numel(y.shape) * a.kernel[0] * a.kernel[1] }),
  kernels: [windows, pairs],
  samples: [
    { inputs: [{ shape: [2, 3, 6, 6], distinct: true }], attrs: plain },
    { inputs: [{ shape: [1, 2, 9, 7], distinct: true }], attrs: stem },
    {
      inputs: [{ shape: [1, 2, 7, 8], distinct: true }],
      attrs: { ...plain, kernel: [3, 2], stride: [2, 3], ceilMode: true },
    },
    {
      inputs: [{ shape: [1, 2, 9, 9], distinct: true }],
      attrs: { ...plain, kernel: [2, 3], dilation: [2, 2], padding: [1, 1, 1, 1] },
    },
    { note: "even rows", inputs: [{ shape: [2, 3, 9, 10], distinct: true }], attrs: stem },
    {
      note: "even rows, no padding, ceil mode",
      inputs: [{ shape: [1, 2, 8, 8], distinct: true }],
      attrs: { ...plain, kernel: [3, 3], ceilMode: true },
    },
    {
      note: "even rows, windows of 2 with padding",
      inputs: [{ shape: [1, 2, 6, 6], distinct: true }],
      attrs: { ...plain, padding: [1, 1, 1, 1] },
    },
    {
      note: "ties in windows that overlap",
      inputs: [{ shape: [1, 1, 4, 4], values: [0, 2, 2, 1, 2, 0, 2, 1, 2, 2, 0, 1, 1, 1, 1, 1] }],
      attrs: stem,
      differentiable: false,
    },
    {
      note: "ties",
      inputs: [{ shape: [1, 1, 4, 4], values: [1, 1, 2, 0, 1, 1, 0, 2, 3, 0, 0, 0, 0, 3, 0, 0] }],
      attrs: plain,
      differentiable: false,
    },
    {
      note: "NaN and -Inf",
      inputs: [
        {
          shape: [1, 1, 2, 4],
          values: [
            Number.NaN,
            1,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
            5,
            Number.NaN,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
          ],
        },
      ],
      attrs: plain,
      differentiable: false,
    },
  ],
  split: ([x]) => split(x.shape, 1, 2),
});

interface InputAttrs extends PoolAttrs {
  readonly size: readonly [number, number];
}

/** An invocation for each element of y, or for each row. */
function gradient(name: string, shader: string, rows: boolean): Kernel<InputAttrs> {
  return {
    name,
    dispatches: (c) => {
      const [g] = c.inputs;
      const [y] = c.outputs;
      const WG = workgroupSize(c.device);
      const total = numel(rows ? y.shape.slice(0, 3) : y.shape);
      return [
        {
          shader,
          params: { WG },
          bind: GRADIENT,
          uniforms: { total, ...gradientPlaces(c), ...poolUniforms(y.shape, g.shape, c.attrs) },
          grid: foldGrid(ceilDiv(total, WG), c.device),
        },
      ];
    },
  };
}

/** The windows that reach a cell of two elements in steps of 2: how many, and how far the first lies from the cell's place. */
function reach(kernel: number, lead: number): { count: number; first: number } {
  const first = Math.ceil((lead - kernel + 1) / 2);
  return { count: Math.floor((lead + 1) / 2) - first + 1, first };
}

const cells: Kernel<InputAttrs> = {
  name: "cells",
  when: ({ attrs: { stride, dilation, kernel, padding }, outputs: [y] }) =>
    stride.every((s) => s === 2) &&
    dilation.every((d) => d === 1) &&
    reach(kernel[1], padding[2]).count <= 2 &&
    [y.shape[3], y.offset, y.batchStride].every((v) => v % 2 === 0),
  score: () => 2,
  dispatches: (c) => {
    const { kernel, padding } = c.attrs;
    const [n, ch, ih, iw] = c.outputs[0].shape;
    const [, , oh, ow] = c.inputs[0].shape;
    const [down, across] = [reach(kernel[0], padding[0]), reach(kernel[1], padding[2])];
    const places = gradientPlaces(c);
    const { WG, extents, grid } = blocks([n, ch, ceilDiv(ih, 2), iw / 2], c.device);
    return [
      {
        shader: "max_pool2d_cells",
        params: { WG, JH: down.count, JW: across.count },
        bind: GRADIENT,
        uniforms: {
          ...extents,
          ...places,
          // Places and rows of the output are counted in pairs.
          y0: places.y0 / 2,
          yn: places.yn / 2,
          ih,
          iw: iw / 2,
          oh,
          ow,
          p0: down.first,
          q0: across.first,
        },
        grid,
      },
    ];
  },
};

const GRADIENT: Dispatch["bind"] = { g: { in: 0 }, at: { in: 1 }, y: { out: 0 } };

function gradientPlaces({ inputs: [g, at], outputs: [y] }: BareCall) {
  return {
    g0: g.offset,
    gn: g.batchStride,
    i0: at.offset,
    in_: at.batchStride,
    y0: y.offset,
    yn: y.batchStride,
  };
}

/** The gradient of a pool over made-up values of that shape. */
function gradientSample(note: string, shape: readonly number[], attrs: PoolAttrs) {
  const x = ndarray(
    shape,
    Float64Array.from({ length: numel(shape) }, (_, i) => Math.sin(37 * i)),
  );
  const [y, at] = maxPool2d.ref([x], attrs);
  const chosen = { shape: y.shape, dtype: "i32" as const, values: [...at.data] };
  const size = [shape[2], shape[3]] as const;
  return { note, inputs: [{ shape: y.shape }, chosen], attrs: { ...attrs, size }, differentiable: false };
}

defineOp<InputAttrs>({
  name: "maxPool2dInput",
  infer: ([g], a) => [{ shape: [g.shape[0], g.shape[1], a.size[0], a.size[1]], dtype: "f32" }],
  ref: ([g, at], a) => {
    const [n, c, oh, ow] = g.shape;
    const plane = a.size[0] * a.size[1];
    const out = new Float64Array(n * c * plane);
    for (let i = 0; i < g.data.length; i++) out[Math.floor(i / (oh * ow)) * plane + at.data[i]] += g.data[i];
    return [ndarray([n, c, a.size[0], a.size[1]], out)];
  },
  terms: (_i, a) => Math.ceil(a.kernel[0] / a.stride[0]) * Math.ceil(a.kernel[1] / a.stride[1]),
  exact: true,
  magnitude: ([g, at], a) => {
    const [n, c, oh, ow] = g.shape;
    const plane = a.size[0] * a.size[1];
    const out = new Float64Array(n * c * plane);
    for (let i = 0; i < g.data.length; i++)
      out[Math.floor(i / (oh * ow)) * plane + at.data[i]] += Math.abs(g.data[i]);
    return [ndarray([n, c, a.size[0], a.size[1]], out)];
  },
  cost: ([g], _o, a) => ({ flops: numel(g.shape) * a.kernel[0] * a.kernel[1] }),
  kernels: [
    gradient("gather", "max_pool2d_input", false),
    // A row an invocation: few divisions, which software devices are slow at.
    { ...gradient("scatter", "max_pool2d_scatter", true), score: (c) => (c.device.software ? 1 : -1) },
    cells,
  ],
  samples: [
    {
      inputs: [
        { shape: [1, 2, 2, 2] },
        { shape: [1, 2, 2, 2], dtype: "i32", values: [0, 3, 9, 15, 5, 6, 9, 10] },
      ],
      attrs: { ...plain, size: [4, 4] },
      differentiable: false,
    },
    {
      note: "overlapping windows",
      inputs: [{ shape: [1, 1, 2, 2] }, { shape: [1, 1, 2, 2], dtype: "i32", values: [5, 5, 5, 10] }],
      attrs: { ...stem, size: [4, 4] },
      differentiable: false,
    },
    gradientSample("odd rows and columns", [2, 3, 9, 7], stem),
    gradientSample("even rows", [2, 3, 9, 10], stem),
    gradientSample("no padding, rows that no window reaches", [1, 2, 8, 8], { ...plain, kernel: [3, 3] }),
    gradientSample("windows of 2 with padding", [1, 2, 6, 6], { ...plain, padding: [1, 1, 1, 1] }),
    gradientSample("steps of 1", [1, 2, 5, 6], { ...stem, stride: [1, 1] }),
  ],
  split: ([g]) => split(g.shape, 2, 1),
});
