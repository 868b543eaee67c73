// pad — y = x surrounded by a constant: before[d] elements in front of axis d and after[d] behind it.

import { ShapeError } from "../core/error.ts";
import { numel, type Shape, show, stridesOf } from "../core/shape.ts";
import { forEachIndex, ndarray, offsetOf } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp } from "../graph/op.ts";
import { call } from "./build.ts";
import { ceilDiv, foldGrid, operandStrides, pad8, workgroupSize } from "./layout.ts";

interface PadAttrs extends Attrs {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly value: number;
}

const padded = (shape: Shape, a: PadAttrs) => shape.map((d, i) => d + a.before[i] + a.after[i]);

defineOp<PadAttrs>({
  name: "pad",
  infer: ([x], a) => {
    const whole = (v: number) => Number.isInteger(v) && v >= 0;
    const ok = a.before.length === x.shape.length && a.after.length === x.shape.length;
    if (!ok || ![...a.before, ...a.after].every(whole) || x.dtype !== "f32" || x.shape.length > 8) {
      throw new ShapeError(`pad: [${a.before}] before and [${a.after}] after do not suit ${show(x)}`);
    }
    return [{ shape: padded(x.shape, a), dtype: x.dtype }];
  },
  ref: ([x], a) => {
    const shape = padded(x.shape, a);
    const strides = stridesOf(shape);
    const out = new Float64Array(numel(shape)).fill(a.value);
    const start = offsetOf(a.before, strides);
    forEachIndex(x.shape, (index, flat) => {
      out[start + offsetOf(index, strides)] = x.data[flat];
    });
    return [ndarray(shape, out)];
  },
  vjp: ({ inputs: [x], attrs: a, gy: [g] }) => {
    if (!g) return [null];
    let part = g;
    x.shape.forEach((d, axis) => {
      if (a.before[axis] + a.after[axis] > 0) {
        part = call("slice", [part], { axis, from: a.before[axis], to: a.before[axis] + d });
      }
    });
    return [part];
  },
  exact: true,
  cost: () => ({ flops: 0 }),
  kernels: [
    {
      name: "gather",
      dispatches: (c) => {
        const [x] = c.inputs;
        const [y] = c.outputs;
        const WG = workgroupSize(c.device);
        return [
          {
            shader: "pad",
            params: { WG },
            bind: { x: { in: 0 }, y: { out: 0 } },
            uniforms: {
              total: numel(y.shape),
              x0: x.offset,
              y0: y.offset,
              value: c.attrs.value,
              shape: pad8(y.shape, 1),
              inner: pad8(x.shape, 1),
              before: pad8(c.attrs.before, 0),
              xs: pad8(operandStrides(x), 0),
              ys: pad8(operandStrides(y), 0),
            },
            grid: foldGrid(ceilDiv(numel(y.shape), WG), c.device),
          },
        ];
      },
    },
  ],
  samples: [
    { inputs: [{ shape: [2, 3] }], attrs: { before: [0, 1], after: [2, 0], value: 0 } },
    { inputs: [{ shape: [2, 2, 3, 3] }], attrs: { before: [0, 0, 1, 2], after: [0, 0, 0, 1], value: -1 } },
    { inputs: [{ shape: [2, 0] }], attrs: { before: [0, 1], after: [0, 1], value: 3 } },
  ],
  split: ([x], _o, a) =>
    x.shape.map((extent, d) => ({
      // Only an axis without padding can be cut: its parts are padded alike.
      extent: a.before[d] + a.after[d] === 0 ? extent : 1,
      inputs: [d],
      outputs: [d],
      merge: "concat" as const,
    })),
});
