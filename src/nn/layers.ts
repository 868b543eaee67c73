// The layers: PyTorch's names, arguments, defaults and initial values. Images are NCHW. Arguments are checked in the
// constructors, so that a wrong one is refused at the line that makes the layer.

import { Variable } from "../autograd/variable.ts";
import { ShapeError } from "../core/error.ts";
import { checkFlag, checkNumber, checkOptions, checkWord } from "../core/options.ts";
import { numel, type Pair, pair } from "../core/shape.ts";
import { readScalars, Scalars } from "../graph/leaf.ts";
import { runtime } from "../runtime/context.ts";
import { Buffer, Counter, Parameter } from "../tensor/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";
import { CONV_OPTIONS, convAttrs } from "./arguments.ts";
import * as F from "./functional.ts";
import { skipping, uniformValues } from "./init.ts";
import { Module } from "./module.ts";

function positive(what: string, values: Readonly<Record<string, number>>): void {
  for (const [name, v] of Object.entries(values)) checkNumber(what, name, v, { whole: true, min: 1 });
}

/** A parameter uniform in ±bound. */
function drawn(shape: readonly number[], bound: number, label: string): Parameter {
  return new Parameter(shape, skipping() ? null : uniformValues(numel(shape), -bound, bound), label);
}

/** Options of Conv2d. */
export interface Conv2dOptions extends F.ConvOptions {
  /** Add a learnable value to each channel of the output. Default true. */
  readonly bias?: boolean;
}

/**
 * 2-D convolution (torch.nn.Conv2d): [N, in, H, W] → [N, out, P, Q]. Weight [out, in/groups, kh, kw], initially uniform
 * in ±1/√fanIn, as is the bias. Throws a UsageError for unknown options, a ShapeError for channels that do not divide.
 */
export class Conv2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly [number, number];
  readonly options: F.ConvOptions;
  weight: Parameter;
  bias: Parameter | null;

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dOptions = {}) {
    super();
    checkOptions("Conv2d", options, [...CONV_OPTIONS, "bias"]);
    const { bias = true, ...rest } = options;
    checkFlag("Conv2d", "bias", bias);
    const { groups } = convAttrs("Conv2d", kernelSize, rest);
    positive("Conv2d", { inChannels, outChannels });
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
    this.weight = drawn(shape, bound, "conv.weight");
    this.bias = bias ? drawn([outChannels], bound, "conv.bias") : null;
  }

  /** x [N, in, H, W] → [N, out, P, Q]. */
  forward(x: Tensor): Tensor {
    return F.conv2d(x, this.weight, this.bias, this.options);
  }
}

/**
 * y = x·Wᵀ + b (torch.nn.Linear): [..., in] → [..., out]. Weight [out, in], initially uniform in ±1/√in, as is the
 * bias.
 */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Parameter;
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: { readonly bias?: boolean } = {}) {
    super();
    checkOptions("Linear", options, ["bias"]);
    const { bias = true } = options;
    checkFlag("Linear", "bias", bias);
    positive("Linear", { inFeatures, outFeatures });
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = drawn([outFeatures, inFeatures], bound, "linear.weight");
    this.bias = bias ? drawn([outFeatures], bound, "linear.bias") : null;
  }

  /** x [..., in] → [..., out]. */
  forward(x: Tensor): Tensor {
    return F.linear(x, this.weight, this.bias);
  }
}

/** Options of BatchNorm2d. */
export interface BatchNormOptions {
  /** Added to the variance, at least 0. Default 1e-5. */
  readonly eps?: number;
  /**
   * Weight of the newest batch in the running statistics, from 0 to 1. Default 0.1; null for the plain mean over all
   * batches so far.
   */
  readonly momentum?: number | null;
  /** Learnable weight and bias. Default true. */
  readonly affine?: boolean;
  /** Without running statistics the batch's are used in eval mode too. Default true. */
  readonly trackRunningStats?: boolean;
}

/**
 * Batch norm over [N, C, H, W] (torch.nn.BatchNorm2d). In train mode it uses the batch's statistics and moves the
 * running ones; in eval mode, or frozen with `freeze`, the running ones. `requiresGrad = false` on its parameters
 * freezes those and nothing else. Throws a ShapeError for another number of channels, and for one value per channel in
 * training.
 */
export class BatchNorm2d extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly momentum: number | null;
  /** [C], at first 1; null without `affine`, as is the bias, at first 0. */
  weight: Parameter | null;
  bias: Parameter | null;
  /** [C], at first 0; null without `trackRunningStats`, as are the next two. */
  runningMean: Buffer | null;
  /** [C], at first 1; unbiased. */
  runningVar: Buffer | null;
  /** Batches in train mode so far. */
  numBatchesTracked: Counter | null;

  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super();
    checkOptions("BatchNorm2d", options, ["eps", "momentum", "affine", "trackRunningStats"]);
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = options;
    positive("BatchNorm2d", { numFeatures });
    checkNumber("BatchNorm2d", "eps", eps, { min: 0 });
    if (momentum !== null) checkNumber("BatchNorm2d", "momentum", momentum, { min: 0, max: 1 });
    checkFlag("BatchNorm2d", "affine", affine);
    checkFlag("BatchNorm2d", "trackRunningStats", trackRunningStats);
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

  /** torchvision's names of the running statistics. */
  override memberName(property: string): string {
    return (
      { runningMean: "running_mean", runningVar: "running_var", numBatchesTracked: "num_batches_tracked" }[
        property
      ] ?? property
    );
  }

  /** x [N, C, H, W] → the same shape. */
  forward(x: Tensor): Tensor {
    if (x.shape[1] !== this.numFeatures)
      throw new ShapeError(`BatchNorm2d: x has ${x.shape[1]} channels, expected ${this.numFeatures} (${x})`);
    const running = this.runningMean &&
      this.runningVar && { mean: this.runningMean, variance: this.runningVar };
    const training = this.training || !running;
    const counter = this.numBatchesTracked;
    const share = this.training && counter ? countBatch(counter) : null;
    const momentum = this.momentum ?? share?.() ?? 0;
    return F.batchNorm(x, running, this.weight, this.bias, { training, momentum, eps: this.eps });
  }
}

/** Counts a batch; the result makes a tensor [1] of its share in the mean over all batches so far. */
function countBatch(counter: Counter): () => Tensor {
  const rt = runtime();
  // Each forward keeps its own count: a step may have several, and numbers are drawn when all have been counted.
  let batches = 0;
  rt.hostEffect(() => {
    counter.value++;
    batches = counter.value;
  });
  return () => {
    const value = readScalars(new Scalars("batch norm momentum", "f32", 1, () => [1 / batches]));
    return new Tensor(rt.adopt(new Variable(value, { value })));
  };
}

/** Zeroes elements with probability p in train mode and scales the others by 1/(1-p) (torch.nn.Dropout). */
export class Dropout extends Module {
  readonly p: number;

  constructor(p = 0.5, ...none: readonly never[]) {
    super(...none);
    checkNumber("Dropout", "p", p, { min: 0, max: 1 });
    this.p = p;
  }

  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return F.dropout(x, this.p, this.training);
  }
}

/**
 * Drops whole samples ("row") or the whole batch ("batch") with probability p in train mode and scales the others by
 * 1/(1-p) (Huang et al. 2016; torchvision.ops.StochasticDepth). For residual branches.
 */
export class StochasticDepth extends Module {
  readonly p: number;
  readonly mode: "row" | "batch";

  constructor(p: number, mode: "row" | "batch", ...none: readonly never[]) {
    super(...none);
    checkNumber("StochasticDepth", "p", p, { min: 0, max: 1 });
    checkWord("StochasticDepth", "mode", mode, ["row", "batch"]);
    this.p = p;
    this.mode = mode;
  }

  /** x [N, ...] → the same shape. */
  forward(x: Tensor): Tensor {
    return F.stochasticDepth(x, this.p, this.mode, this.training);
  }
}

/** Merges the axes from `start` to `end`; by default all but the batch (torch.nn.Flatten). */
export class Flatten extends Module {
  readonly start: number;
  readonly end: number;

  constructor(start = 1, end = -1) {
    super();
    checkNumber("Flatten", "start", start, { whole: true });
    checkNumber("Flatten", "end", end, { whole: true });
    this.start = start;
    this.end = end;
  }

  /** x [N, ...] → [N, product of the rest]. */
  forward(x: Tensor): Tensor {
    return x.flatten(this.start, this.end);
  }
}

/** Gives its input (torch.nn.Identity): what a layer is replaced by that is to do nothing. */
export class Identity extends Module {
  /** x as it is. */
  forward(x: Tensor): Tensor {
    return x;
  }
}
