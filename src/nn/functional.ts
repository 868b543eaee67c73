// nn.functional: layers and losses as functions, with torch.nn.functional's defaults. Images are NCHW, weights OIHW.

import { ShapeError, UsageError } from "../core/error.ts";
import { type Pair, pair, show } from "../core/shape.ts";
import { isHost } from "../graph/leaf.ts";
import { runtime } from "../runtime/context.ts";
import { full } from "../tensor/functions.ts";
import { applyOp, composite, Tensor } from "../tensor/tensor.ts";

export interface ConvOptions {
  readonly stride?: Pair;
  /** Zeros around the image: one number, (height, width), or (top, bottom, left, right). */
  readonly padding?: Pair | readonly [number, number, number, number];
  readonly dilation?: Pair;
  readonly groups?: number;
}

type Pads = readonly [number, number, number, number];

/** Padding as [top, bottom, left, right]. */
export function pads(p: ConvOptions["padding"], what: string): Pads {
  if (Array.isArray(p) && p.length === 4) {
    const [a, b] = [pair([p[0], p[1]], what, 0), pair([p[2], p[3]], what, 0)];
    return [...a, ...b] as unknown as Pads;
  }
  const [h, w] = pair((p ?? 0) as Pair, what, 0);
  return [h, h, w, w];
}

/** x [N, C, H, W] ∗ w [K, C/groups, R, S] + bias [K] → [N, K, P, Q]. */
export function conv2d(x: Tensor, w: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  const { stride = 1, padding, dilation = 1, groups = 1 } = options;
  if (!Number.isInteger(groups) || groups < 1)
    throw new ShapeError(`conv2d: groups must be a whole number of at least 1, got ${groups}`);
  const attrs = {
    stride: pair(stride, "conv2d: stride", 1),
    padding: pads(padding, "conv2d: padding"),
    dilation: pair(dilation, "conv2d: dilation", 1),
    groups,
    bias: bias !== null,
    prologue: "none",
    relu: false,
  };
  return applyOp("conv2d", bias ? [x, w, bias] : [x, w], attrs)[0];
}

/** x [N, in] · wᵀ + bias for w [out, in]; leading dimensions of x beyond one are kept. */
export function linear(x: Tensor, w: Tensor, bias: Tensor | null = null): Tensor {
  return composite(() => {
    const last = x.shape[x.shape.length - 1];
    if (w.shape.length !== 2 || x.shape.length < 1 || last !== w.shape[1]) {
      throw new ShapeError(
        `linear: x ends in ${last} features but w expects ${w.shape[1]} (x: ${show(x.variable)}, w: ${show(w.variable)})`,
      );
    }
    const rows = x.shape.length === 2 ? x : x.reshape(-1, last);
    const y = applyOp("matmul", [rows, w], { transA: false, transB: true })[0];
    const out = bias ? y.add(bias) : y;
    return x.shape.length === 2 ? out : out.reshape(...x.shape.slice(0, -1), w.shape[0]);
  });
}

/**
 * Batch norm over all axes but the second. In training it normalises by the batch's statistics and, where running ones
 * are given, moves them: running = (1-momentum)·running + momentum·batch, the variance unbiased. Throws when a channel
 * has one value in training, as PyTorch does.
 */
export function batchNorm(
  x: Tensor,
  running: { mean: Tensor; variance: Tensor } | null,
  weight: Tensor | null,
  bias: Tensor | null,
  options: { training: boolean; momentum?: number; eps?: number },
): Tensor {
  return composite(() => {
    const { training, momentum = 0.1, eps = 1e-5 } = options;
    const c = x.shape[1];
    const w = weight ?? full([c], 1);
    const b = bias ?? full([c], 0);
    if (!training) {
      if (!running) throw new UsageError("batchNorm: eval mode needs running statistics");
      return applyOp("normalize", [x, running.mean, running.variance, w, b], { eps, relu: false })[0];
    }
    const count = x.numel / c;
    if (count <= 1)
      throw new ShapeError(
        `batchNorm: expected more than one value per channel in training, got ${show(x.variable)}`,
      );
    const [mean, variance] = applyOp("channelStats", [x]);
    if (running) {
      const attrs = { momentum, factor: count / (count - 1) };
      moveStatistics(running, mean, variance, attrs);
    }
    return applyOp("normalize", [x, mean, variance, w, b], { eps, relu: false })[0];
  });
}

function moveStatistics(
  running: { mean: Tensor; variance: Tensor },
  mean: Tensor,
  variance: Tensor,
  attrs: { momentum: number; factor: number },
): void {
  const rt = runtime();
  const inputs = [running.mean, running.variance, mean, variance].map((t) => t.variable);
  const [m, v] = rt.noGrad(() => rt.apply("runningStats", inputs, attrs));
  const slices = [running.mean.variable.state, running.variance.variable.state];
  if (!slices[0] || !slices[1]) throw new UsageError("batchNorm: running statistics must be buffers");
  rt.assign(slices[0], m.value);
  rt.assign(slices[1], v.value);
}

export interface PoolOptions {
  readonly stride?: Pair;
  readonly padding?: Pair;
  readonly ceilMode?: boolean;
}

function poolAttrs(what: string, kernel: Pair, options: PoolOptions & { dilation?: Pair }) {
  const k = pair(kernel, `${what}: kernel size`, 1);
  const [ph, pw] = pair(options.padding ?? 0, `${what}: padding`, 0);
  return {
    kernel: k,
    stride: pair(options.stride ?? k, `${what}: stride`, 1),
    padding: [ph, ph, pw, pw],
    dilation: pair(options.dilation ?? 1, `${what}: dilation`, 1),
    ceilMode: options.ceilMode ?? false,
  };
}

/** Largest value of each window; the stride defaults to the kernel. */
export function maxPool2d(x: Tensor, kernel: Pair, options: PoolOptions & { dilation?: Pair } = {}): Tensor {
  return applyOp("maxPool2d", [x], poolAttrs("maxPool2d", kernel, options))[0];
}

/** Mean of each window; `countIncludePad` counts padding in the divisor, `divisorOverride` replaces it. */
export function avgPool2d(
  x: Tensor,
  kernel: Pair,
  options: PoolOptions & { countIncludePad?: boolean; divisorOverride?: number | null } = {},
): Tensor {
  const { countIncludePad = true, divisorOverride = null, ...rest } = options;
  if (divisorOverride !== null && !(divisorOverride > 0))
    throw new UsageError(`avgPool2d: divisorOverride must be above 0, got ${divisorOverride}`);
  const attrs = {
    ...poolAttrs("avgPool2d", kernel, rest),
    adaptive: null,
    countIncludePad,
    divisor: divisorOverride,
    prologue: "none",
  };
  return applyOp("avgPool2d", [x], attrs)[0];
}

/** Mean over windows chosen so that the output has the given size; 1 is the global average. */
export function adaptiveAvgPool2d(x: Tensor, outputSize: Pair): Tensor {
  const attrs = {
    ...poolAttrs("adaptiveAvgPool2d", 1, {}),
    adaptive: pair(outputSize, "adaptiveAvgPool2d: output size", 1),
    countIncludePad: true,
    divisor: null,
    prologue: "none",
  };
  return applyOp("avgPool2d", [x], attrs)[0];
}

/** Zeroes elements with probability p and scales the others by 1/(1-p), in training only. */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  return composite(() => {
    if (!(p >= 0 && p <= 1)) throw new UsageError(`dropout: p must lie in [0, 1], got ${p}`);
    if (!training || p === 0) return x;
    const rt = runtime();
    const { key, stream } = rt.random.next();
    const mask = rt.noGrad(() => rt.applyValue("dropoutMask", key, { shape: x.shape, p, stream, from: 0 }));
    return x.mul(new Tensor(mask));
  });
}

export type Reduction = "mean" | "sum" | "none";

export interface ClassLossOptions {
  /** Weight of each class, [C]. */
  readonly weight?: Tensor | null;
  /** Targets of this class count for nothing. Default -100. */
  readonly ignoreIndex?: number;
  readonly reduction?: Reduction;
}

function classLoss(
  op: string,
  x: Tensor,
  target: Tensor,
  options: ClassLossOptions,
  smoothing: number,
): Tensor {
  const { weight = null, ignoreIndex = -100, reduction = "mean" } = options;
  const what = op === "nllRows" ? "nllLoss" : "crossEntropy";
  checkTargets(what, x, target, ignoreIndex);
  const rank = x.shape.length;
  // [N, C, d…] with targets [N, d…] is [N·d…, C] with a class a row.
  const rows =
    rank === 2 ? x : x.permute(0, ...x.shape.slice(2).map((_, i) => i + 2), 1).reshape(-1, x.shape[1]);
  const [losses, weights] = applyOp(op, [rows, target.reshape(-1), weight ?? full([x.shape[1]], 1)], {
    smoothing,
    ignoreIndex,
  });
  if (reduction === "none") return losses.reshape(...target.shape);
  const total = losses.sum();
  return reduction === "sum" ? total : total.div(weights.sum().detach());
}

function checkTargets(what: string, x: Tensor, target: Tensor, ignoreIndex: number): void {
  const wanted = [x.shape[0], ...x.shape.slice(2)];
  const fits = x.shape.length >= 2 && target.dtype === "i32" && String(target.shape) === String(wanted);
  if (!fits)
    throw new ShapeError(
      `${what}: takes scores f32[N, C, …] and classes i32[N, …], got ${show(x.variable)} and ${show(target.variable)}`,
    );
  const location = target.variable.result?.location;
  if (!isHost(location)) return;
  const bad = location.data.findIndex((t) => (t < 0 || t >= x.shape[1]) && t !== ignoreIndex);
  if (bad >= 0)
    throw new UsageError(
      `${what}: target ${bad} is class ${location.data[bad]}, but there are ${x.shape[1]} classes`,
    );
}

/** Cross entropy of logits [N, C] (or [N, C, d…]) and class indices i32 [N] (or [N, d…]). */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options: ClassLossOptions & { labelSmoothing?: number } = {},
): Tensor {
  return composite(() => {
    const { labelSmoothing = 0 } = options;
    if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
      throw new UsageError(`crossEntropy: labelSmoothing must lie in [0, 1], got ${labelSmoothing}`);
    return classLoss("crossEntropyRows", logits, target, options, labelSmoothing);
  });
}

/** Negative log likelihood of log-probabilities. */
export function nllLoss(logProbs: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  return composite(() => {
    return classLoss("nllRows", logProbs, target, options, 0);
  });
}

function reduceLoss(losses: Tensor, reduction: Reduction): Tensor {
  return reduction === "none" ? losses : reduction === "sum" ? losses.sum() : losses.mean();
}

/** Binary cross entropy of probabilities in [0, 1] and targets of the same shape. */
export function binaryCrossEntropy(
  p: Tensor,
  target: Tensor,
  options: { weight?: Tensor | null; reduction?: Reduction } = {},
): Tensor {
  return composite(() => {
    const losses = applyOp("bce", [p, target])[0];
    return reduceLoss(options.weight ? losses.mul(options.weight) : losses, options.reduction ?? "mean");
  });
}

/** Binary cross entropy of logits; `posWeight` multiplies the loss of positives. */
export function binaryCrossEntropyWithLogits(
  x: Tensor,
  target: Tensor,
  options: { weight?: Tensor | null; posWeight?: Tensor | null; reduction?: Reduction } = {},
): Tensor {
  return composite(() => {
    const losses = applyOp("bceLogits", [x, target, options.posWeight ?? full([], 1)])[0];
    return reduceLoss(options.weight ? losses.mul(options.weight) : losses, options.reduction ?? "mean");
  });
}

/** Mean squared error. */
export function mseLoss(x: Tensor, target: Tensor, options: { reduction?: Reduction } = {}): Tensor {
  return composite(() => {
    return reduceLoss(x.sub(target).square(), options.reduction ?? "mean");
  });
}

export const relu = (x: Tensor): Tensor => x.relu();
export const softmax = (x: Tensor, dim = -1): Tensor => x.softmax(dim);
export const logSoftmax = (x: Tensor, dim = -1): Tensor => x.logSoftmax(dim);
