// Losses as modules: each holds the options of its function in nn.functional.

import type { Tensor } from "../tensor/tensor.ts";
import * as F from "./functional.ts";
import { Module } from "./module.ts";

export class CrossEntropyLoss extends Module {
  readonly options: NonNullable<Parameters<typeof F.crossEntropy>[2]>;

  constructor(options: NonNullable<Parameters<typeof F.crossEntropy>[2]> = {}) {
    super();
    this.options = options;
  }

  forward(logits: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(logits, target, this.options);
  }
}

export class NLLLoss extends Module {
  readonly options: F.ClassLossOptions;

  constructor(options: F.ClassLossOptions = {}) {
    super();
    this.options = options;
  }

  forward(logProbs: Tensor, target: Tensor): Tensor {
    return F.nllLoss(logProbs, target, this.options);
  }
}

export class BCELoss extends Module {
  readonly options: NonNullable<Parameters<typeof F.binaryCrossEntropy>[2]>;

  constructor(options: NonNullable<Parameters<typeof F.binaryCrossEntropy>[2]> = {}) {
    super();
    this.options = options;
  }

  forward(p: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(p, target, this.options);
  }
}

export class BCEWithLogitsLoss extends Module {
  readonly options: NonNullable<Parameters<typeof F.binaryCrossEntropyWithLogits>[2]>;

  constructor(options: NonNullable<Parameters<typeof F.binaryCrossEntropyWithLogits>[2]> = {}) {
    super();
    this.options = options;
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropyWithLogits(x, target, this.options);
  }
}

export class MSELoss extends Module {
  readonly options: { reduction?: F.Reduction };

  constructor(options: { reduction?: F.Reduction } = {}) {
    super();
    this.options = options;
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return F.mseLoss(x, target, this.options);
  }
}
