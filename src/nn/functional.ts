// nn.functional: layers and losses as functions, with torch.nn.functional's defaults. Images are NCHW, weights OIHW.
// Arguments are checked where they are given: unknown options, words and numbers out of range throw a UsageError.

import { ShapeError, UsageError } from "../core/error.ts";
import { checkFlag, checkNumber, checkOptions, checkWord } from "../core/options.ts";
import { numel, type Pair, type Shape, show } from "../core/shape.ts";
import type { Attrs } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import { runtime } from "../runtime/context.ts";
import { full } from "../tensor/functions.ts";
import { applyOp, composite, Tensor } from "../tensor/tensor.ts";
import {
  type AvgPoolOptions,
  adaptiveAttrs,
  avgPoolAttrs,
  type ConvOptions,
  checkOptionalTensor,
  checkTensor,
  convAttrs,
  type MaxPoolOptions,
  maxPoolAttrs,
  type OutputSize,
} from "./arguments.ts";

export type { AvgPoolOptions, ConvOptions, MaxPoolOptions, OutputSize, PoolOptions } from "./arguments.ts";
export * from "./loss_functions.ts";

/** Applies an op to a batch. Of an empty one nothing is computed, and the gradients of all inputs are 0 (PyTorch). */
function batched(op: string, inputs: readonly Tensor[], attrs: Attrs): Tensor {
  const [x] = inputs;
  if (x.shape.slice(1).some((d) => d === 0))
    throw new ShapeError(`${op}: only the batch may be empty, got ${show(x.variable)}`);
  if (x.numel > 0) return applyOp(op, inputs, attrs)[0];
  const [y] = opNamed(op).infer(
    inputs.map((t) => t.variable),
    attrs,
  );
  return composite(() => inputs.reduce((sum, t) => sum.add(t.sum()), full(y.shape, 0)));
}

/**
 * Convolution (torch.nn.functional.conv2d): x [N, C, H, W] ∗ w [K, C/groups, R, S] + bias [K] → [N, K, P, Q],
 * P = ⌊(H + padding above and below - dilation·(R-1) - 1) / stride⌋ + 1. Throws a ShapeError where shapes do not fit.
 */
export function conv2d(x: Tensor, w: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  checkTensor("conv2d", "x", x);
  checkTensor("conv2d", "w", w);
  checkOptionalTensor("conv2d", "bias", bias);
  const [r = 1, s = 1] = w.shape.slice(2);
  const attrs = {
    ...convAttrs("conv2d", [r, s], options),
    bias: bias !== null,
    prologue: "none",
    relu: false,
    store: [],
  };
  return batched("conv2d", bias ? [x, w, bias] : [x, w], attrs);
}

/**
 * x·wᵀ + bias (torch.nn.functional.linear): x [..., in], w [out, in], bias [out] → [..., out]. Throws a ShapeError when
 * the features differ.
 */
export function linear(x: Tensor, w: Tensor, bias: Tensor | null = null): Tensor {
  checkTensor("linear", "x", x);
  checkTensor("linear", "w", w);
  checkOptionalTensor("linear", "bias", bias);
  return composite(() => {
    const last = x.shape[x.shape.length - 1];
    if (w.shape.length !== 2 || x.shape.length < 1 || last !== w.shape[1]) {
      throw new ShapeError(
        `linear: x ends in ${last} features but w expects ${w.shape[1]} (x: ${show(x.variable)}, w: ${show(w.variable)})`,
      );
    }
    const rows = x.shape.length === 2 ? x : x.reshape(numel(x.shape.slice(0, -1)), last);
    const out = applyOp("matmul", bias ? [rows, w, bias] : [rows, w], { transA: false, transB: true })[0];
    return x.shape.length === 2 ? out : out.reshape(...x.shape.slice(0, -1), w.shape[0]);
  });
}

/** Options of batchNorm. */
export interface BatchNormFunctionOptions {
  /** Normalise by the batch's statistics, and move the running ones. */
  readonly training: boolean;
  /** Weight of the batch in the running statistics, from 0 to 1, or a tensor [1] of it. Default 0.1. */
  readonly momentum?: number | Tensor;
  /** Added to the variance, at least 0. Default 1e-5. */
  readonly eps?: number;
}

/**
 * Batch norm over all axes but the second (torch.nn.functional.batch_norm): x [N, C, ...], the others [C]. In training
 * it normalises by the batch's statistics and, where running ones are given, moves them: running = (1-momentum)·running
 * + momentum·batch, the variance unbiased. Throws a ShapeError when a channel has one value in training, as PyTorch
 * does, and a UsageError for eval mode without running statistics.
 */
export function batchNorm(
  x: Tensor,
  running: { mean: Tensor; variance: Tensor } | null,
  weight: Tensor | null,
  bias: Tensor | null,
  options: BatchNormFunctionOptions,
): Tensor {
  checkTensor("batchNorm", "x", x);
  checkOptions("batchNorm", options, ["training", "momentum", "eps"]);
  const { training, momentum = 0.1, eps = 1e-5 } = options;
  checkFlag("batchNorm", "training", training);
  checkNumber("batchNorm", "eps", eps, { min: 0 });
  if (!(momentum instanceof Tensor)) checkNumber("batchNorm", "momentum", momentum, { min: 0, max: 1 });
  return composite(() => {
    const c = x.shape[1];
    const w = weight ?? full([c], 1);
    const b = bias ?? full([c], 0);
    const by = (mean: Tensor, variance: Tensor) =>
      batched("normalize", [x, mean, variance, w, b], { eps, relu: false });
    if (!training) {
      if (!running) throw new UsageError("batchNorm: eval mode needs running statistics");
      return by(running.mean, running.variance);
    }
    const count = x.numel / c;
    if (!(count > 1))
      throw new ShapeError(
        `batchNorm: expected more than one value per channel in training, got ${show(x.variable)}`,
      );
    const [mean, variance] = applyOp("channelStats", [x]);
    if (running) moveStatistics(running, mean, variance, momentum, count / (count - 1));
    return by(mean, variance);
  });
}

/** `factor` is that of the unbiased variance. */
function moveStatistics(
  running: { mean: Tensor; variance: Tensor },
  mean: Tensor,
  variance: Tensor,
  momentum: number | Tensor,
  factor: number,
): void {
  const rt = runtime();
  const given = momentum instanceof Tensor ? [momentum] : [];
  const inputs = [running.mean, running.variance, mean, variance, ...given].map((t) => t.variable);
  const attrs = { momentum: momentum instanceof Tensor ? null : momentum, factor };
  const [m, v] = rt.noGrad(() => rt.apply("runningStats", inputs, attrs));
  const slices = [running.mean.variable.state, running.variance.variable.state];
  if (!slices[0] || !slices[1]) throw new UsageError("batchNorm: running statistics must be buffers");
  rt.assign(slices[0], m.value);
  rt.assign(slices[1], v.value);
}

/**
 * Largest value of each window (torch.nn.functional.max_pool2d): x [N, C, H, W] → [N, C, P, Q]. Ties: the first in row
 * order.
 */
export function maxPool2d(x: Tensor, kernel: Pair, options: MaxPoolOptions = {}): Tensor {
  checkTensor("maxPool2d", "x", x);
  return batched("maxPool2d", [x], maxPoolAttrs("maxPool2d", kernel, options));
}

/** Mean of each window (torch.nn.functional.avg_pool2d): x [N, C, H, W] → [N, C, P, Q]. */
export function avgPool2d(x: Tensor, kernel: Pair, options: AvgPoolOptions = {}): Tensor {
  checkTensor("avgPool2d", "x", x);
  const attrs = { ...avgPoolAttrs("avgPool2d", kernel, options), prologue: "none" };
  return batched("avgPool2d", [x], attrs);
}

/**
 * Mean over windows chosen so that the output has the given height and width, null those of x; 1 is the global average
 * (torch.nn.functional.adaptive_avg_pool2d).
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: OutputSize): Tensor {
  checkTensor("adaptiveAvgPool2d", "x", x);
  const attrs = { ...adaptiveAttrs("adaptiveAvgPool2d", outputSize, x.shape), prologue: "none" };
  return batched("avgPool2d", [x], attrs);
}

/**
 * Zeroes elements with probability p (from 0 to 1) and scales the others by 1/(1-p), in training only
 * (torch.nn.functional.dropout). Drawn anew at every run.
 */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  checkTensor("dropout", "x", x);
  checkNumber("dropout", "p", p, { min: 0, max: 1 });
  checkFlag("dropout", "training", training);
  return composite(() => (!training || p === 0 ? x : x.mul(dropMask(x.shape, p))));
}

/** Zeros with probability p, else 1/(1-p). */
function dropMask(shape: Shape, p: number): Tensor {
  const rt = runtime();
  const { key, stream } = rt.random.next();
  return new Tensor(rt.noGrad(() => rt.applyValue("dropoutMask", key, { shape, p, stream, from: 0 })));
}

/**
 * Zeroes samples (mode "row") or the whole batch ("batch") with probability p and scales the others by 1/(1-p), in
 * training only (torchvision.ops.stochastic_depth): x [N, ...] → the same shape. Drawn anew at every run.
 */
export function stochasticDepth(x: Tensor, p: number, mode: "row" | "batch", training = true): Tensor {
  checkTensor("stochasticDepth", "x", x);
  checkNumber("stochasticDepth", "p", p, { min: 0, max: 1 });
  checkWord("stochasticDepth", "mode", mode, ["row", "batch"]);
  checkFlag("stochasticDepth", "training", training);
  const shape = x.shape.map((d, i) => (i === 0 && mode === "row" ? d : 1));
  return composite(() => (!training || p === 0 ? x : x.mul(dropMask(shape, p))));
}

/** max(x, 0), element by element (torch.nn.functional.relu). */
export const relu = (x: Tensor): Tensor => x.relu();

/** exp(x) / Σ exp(x) along an axis (torch.nn.functional.softmax). */
export const softmax = (x: Tensor, dim = -1): Tensor => x.softmax(dim);

/** The logarithm of softmax along an axis (torch.nn.functional.log_softmax). */
export const logSoftmax = (x: Tensor, dim = -1): Tensor => x.logSoftmax(dim);
