// Keras' layouts to PyTorch's: kernels [h, w, in, out] to [out, in, h, w], depthwise ones [h, w, channels, multiplier]
// to [channels·multiplier, 1, h, w], dense ones [in, out] to [out, in], where a Flatten lies in front with rows that
// count channels last brought to channels first.

import { toFloat32 } from "../../core/half.ts";
import { numel, type Shape } from "../../core/shape.ts";
import type * as nn from "../../nn/index.ts";

const entry = (shape: Shape, data: Float32Array): nn.StateEntry => ({ shape, dtype: "f32", data });

/** Elements as numbers of 32 bits, whatever the file's type. */
function floats({ dtype, data }: nn.StateEntry): Float32Array {
  return dtype === "f32" && data instanceof Float32Array ? data : toFloat32({ dtype, data });
}

/** The axes of an array in another order, as numpy.transpose. */
function transpose(data: Float32Array, shape: Shape, axes: readonly number[]): Float32Array {
  const strides = shape.map((_, i) => numel(shape.slice(i + 1)));
  const out = new Float32Array(data.length);
  let at = 0;
  const walk = (depth: number, from: number): void => {
    const axis = axes[depth];
    const [extent, stride] = [shape[axis], strides[axis]];
    if (depth === axes.length - 1) for (let i = 0; i < extent; i++) out[at++] = data[from + i * stride];
    else for (let i = 0; i < extent; i++) walk(depth + 1, from + i * stride);
  };
  walk(0, 0);
  return out;
}

/** A convolution's kernel; what has other than four axes is left to be refused by its shape. */
export function convKernel(e: nn.StateEntry): nn.StateEntry {
  if (e.shape.length !== 4) return e;
  const [h, w, inputs, outputs] = e.shape;
  return entry([outputs, inputs, h, w], transpose(floats(e), e.shape, [3, 2, 0, 1]));
}

/** A depthwise kernel. */
export function depthwiseKernel(e: nn.StateEntry): nn.StateEntry {
  if (e.shape.length !== 4) return e;
  const [h, w, channels, multiplier] = e.shape;
  return entry([channels * multiplier, 1, h, w], transpose(floats(e), e.shape, [2, 3, 0, 1]));
}

/**
 * A dense kernel. Behind a Flatten of maps of side × side its rows are (y, x, channel) in Keras and (channel, y, x)
 * here; `side` 1 leaves their order.
 */
export function denseKernel(e: nn.StateEntry, side = 1): nn.StateEntry {
  if (e.shape.length !== 2) return e;
  const [inputs, outputs] = e.shape;
  const channels = inputs / side ** 2;
  if (!Number.isInteger(channels)) return e;
  const data = transpose(floats(e), [side, side, channels, outputs], [3, 2, 0, 1]);
  return entry([outputs, inputs], data);
}

/** Numbers for each channel, whatever axes of extent 1 they are written with. */
export function perChannel(e: nn.StateEntry): nn.StateEntry {
  const long = e.shape.filter((d) => d !== 1);
  return long.length <= 1 ? { ...e, shape: [numel(e.shape)] } : e;
}
