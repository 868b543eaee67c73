// Losses as functions, with torch.nn.functional's formulas and defaults. "mean" divides by the number of elements, or,
// for classes, by the sum of their weights; "none" keeps the losses apart.

import { ShapeError, UsageError } from "../core/error.ts";
import { sameShape, show } from "../core/shape.ts";
import { isHost } from "../graph/leaf.ts";
import { full } from "../tensor/functions.ts";
import { applyOp, composite, type Tensor } from "../tensor/tensor.ts";
import {
  type BinaryLogitsOptions,
  type BinaryLossOptions,
  type ClassLossOptions,
  type CrossEntropyOptions,
  checkLoss,
  checkTensor,
  type LossOptions,
  type Reduction,
} from "./arguments.ts";

export type {
  BinaryLogitsOptions,
  BinaryLossOptions,
  ClassLossOptions,
  CrossEntropyOptions,
  LossOptions,
  Reduction,
} from "./arguments.ts";

function reduceLoss(losses: Tensor, reduction: Reduction = "mean"): Tensor {
  return reduction === "none" ? losses : reduction === "sum" ? losses.sum() : losses.mean();
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
  const classes = x.shape[rank === 1 ? 0 : 1];
  // [C] is one row; [N, C, d…] with targets [N, d…] is [N·d…, C] with a class a row.
  const last = rank <= 2 ? x : x.permute(0, ...x.shape.slice(2).map((_, i) => i + 2), 1);
  const [losses, weights] = applyOp(
    op,
    [last.reshape(target.numel, classes), target.reshape(target.numel), weight ?? full([classes], 1)],
    { smoothing, ignoreIndex },
  );
  if (reduction === "none") return losses.reshape(...target.shape);
  const total = losses.sum();
  return reduction === "sum" ? total : total.div(weights.sum().detach());
}

function checkTargets(what: string, x: Tensor, target: Tensor, ignoreIndex: number): void {
  const rank = x.shape.length;
  const wanted = rank === 1 ? [] : [x.shape[0], ...x.shape.slice(2)];
  const fits = rank >= 1 && target.dtype === "i32" && sameShape(target.shape, wanted);
  if (!fits)
    throw new ShapeError(
      `${what}: takes scores f32[N, C, …] and classes i32[N, …], got ${show(x.variable)} and ${show(target.variable)}`,
    );
  const classes = x.shape[rank === 1 ? 0 : 1];
  const location = target.variable.result?.location;
  if (!isHost(location)) return;
  const bad = location.data.findIndex((t) => (t < 0 || t >= classes) && t !== ignoreIndex);
  if (bad >= 0)
    throw new UsageError(
      `${what}: target ${bad} is class ${location.data[bad]}, but there are ${classes} classes`,
    );
}

/** Targets that are probabilities of the classes: -Σ_c w_c·t_c·log softmax(x)_c. */
function probabilityLoss(x: Tensor, target: Tensor, options: CrossEntropyOptions): Tensor {
  const { weight = null, ignoreIndex = -100, labelSmoothing = 0 } = options;
  if (ignoreIndex >= 0)
    throw new UsageError("crossEntropy: ignoreIndex is of classes, but the targets are probabilities");
  const axis = x.shape.length === 1 ? 0 : 1;
  const classes = x.shape[axis];
  if (weight && !sameShape(weight.shape, [classes]))
    throw new ShapeError(
      `crossEntropy: needs one weight for each of ${classes} classes, got ${show(weight.variable)}`,
    );
  const smooth = labelSmoothing > 0 ? target.mul(1 - labelSmoothing).add(labelSmoothing / classes) : target;
  const perClass = x.shape.map((_, i) => (i === axis ? classes : 1));
  const weighted = weight ? smooth.mul(weight.reshape(...perClass)) : smooth;
  return reduceLoss(x.logSoftmax(axis).mul(weighted).sum(axis).neg(), options.reduction);
}

/**
 * Cross entropy of logits [N, C] (or [C], or [N, C, d…]) and classes i32 [N] (or [], or [N, d…]), or probabilities f32
 * of the logits' shape (torch.nn.functional.cross_entropy). Throws a UsageError for a class that there is not, where
 * the targets are host data; on the device such a row is NaN.
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  checkTensor("crossEntropy", "logits", logits);
  checkTensor("crossEntropy", "target", target);
  checkLoss("crossEntropy", options, ["weight", "ignoreIndex", "reduction", "labelSmoothing"]);
  return composite(() => {
    if (target.dtype === "f32" && logits.shape.length > 0 && sameShape(logits.shape, target.shape))
      return probabilityLoss(logits, target, options);
    return classLoss("crossEntropyRows", logits, target, options, options.labelSmoothing ?? 0);
  });
}

/** Negative log likelihood of log-probabilities [N, C], shapes as in `crossEntropy` (torch.nn.functional.nll_loss). */
export function nllLoss(logProbs: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  checkTensor("nllLoss", "logProbs", logProbs);
  checkTensor("nllLoss", "target", target);
  checkLoss("nllLoss", options, ["weight", "ignoreIndex", "reduction"]);
  return composite(() => classLoss("nllRows", logProbs, target, options, 0));
}

/** PyTorch refuses to broadcast these: a mean over N×N pairs is a mistake. */
function checkSame(what: string, x: Tensor, target: Tensor): void {
  checkTensor(what, "input", x);
  checkTensor(what, "target", target);
  if (!sameShape(x.shape, target.shape))
    throw new ShapeError(
      `${what}: the target must have the input's shape, got ${show(x.variable)} and ${show(target.variable)}`,
    );
}

/** A weight may spread over the losses, not they over it (PyTorch). */
function checkWeight(what: string, name: string, weight: Tensor | null | undefined, x: Tensor): void {
  if (!weight) return;
  const lead = x.shape.length - weight.shape.length;
  if (lead < 0 || weight.shape.some((d, i) => d !== 1 && d !== x.shape[lead + i]))
    throw new ShapeError(
      `${what}: ${name} must broadcast to the input's shape, got ${show(weight.variable)} for ${show(x.variable)}`,
    );
}

/**
 * Binary cross entropy of probabilities and targets of the same shape, both in [0, 1]
 * (torch.nn.functional.binary_cross_entropy). Logarithms are at least -100. A probability outside of [0, 1] gives NaN,
 * where PyTorch throws: finding it would wait for the device.
 */
export function binaryCrossEntropy(p: Tensor, target: Tensor, options: BinaryLossOptions = {}): Tensor {
  checkSame("binaryCrossEntropy", p, target);
  checkLoss("binaryCrossEntropy", options, ["weight", "reduction"]);
  checkWeight("binaryCrossEntropy", "weight", options.weight, p);
  return composite(() => {
    const losses = applyOp("bce", [p, target])[0];
    return reduceLoss(options.weight ? losses.mul(options.weight) : losses, options.reduction);
  });
}

/**
 * Binary cross entropy of logits and targets of the same shape (torch.nn.functional.binary_cross_entropy_with_logits);
 * `posWeight` multiplies the loss of positives and broadcasts.
 */
export function binaryCrossEntropyWithLogits(
  x: Tensor,
  target: Tensor,
  options: BinaryLogitsOptions = {},
): Tensor {
  checkSame("binaryCrossEntropyWithLogits", x, target);
  checkLoss("binaryCrossEntropyWithLogits", options, ["weight", "posWeight", "reduction"]);
  for (const name of ["weight", "posWeight"] as const)
    checkWeight("binaryCrossEntropyWithLogits", name, options[name], x);
  return composite(() => {
    const losses = applyOp("bceLogits", [x, target, options.posWeight ?? full([], 1)])[0];
    return reduceLoss(options.weight ? losses.mul(options.weight) : losses, options.reduction);
  });
}

/**
 * Mean squared error (torch.nn.functional.mse_loss). As there, shapes broadcast, and the mean is over the broadcast
 * shape: [N, 1] against [N] compares all N² pairs.
 */
export function mseLoss(x: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  checkTensor("mseLoss", "input", x);
  checkTensor("mseLoss", "target", target);
  checkLoss("mseLoss", options, ["reduction"]);
  return composite(() => reduceLoss(x.sub(target).square(), options.reduction));
}
