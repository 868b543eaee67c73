// maxPool2d — y[n,c,p,q] = the largest x in the window at (p·sh-pt, q·sw-pl), and its flat position h·W + w in the
// plane. Ties give the first in row order, NaN is largest (PyTorch). Its gradient maxPool2dInput gathers: each input
// element adds the gy of the windows that chose it.

import { numel } from "../core/shape.ts";
import { ndarray } from "../graph/array.ts";
import { defineOp, type Kernel, type SplitAxis } from "../graph/op.ts";
import { call } from "./build.ts";
import { ceilDiv, foldGrid, workgroupSize } from "./layout.ts";
import { type PoolAttrs, poolOutput, poolUniforms, segment, windowParams } from "./pool_shape.ts";

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

defineOp<PoolAttrs>({
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
  kernels: [
    {
      name: "window",
      dispatches: (c) => {
        const [x] = c.inputs;
        const [y, at] = c.outputs;
        const WG = workgroupSize(c.device);
        const SEG = segment(c);
        const rows = numel(y.shape) / y.shape[3];
        return [
          {
            shader: "max_pool2d",
            params: { WG, SEG, ...windowParams(c.attrs) },
            bind: { x: { in: 0 }, y: { out: 0 }, at: { out: 1 } },
            uniforms: {
              total: rows,
              x0: x.offset,
              xn: x.batchStride,
              y0: y.offset,
              yn: y.batchStride,
              i0: at.offset,
              in_: at.batchStride,
              ...poolUniforms(x.shape, y.shape, c.attrs),
            },
            grid: foldGrid(ceilDiv(rows * ceilDiv(y.shape[3], SEG), WG), c.device),
          },
        ];
      },
    },
  ],
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
function gradientKernel(name: string, shader: string, rows: boolean): Kernel<InputAttrs> {
  return {
    name,
    dispatches: (c) => {
      const [g, at] = c.inputs;
      const [y] = c.outputs;
      const WG = workgroupSize(c.device);
      const total = numel(rows ? y.shape.slice(0, 3) : y.shape);
      return [
        {
          shader,
          params: { WG },
          bind: { g: { in: 0 }, at: { in: 1 }, y: { out: 0 } },
          uniforms: {
            total,
            g0: g.offset,
            gn: g.batchStride,
            i0: at.offset,
            in_: at.batchStride,
            y0: y.offset,
            yn: y.batchStride,
            ...poolUniforms(y.shape, g.shape, c.attrs),
          },
          grid: foldGrid(ceilDiv(total, WG), c.device),
        },
      ];
    },
  };
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
    gradientKernel("gather", "max_pool2d_input", false),
    // A row an invocation: few divisions, which software devices are slow at.
    { ...gradientKernel("scatter", "max_pool2d_scatter", true), score: (c) => (c.device.software ? 1 : -1) },
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
  ],
  split: ([g]) => split(g.shape, 2, 1),
});
