// argmax — y[o] = the position of the largest x[o, r] along one axis; ties give the first, a NaN counts as largest
// (torch.argmax). i32, not differentiable.

import { ShapeError } from "../core/error.ts";
import { numel, show, stridesOf, type TypeOf } from "../core/shape.ts";
import { forEachIndex, ndarray, offsetOf } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp } from "../graph/op.ts";
import { ceilDiv, foldGrid, operandStrides, workgroupSize } from "./layout.ts";
import { reduceOutput } from "./reduce_parts.ts";

interface ArgmaxAttrs extends Attrs {
  readonly axis: number;
  readonly keepDims: boolean;
}

function outShape([x]: readonly TypeOf[], { axis, keepDims }: ArgmaxAttrs): number[] {
  return keepDims ? x.shape.map((d, i) => (i === axis ? 1 : d)) : x.shape.filter((_, i) => i !== axis);
}

const larger = (a: number, b: number) => (Number.isNaN(a) ? !Number.isNaN(b) : a > b);

defineOp<ArgmaxAttrs>({
  name: "argmax",
  infer: (inputs, a) => {
    const [x] = inputs;
    if (x.dtype !== "f32" || !(x.shape[a.axis] > 0))
      throw new ShapeError(`argmax: takes an f32 tensor with a non-empty axis ${a.axis}, got ${show(x)}`);
    return [{ shape: outShape(inputs, a), dtype: "i32" }];
  },
  ref: (inputs, a) => {
    const [x] = inputs;
    const strides = stridesOf(x.shape.map((d, i) => (i === a.axis ? 1 : d))).map((s, i) =>
      i === a.axis ? 0 : s,
    );
    const n = numel(x.shape) / x.shape[a.axis];
    const best = new Array<number>(n).fill(Number.NEGATIVE_INFINITY);
    const at = new Float64Array(n);
    forEachIndex(x.shape, (index, flat) => {
      const o = offsetOf(index, strides);
      if (!larger(x.data[flat], best[o])) return;
      best[o] = x.data[flat];
      at[o] = index[a.axis];
    });
    return [ndarray(outShape(inputs, a), at, "i32")];
  },
  exact: true,
  cost: ([x]) => ({ flops: numel(x.shape) }),
  kernels: [
    {
      name: "row",
      dispatches: (c) => {
        const [x] = c.inputs;
        const { axis } = c.attrs;
        const inner = numel(x.shape.slice(axis + 1));
        const outer = numel(x.shape.slice(0, axis));
        const strides = operandStrides(x);
        const WG = workgroupSize(c.device);
        return [
          {
            shader: "argmax",
            params: { WG },
            bind: { x: { in: 0 }, y: { out: 0 } },
            uniforms: {
              rows: outer * inner,
              length: x.shape[axis],
              inner,
              // Rows of axis 0 may lie apart; below it the operand is dense.
              first: axis === 0 ? 1 : numel(x.shape.slice(1, axis)),
              x0: x.offset,
              batch: axis === 0 ? 0 : strides[0],
              stride: strides[axis],
              ...reduceOutput(c.outputs[0]),
            },
            grid: foldGrid(ceilDiv(outer * inner, WG), c.device),
          },
        ];
      },
    },
  ],
  samples: [
    { inputs: [{ shape: [3, 7], distinct: true }], attrs: { axis: 1, keepDims: false } },
    { inputs: [{ shape: [2, 5, 3], distinct: true }], attrs: { axis: 1, keepDims: true } },
    {
      note: "ties",
      inputs: [{ shape: [2, 4], values: [1, 3, 3, 0, 5, 5, 5, 5] }],
      attrs: { axis: 1, keepDims: false },
    },
    {
      note: "NaN",
      inputs: [
        {
          shape: [2, 3],
          values: [
            1,
            Number.NaN,
            Number.POSITIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
          ],
        },
      ],
      attrs: { axis: 1, keepDims: false },
    },
  ],
  split: ([x], _o, { axis, keepDims }) =>
    x.shape.map((extent, d) => ({
      extent: d === axis ? 1 : extent,
      inputs: [d],
      outputs: [d === axis ? null : d > axis && !keepDims ? d - 1 : d],
      merge: "concat" as const,
    })),
});
