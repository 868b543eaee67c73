// Losses as modules: each holds the options of its function in nn.functional, checked where the loss is made.

import type { Tensor } from "../tensor/tensor.ts";
import { checkLoss } from "./arguments.ts";
import * as F from "./functional.ts";
import { Module } from "./module.ts";

/**
 * Cross entropy of logits [N, C] or [N, C, d…] and classes i32 [N] or [N, d…], or probabilities of the logits' shape
 * (torch.nn.CrossEntropyLoss). A tensor [], or with `reduction: "none"` of the classes' shape.
 */
export class CrossEntropyLoss extends Module {
  readonly options: F.CrossEntropyOptions;

  constructor(options: F.CrossEntropyOptions = {}) {
    super();
    checkLoss("CrossEntropyLoss", options, ["weight", "ignoreIndex", "reduction", "labelSmoothing"]);
    this.options = options;
  }

  /** The loss of logits [N, C, …] and classes [N, …]. */
  forward(logits: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(logits, target, this.options);
  }
}

/** Negative log likelihood of log-probabilities, shapes as in CrossEntropyLoss (torch.nn.NLLLoss). */
export class NLLLoss extends Module {
  readonly options: F.ClassLossOptions;

  constructor(options: F.ClassLossOptions = {}) {
    super();
    checkLoss("NLLLoss", options, ["weight", "ignoreIndex", "reduction"]);
    this.options = options;
  }

  /** The loss of log-probabilities [N, C, …] and classes [N, …]. */
  forward(logProbs: Tensor, target: Tensor): Tensor {
    return F.nllLoss(logProbs, target, this.options);
  }
}

/** Binary cross entropy of probabilities in [0, 1] (torch.nn.BCELoss); outside of it the loss is NaN. */
export class BCELoss extends Module {
  readonly options: F.BinaryLossOptions;

  constructor(options: F.BinaryLossOptions = {}) {
    super();
    checkLoss("BCELoss", options, ["weight", "reduction"]);
    this.options = options;
  }

  /** The loss of probabilities and targets of one shape. */
  forward(p: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(p, target, this.options);
  }
}

/** Binary cross entropy of logits (torch.nn.BCEWithLogitsLoss); `posWeight` multiplies the loss of positives. */
export class BCEWithLogitsLoss extends Module {
  readonly options: F.BinaryLogitsOptions;

  constructor(options: F.BinaryLogitsOptions = {}) {
    super();
    checkLoss("BCEWithLogitsLoss", options, ["weight", "posWeight", "reduction"]);
    this.options = options;
  }

  /** The loss of logits and targets of one shape. */
  forward(x: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropyWithLogits(x, target, this.options);
  }
}

/** Mean squared error (torch.nn.MSELoss); shapes broadcast, as there. */
export class MSELoss extends Module {
  readonly options: F.LossOptions;

  constructor(options: F.LossOptions = {}) {
    super();
    checkLoss("MSELoss", options, ["reduction"]);
    this.options = options;
  }

  /** The mean (or sum, or tensor) of (x - target)². */
  forward(x: Tensor, target: Tensor): Tensor {
    return F.mseLoss(x, target, this.options);
  }
}
