// concat — y = the inputs side by side along one axis. On the device an input that its producer can write straight
// into y costs nothing (`places`); the others are copied, one dispatch each.

import { ShapeError } from "../core/error.ts";
import { normAxis, numel, type Shape, show, stridesOf, type TypeOf } from "../core/shape.ts";
import { forEachIndex, ndarray, offsetOf } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { type Call, defineOp } from "../graph/op.ts";
import { slice } from "./build.ts";
import { stridedDispatch } from "./elementwise.ts";
import { operandStrides } from "./layout.ts";

interface ConcatAttrs extends Attrs {
  readonly axis: number;
}

/** Start of each input along the axis, and the total. */
function starts(inputs: readonly TypeOf[], axis: number): number[] {
  const out = [0];
  for (const t of inputs) out.push(out[out.length - 1] + t.shape[axis]);
  return out;
}

function inferShape(inputs: readonly TypeOf[], axis: number): Shape {
  const [first] = inputs;
  if (!first) throw new ShapeError("concat: needs at least one tensor");
  normAxis(axis, first.shape.length, "concat");
  for (const t of inputs) {
    const fits =
      t.dtype === first.dtype &&
      t.shape.length === first.shape.length &&
      t.shape.every((d, i) => i === axis || d === first.shape[i]);
    if (!fits) throw new ShapeError(`concat: ${show(t)} does not fit ${show(first)} along axis ${axis}`);
  }
  if (first.dtype === "u8") throw new ShapeError(`concat: takes f32, i32 or u32 tensors, got ${show(first)}`);
  return first.shape.map((d, i) => (i === axis ? starts(inputs, axis)[inputs.length] : d));
}

/** Copies input i to its place: a strided pass whose output is a window of y. */
function copyInto(call: Call<ConcatAttrs>, i: number, start: number) {
  const x = call.inputs[i];
  const y = call.outputs[0];
  const strides = operandStrides(y);
  const window = { ...y, shape: x.shape, offset: y.offset + start * strides[call.attrs.axis] };
  // The window keeps y's strides, which need not be dense in its own shape: walk it as a broadcast-free copy.
  const part = { ...call, inputs: [x], outputs: [window] };
  const d = stridedDispatch(
    { wgsl: "p0", names: [] },
    part,
    x.shape,
    [{ offset: x.offset, strides: operandStrides(x) }],
    strides,
  );
  return { ...d, bind: { a: { in: i }, y: { out: 0 } } };
}

defineOp<ConcatAttrs>({
  name: "concat",
  infer: (inputs, { axis }) => [{ shape: inferShape(inputs, axis), dtype: inputs[0].dtype }],
  ref: (inputs, { axis }) => {
    const shape = inferShape(inputs, axis);
    const strides = stridesOf(shape);
    const from = starts(inputs, axis);
    const out = new Float64Array(numel(shape));
    inputs.forEach((x, k) => {
      forEachIndex(x.shape, (index, flat) => {
        out[offsetOf(index, strides) + from[k] * strides[axis]] = x.data[flat];
      });
    });
    return [ndarray(shape, out, inputs[0].dtype)];
  },
  vjp: ({ inputs, attrs: { axis }, gy: [g], needs }) => {
    const from = starts(inputs, axis);
    return inputs.map((_, i) => (g && needs[i] ? slice(g, axis, from[i], from[i + 1]) : null));
  },
  exact: true,
  cost: () => ({ flops: 0 }),
  places: (inputs, output, { axis }) => {
    // A part without elements would lie behind the end of y.
    if (inputs.some((t) => numel(t.shape) === 0)) return null;
    // A place is a window whose rows of axis 0 lie apart, so nothing between axis 0 and `axis` may be walked around it.
    if (!output.shape.slice(1, axis).every((d) => d === 1)) return null;
    const inner = operandStrides(output)[axis];
    const from = starts(inputs, axis);
    return inputs.map((_, k) => ({
      offset: output.offset + from[k] * inner,
      batchStride: output.batchStride,
    }));
  },
  // Any axis but the one that the inputs are joined on.
  split: (inputs, [y], { axis }) =>
    y.shape.map((extent, d) => ({
      extent: d === axis ? 1 : extent,
      inputs: inputs.map(() => d),
      outputs: [d],
      merge: "concat" as const,
    })),
  kernels: [
    {
      name: "copy",
      dispatches: (call) => {
        const from = starts(call.inputs, call.attrs.axis);
        return call.inputs.map((_, i) => copyInto(call, i, from[i]));
      },
    },
  ],
  samples: [
    { inputs: [{ shape: [2, 3, 2] }, { shape: [2, 1, 2] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 3] }, { shape: [4, 3] }, { shape: [1, 3] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [2, 2, 3] }, { shape: [2, 2, 5] }], attrs: { axis: 2 } },
    { inputs: [{ shape: [1, 3, 2, 2] }, { shape: [1, 2, 2, 2] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 3] }, { shape: [2, 0] }], attrs: { axis: 1 } },
  ],
});
