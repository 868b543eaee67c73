// What MobileNet and EfficientNet are built of: torchvision's Conv2dNormActivation, and its rounding of widths.

import * as nn from "../nn/index.ts";
import type { Layer } from "./classifier.ts";

/** Options of convNorm. */
export interface ConvNormOptions {
  /** Default 3. */
  readonly kernel?: number;
  /** Default 1. */
  readonly stride?: number;
  /** Default 1. */
  readonly groups?: number;
  /** What follows the batch norm, if anything. */
  readonly activation: Layer | null;
}

/**
 * Convolution without bias, batch norm, activation, named "0", "1", "2" (torchvision.ops.Conv2dNormActivation); odd
 * windows are padded by half their size.
 */
export function convNorm(inputs: number, outputs: number, options: ConvNormOptions): nn.Sequential {
  const { kernel = 3, stride = 1, groups = 1, activation } = options;
  const padding = (kernel - 1) >> 1;
  const conv = new nn.Conv2d(inputs, outputs, kernel, { stride, padding, groups, bias: false });
  const norm = new nn.BatchNorm2d(outputs);
  return activation ? new nn.Sequential(conv, norm, activation) : new nn.Sequential(conv, norm);
}

/** The nearest multiple of 8 that is at most a tenth less, at least 8 (torchvision's and Keras' _make_divisible). */
export function makeDivisible(width: number): number {
  const near = Math.max(8, Math.floor((width + 4) / 8) * 8);
  return near < 0.9 * width ? near + 8 : near;
}

/** He initialisation by fan out for every convolution, and biases of 0, as torchvision's networks begin. */
export function heConvolutions(model: nn.Module): void {
  for (const m of model.modules()) {
    if (!(m instanceof nn.Conv2d)) continue;
    nn.init.kaimingNormal(m.weight, { mode: "fanOut" });
    if (m.bias) nn.init.zeros(m.bias);
  }
}
