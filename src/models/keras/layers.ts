// Layers of Keras that compute something else than PyTorch's of the same name: convolutions with TensorFlow's "same"
// padding, and the layers that prepare pixels inside a network.

import { UsageError } from "../../core/error.ts";
import { checkNumber } from "../../core/options.ts";
import * as nn from "../../nn/index.ts";
import { concat, full } from "../../tensor/functions.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Options of a Keras convolution. */
export interface SameConvOptions {
  /** Step of the window. Default 1. */
  readonly stride?: number;
  readonly groups?: number;
  /** Default false: a batch norm follows most of them. */
  readonly bias?: boolean;
}

/** Zeros before and after an axis, as TensorFlow's "same" pads it: ⌈extent / stride⌉ outputs, the odd zero behind. */
export function samePadding(extent: number, kernel: number, stride: number): [number, number] {
  const total = Math.max((Math.ceil(extent / stride) - 1) * stride + kernel - extent, 0);
  return [total >> 1, total - (total >> 1)];
}

/**
 * 2-D convolution with TensorFlow's padding "same": [N, in, H, W] → [N, out, ⌈H/stride⌉, ⌈W/stride⌉]. At stride 2 the
 * zeros depend on the picture: an even one gets one more below and to the right than above and to the left, where
 * PyTorch pads both sides alike. `ZeroPadding2D(correct_pad(x, k))` before a "valid" convolution, which Keras'
 * applications write for stride 2, puts the same zeros in the same places.
 */
export class SameConv2d extends nn.Conv2d {
  readonly stride: number;

  constructor(inputs: number, outputs: number, kernel: number, options: SameConvOptions = {}) {
    const { stride = 1, groups = 1, bias = false } = options;
    super(inputs, outputs, kernel, { stride, groups, bias });
    this.stride = stride;
  }

  /** x [N, in, H, W] → [N, out, ⌈H/stride⌉, ⌈W/stride⌉]. */
  override forward(x: Tensor): Tensor {
    const [, , h = 0, w = 0] = x.shape;
    const [kh, kw] = this.kernelSize;
    const padding = [...samePadding(h, kh, this.stride), ...samePadding(w, kw, this.stride)] as const;
    const options = { ...this.options, padding: padding as readonly [number, number, number, number] };
    return nn.functional.conv2d(x, this.weight, this.bias, options);
  }
}

/** A depthwise convolution with one filter a channel: `SameConv2d` in as many groups as channels. */
export const depthwise = (channels: number, kernel: number, stride: number): SameConv2d =>
  new SameConv2d(channels, channels, kernel, { stride, groups: channels });

/** Numbers of three channels as a constant [1, 3, 1, 1]. */
const perChannel = (values: readonly number[]): Tensor =>
  concat(
    values.map((v) => full([1, 1, 1, 1], v)),
    1,
  );

/** x times a number, or times one for each channel (keras.layers.Rescaling without an offset). */
export class Rescaling extends nn.Module {
  readonly scale: number | readonly number[];

  constructor(scale: number | readonly number[]) {
    super();
    for (const v of typeof scale === "number" ? [scale] : scale) checkNumber("Rescaling", "scale", v);
    this.scale = scale;
  }

  /** x [N, C, H, W] → the same shape. */
  forward(x: Tensor): Tensor {
    return typeof this.scale === "number" ? x.mul(this.scale) : x.mul(perChannel(this.scale));
  }
}

/** Keras' own guard against a standard deviation of 0 (keras.config.epsilon()). */
const EPSILON = 1e-7;

/**
 * (x - mean) / max(√variance, 1e-7) for each channel (keras.layers.Normalization). Mean and variance are buffers [C]:
 * saved and loaded, not trained.
 */
export class Normalization extends nn.Module {
  mean: nn.Buffer;
  variance: nn.Buffer;

  constructor(mean: readonly number[], variance: readonly number[]) {
    super();
    if (mean.length !== variance.length)
      throw new UsageError(
        `Normalization: needs a variance for each mean, got ${mean.length} and ${variance.length}`,
      );
    this.mean = new nn.Buffer([mean.length], Float32Array.from(mean), "normalization.mean");
    this.variance = new nn.Buffer([mean.length], Float32Array.from(variance), "normalization.variance");
  }

  /** x [N, C, H, W] → the same shape. */
  forward(x: Tensor): Tensor {
    const c = this.mean.numel;
    const deviation = this.variance.sqrt().maximum(full([c], EPSILON));
    return x.sub(this.mean.reshape(1, c, 1, 1)).div(deviation.reshape(1, c, 1, 1));
  }
}
