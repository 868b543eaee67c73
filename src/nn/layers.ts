// The layers: PyTorch's names, arguments, defaults and initial values. Images are NCHW.

import { ShapeError, UsageError } from "../core/error.ts";
import { type Pair, pair } from "../core/shape.ts";
import { runtime } from "../runtime/context.ts";
import { Buffer, Counter, Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import * as F from "./functional.ts";
import { uniformValues } from "./init.ts";
import { Module } from "./module.ts";

function positive(what: string, ...values: number[]): void {
  for (const v of values)
    if (!Number.isInteger(v) || v < 1) throw new UsageError(`${what} must be whole and at least 1, got ${v}`);
}

export interface Conv2dOptions extends F.ConvOptions {
  readonly bias?: boolean;
}

/** 2-D convolution. Weight [out, in/groups, kh, kw], initially uniform in ±1/√fanIn, as is the bias (torch's default). */
export class Conv2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly [number, number];
  readonly options: F.ConvOptions;
  weight: Parameter;
  bias: Parameter | null;

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dOptions = {}) {
    super();
    const { bias = true, ...rest } = options;
    const { groups = 1 } = rest;
    positive("Conv2d: channels and groups", inChannels, outChannels, groups);
    if (inChannels % groups || outChannels % groups) {
      throw new ShapeError(
        `Conv2d: ${inChannels} and ${outChannels} channels do not divide into ${groups} groups`,
      );
    }
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = pair(kernelSize, "Conv2d: kernel size", 1);
    this.options = rest;
    const shape = [outChannels, inChannels / groups, ...this.kernelSize];
    const bound = 1 / Math.sqrt(shape[1] * shape[2] * shape[3]);
    this.weight = new Parameter(
      shape,
      uniformValues(
        shape.reduce((a, b) => a * b),
        -bound,
        bound,
      ),
      "conv.weight",
    );
    this.bias = bias
      ? new Parameter([outChannels], uniformValues(outChannels, -bound, bound), "conv.bias")
      : null;
  }

  forward(x: Tensor): Tensor {
    return F.conv2d(x, this.weight, this.bias, this.options);
  }
}

/** y = x·Wᵀ + b. Weight [out, in], initially uniform in ±1/√in, as is the bias. */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Parameter;
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: { bias?: boolean } = {}) {
    super();
    positive("Linear: features", inFeatures, outFeatures);
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = new Parameter(
      [outFeatures, inFeatures],
      uniformValues(inFeatures * outFeatures, -bound, bound),
      "linear.weight",
    );
    const { bias = true } = options;
    this.bias = bias
      ? new Parameter([outFeatures], uniformValues(outFeatures, -bound, bound), "linear.bias")
      : null;
  }

  forward(x: Tensor): Tensor {
    return F.linear(x, this.weight, this.bias);
  }
}

export interface BatchNormOptions {
  readonly eps?: number;
  /** Weight of the newest batch in the running statistics. */
  readonly momentum?: number;
  /** Learnable weight and bias. */
  readonly affine?: boolean;
  /** Without running statistics the batch's are used in eval mode too. */
  readonly trackRunningStats?: boolean;
}

/**
 * Batch norm over [N, C, H, W]. In train mode it uses the batch's statistics and moves the running ones; in eval mode,
 * or frozen with `freeze`, the running ones. `requiresGrad = false` on its parameters freezes those and nothing else.
 */
export class BatchNorm2d extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly momentum: number;
  weight: Parameter | null;
  bias: Parameter | null;
  runningMean: Buffer | null;
  runningVar: Buffer | null;
  numBatchesTracked: Counter | null;

  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super();
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = options;
    positive("BatchNorm2d: features", numFeatures);
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    const filled = (v: number) => new Float32Array(numFeatures).fill(v);
    this.weight = affine ? new Parameter([numFeatures], filled(1), "bn.weight") : null;
    this.bias = affine ? new Parameter([numFeatures], filled(0), "bn.bias") : null;
    this.runningMean = trackRunningStats ? new Buffer([numFeatures], filled(0), "bn.running_mean") : null;
    this.runningVar = trackRunningStats ? new Buffer([numFeatures], filled(1), "bn.running_var") : null;
    this.numBatchesTracked = trackRunningStats ? new Counter() : null;
  }

  override memberName(property: string): string {
    return (
      { runningMean: "running_mean", runningVar: "running_var", numBatchesTracked: "num_batches_tracked" }[
        property
      ] ?? property
    );
  }

  forward(x: Tensor): Tensor {
    if (x.shape[1] !== this.numFeatures)
      throw new ShapeError(`BatchNorm2d: x has ${x.shape[1]} channels, expected ${this.numFeatures} (${x})`);
    const running = this.runningMean &&
      this.runningVar && { mean: this.runningMean, variance: this.runningVar };
    const training = this.training || !running;
    const counter = this.numBatchesTracked;
    if (this.training && counter) {
      runtime().hostEffect(() => {
        counter.value++;
      });
    }
    return F.batchNorm(x, running, this.weight, this.bias, {
      training,
      momentum: this.momentum,
      eps: this.eps,
    });
  }
}

export class MaxPool2d extends Module {
  readonly kernelSize: Pair;
  readonly options: F.PoolOptions & { readonly dilation?: Pair };

  constructor(kernelSize: Pair, options: F.PoolOptions & { readonly dilation?: Pair } = {}) {
    super();
    this.kernelSize = kernelSize;
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return F.maxPool2d(x, this.kernelSize, this.options);
  }
}

export class AvgPool2d extends Module {
  readonly kernelSize: Pair;
  readonly options: Parameters<typeof F.avgPool2d>[2];

  constructor(kernelSize: Pair, options: Parameters<typeof F.avgPool2d>[2] = {}) {
    super();
    this.kernelSize = kernelSize;
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return F.avgPool2d(x, this.kernelSize, this.options);
  }
}

/** Mean over windows chosen so that the output has this size. */
export class AdaptiveAvgPool2d extends Module {
  readonly outputSize: Pair;

  constructor(outputSize: Pair) {
    super();
    this.outputSize = outputSize;
  }

  forward(x: Tensor): Tensor {
    return F.adaptiveAvgPool2d(x, this.outputSize);
  }
}

/** Zeroes elements with probability p in train mode and scales the others by 1/(1-p). */
export class Dropout extends Module {
  readonly p: number;

  constructor(p = 0.5) {
    super();
    if (!(p >= 0 && p <= 1)) throw new UsageError(`Dropout: p must lie in [0, 1], got ${p}`);
    this.p = p;
  }

  forward(x: Tensor): Tensor {
    return F.dropout(x, this.p, this.training);
  }
}

/** Merges the axes from `start` to `end`; by default all but the batch. */
export class Flatten extends Module {
  readonly start: number;
  readonly end: number;

  constructor(start = 1, end = -1) {
    super();
    this.start = start;
    this.end = end;
  }

  forward(x: Tensor): Tensor {
    return x.flatten(this.start, this.end);
  }
}

export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}
