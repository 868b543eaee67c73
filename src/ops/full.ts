// full — y[i] = value.

import type { DType } from "../core/dtype.ts";
import { ShapeError } from "../core/error.ts";
import { numel, type Shape } from "../core/shape.ts";
import { ndarray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp } from "../graph/op.ts";
import { stridedDispatch } from "./elementwise.ts";

interface FullAttrs extends Attrs {
  readonly shape: Shape;
  readonly value: number;
  readonly dtype: string;
}

defineOp<FullAttrs>({
  name: "full",
  infer: (_inputs, { shape, dtype }) => {
    if (dtype !== "f32" && dtype !== "i32" && dtype !== "u32")
      throw new ShapeError(`full: unknown dtype ${dtype}`);
    return [{ shape, dtype }];
  },
  ref: (_inputs, { shape, value, dtype }) => [
    ndarray(shape, new Float64Array(numel(shape)).fill(value), dtype as DType),
  ],
  exact: true,
  cost: () => ({ flops: 0 }),
  kernels: [
    {
      name: "fill",
      dispatches: (call) => {
        const e = { wgsl: "TY(s0)", names: [], scalars: () => [call.attrs.value] };
        return [stridedDispatch(e, call, call.outputs[0].shape, [])];
      },
    },
  ],
  samples: [
    { inputs: [], attrs: { shape: [2, 3], value: 1.5, dtype: "f32" } },
    { inputs: [], attrs: { shape: [], value: 3, dtype: "i32" } },
  ],
  split: (_inputs, [y], attrs) =>
    y.shape.map((extent, d) => ({
      extent,
      inputs: [],
      outputs: [d],
      merge: "concat" as const,
      attrs: (from, to) => ({ ...attrs, shape: y.shape.map((e, i) => (i === d ? to - from : e)) }),
    })),
});
