// Pools as modules: PyTorch's names, arguments and defaults. Images are NCHW.

import type { Pair } from "../core/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { adaptiveAttrs, avgPoolAttrs, maxPoolAttrs } from "./arguments.ts";
import * as F from "./functional.ts";
import { Module } from "./module.ts";

/** Largest value of each window (torch.nn.MaxPool2d); the stride defaults to the kernel. Ties: first in row order. */
export class MaxPool2d extends Module {
  readonly kernelSize: Pair;
  readonly options: F.MaxPoolOptions;

  constructor(kernelSize: Pair, options: F.MaxPoolOptions = {}) {
    super();
    maxPoolAttrs("MaxPool2d", kernelSize, options);
    this.kernelSize = kernelSize;
    this.options = options;
  }

  /** x [N, C, H, W] → [N, C, P, Q]. */
  forward(x: Tensor): Tensor {
    return F.maxPool2d(x, this.kernelSize, this.options);
  }
}

/** Mean of each window (torch.nn.AvgPool2d); the stride defaults to the kernel. */
export class AvgPool2d extends Module {
  readonly kernelSize: Pair;
  readonly options: F.AvgPoolOptions;

  constructor(kernelSize: Pair, options: F.AvgPoolOptions = {}) {
    super();
    avgPoolAttrs("AvgPool2d", kernelSize, options);
    this.kernelSize = kernelSize;
    this.options = options;
  }

  /** x [N, C, H, W] → [N, C, P, Q]. */
  forward(x: Tensor): Tensor {
    return F.avgPool2d(x, this.kernelSize, this.options);
  }
}

/**
 * Mean over windows chosen so that the output has this height and width (torch.nn.AdaptiveAvgPool2d); null keeps the
 * input's.
 */
export class AdaptiveAvgPool2d extends Module {
  readonly outputSize: F.OutputSize;

  constructor(outputSize: F.OutputSize) {
    super();
    adaptiveAttrs("AdaptiveAvgPool2d", outputSize, null);
    this.outputSize = outputSize;
  }

  /** x [N, C, H, W] → [N, C, P, Q]. */
  forward(x: Tensor): Tensor {
    return F.adaptiveAvgPool2d(x, this.outputSize);
  }
}
