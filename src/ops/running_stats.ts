// runningStats — batch norm's running statistics, in the buffers that hold them:
//   mean' = (1-k)·mean + k·m,  var' = (1-k)·var + k·f·v     f = M/(M-1) makes the variance of M values unbiased
// k is the attribute `momentum`, or, where that is null, a fifth input [1]: what changes from run to run.

import { ShapeError } from "../core/error.ts";
import { numel, sameShape, show } from "../core/shape.ts";
import { mapArray, type NDArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp } from "../graph/op.ts";
import { ceilDiv, workgroupSize } from "./layout.ts";

interface StatsAttrs extends Attrs {
  readonly momentum: number | null;
  readonly factor: number;
}

const momentumOf = (inputs: readonly NDArray[], a: StatsAttrs) => a.momentum ?? inputs[4].data[0];

defineOp<StatsAttrs>({
  name: "runningStats",
  infer: (inputs, { momentum }) => {
    const [rm, ...rest] = inputs.slice(0, 4);
    const fits =
      rest.every((t) => sameShape(t.shape, rm.shape)) && inputs.length === (momentum === null ? 5 : 4);
    if (!fits || (momentum === null && numel(inputs[4].shape) !== 1))
      throw new ShapeError(`runningStats: ${inputs.map(show).join(", ")} do not go together`);
    return inputs.slice(0, 2).map((t) => ({ shape: t.shape, dtype: "f32" as const }));
  },
  ref: (inputs, a) => {
    const [rm, rv, m, v] = inputs;
    const k = momentumOf(inputs, a);
    return [
      mapArray(rm, (x, i) => (1 - k) * x + k * m.data[i]),
      mapArray(rv, (x, i) => (1 - k) * x + k * a.factor * v.data[i]),
    ];
  },
  terms: () => 3,
  magnitude: (inputs, a) => {
    const [rm, rv, m, v] = inputs;
    const k = momentumOf(inputs, a);
    return [
      mapArray(rm, (x, i) => Math.abs(x) + k * Math.abs(m.data[i])),
      mapArray(rv, (x, i) => Math.abs(x) + k * a.factor * Math.abs(v.data[i])),
    ];
  },
  cost: ([rm]) => ({ flops: 6 * numel(rm.shape) }),
  kernels: [
    {
      name: "vector",
      inPlace: [
        [0, 0],
        [1, 1],
      ],
      dispatches: (c) => {
        const WG = workgroupSize(c.device);
        const [r0, r1] = c.outputs;
        const { momentum, factor } = c.attrs;
        const given = momentum === null;
        return [
          {
            shader: "running_stats",
            params: { WG },
            hooks: given ? { momentum: "return s[u.s0];" } : undefined,
            bind: {
              r0: { out: 0 },
              r1: { out: 1 },
              m: { in: 2 },
              v: { in: 3 },
              ...(given && { s: { in: 4 } }),
            },
            uniforms: {
              n: r0.shape[0],
              y0: r0.offset,
              y1: r1.offset,
              o0: c.inputs[2].offset,
              o1: c.inputs[3].offset,
              s0: given ? c.inputs[4].offset : 0,
              k: momentum ?? 0,
              factor,
            },
            grid: [ceilDiv(r0.shape[0], WG), 1, 1],
          },
        ];
      },
    },
  ],
  samples: [
    {
      inputs: [{ shape: [7] }, { shape: [7], low: 0.1 }, { shape: [7] }, { shape: [7], low: 0.1 }],
      attrs: { momentum: 0.1, factor: 16 / 15 },
      differentiable: false,
    },
    {
      inputs: [
        { shape: [3] },
        { shape: [3], low: 0.1 },
        { shape: [3] },
        { shape: [3], low: 0.1 },
        { shape: [1], values: [0.25] },
      ],
      attrs: { momentum: null, factor: 4 / 3 },
      differentiable: false,
    },
  ],
});
