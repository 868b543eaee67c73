// dropoutMask — mask[i] = 0 with probability p, else 1/(1-p), from Threefry-2x32 keyed by a per-step leaf and counted
// by (i/2, stream): any order of evaluation gives the same mask, and forward and backward share the node.

import { ShapeError } from "../core/error.ts";
import { threefry } from "../core/random.ts";
import { numel, type Shape } from "../core/shape.ts";
import { ndarray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp } from "../graph/op.ts";
import { ceilDiv, foldGrid, workgroupSize } from "./layout.ts";

interface DropoutAttrs extends Attrs {
  readonly shape: Shape;
  readonly p: number;
  readonly stream: number;
  /** First element of the stream that this mask takes: parts of a split mask continue each other. */
  readonly from: number;
}

defineOp<DropoutAttrs>({
  name: "dropoutMask",
  infer: ([key], { shape, p }) => {
    if (!(p >= 0 && p <= 1)) throw new ShapeError(`dropout: p must lie in [0, 1], got ${p}`);
    if (key.dtype !== "u32" || key.shape[0] !== 2) throw new ShapeError("dropout: the key must be u32[2]");
    return [{ shape, dtype: "f32" }];
  },
  ref: ([key], { shape, p, stream, from }) => {
    const keep = p < 1 ? Math.fround(1 / (1 - p)) : 0;
    const out = new Float64Array(numel(shape));
    for (let i = 0; i < out.length; i++) {
      const words = threefry(key.data[0], key.data[1], (from + i) >>> 1, stream);
      out[i] = words[(from + i) & 1] >>> 8 < Math.round(p * 0x100_0000) ? 0 : keep;
    }
    return [ndarray(shape, out)];
  },
  exact: true,
  cost: (_i, [y]) => ({ flops: 40 * numel(y.shape) }),
  kernels: [
    {
      name: "threefry",
      dispatches: (c) => {
        const [y] = c.outputs;
        const { p, stream, from } = c.attrs;
        const WG = workgroupSize(c.device);
        const row = y.shape.length === 0 ? 1 : numel(y.shape.slice(1));
        return [
          {
            shader: "dropout",
            params: { WG },
            bind: { key: { in: 0 }, y: { out: 0 } },
            uniforms: {
              total: numel(y.shape),
              start: from,
              stream,
              threshold: Math.round(p * 0x100_0000),
              keep: p < 1 ? 1 / (1 - p) : 0,
              k0: c.inputs[0].offset,
              y0: y.offset,
              row,
              yn: y.batchStride,
            },
            grid: foldGrid(ceilDiv(numel(y.shape), WG), c.device),
          },
        ];
      },
    },
  ],
  samples: [
    {
      inputs: [{ shape: [2], dtype: "u32", values: [1, 2] }],
      attrs: { shape: [3, 7], p: 0.5, stream: 0, from: 0 },
    },
    {
      inputs: [{ shape: [2], dtype: "u32", values: [4294967295, 7] }],
      attrs: { shape: [2, 3, 4, 4], p: 0.2, stream: 3, from: 0 },
    },
    {
      inputs: [{ shape: [2], dtype: "u32", values: [9, 9] }],
      attrs: { shape: [5], p: 0, stream: 1, from: 3 },
    },
  ],
  split: (_i, [y], a) => {
    const row = numel(y.shape.slice(1));
    const attrs = (f: number, t: number) => ({
      ...a,
      shape: [t - f, ...y.shape.slice(1)],
      from: a.from + f * row,
    });
    return [{ extent: y.shape[0] ?? 1, inputs: [null], outputs: [0], merge: "concat", attrs }];
  },
});
