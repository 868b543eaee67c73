// Activations as modules, element by element on any shape. PyTorch's `inplace` argument has no meaning here and is
// refused.

import { checkNumber, checkOptions, checkWord } from "../core/options.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

/** max(x, 0) (torch.nn.ReLU). */
export class ReLU extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.relu();
  }
}

/** min(max(x, 0), 6) (torch.nn.ReLU6). */
export class ReLU6 extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.relu6();
  }
}

/** x, below 0 times `negativeSlope` (torch.nn.LeakyReLU; default 0.01). */
export class LeakyReLU extends Module {
  readonly negativeSlope: number;

  constructor(negativeSlope = 0.01, ...none: readonly never[]) {
    super(...none);
    checkNumber("LeakyReLU", "negativeSlope", negativeSlope);
    this.negativeSlope = negativeSlope;
  }

  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.leakyRelu(this.negativeSlope);
  }
}

/** x, below 0 `alpha`·(exp(x) - 1) (torch.nn.ELU; default 1). */
export class ELU extends Module {
  readonly alpha: number;

  constructor(alpha = 1, ...none: readonly never[]) {
    super(...none);
    checkNumber("ELU", "alpha", alpha);
    this.alpha = alpha;
  }

  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.elu(this.alpha);
  }
}

/** x·Φ(x), Φ the normal distribution, or its tanh approximation (torch.nn.GELU). */
export class GELU extends Module {
  readonly approximate: "none" | "tanh";

  constructor(options: { readonly approximate?: "none" | "tanh" } = {}) {
    super();
    checkOptions("GELU", options, ["approximate"]);
    const { approximate = "none" } = options;
    checkWord("GELU", "approximate", approximate, ["none", "tanh"]);
    this.approximate = approximate;
  }

  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.gelu(this.approximate);
  }
}

/** 1 / (1 + exp(-x)) (torch.nn.Sigmoid). */
export class Sigmoid extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.sigmoid();
  }
}

/** tanh(x) (torch.nn.Tanh). */
export class Tanh extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.tanh();
  }
}

/** x·sigmoid(x) (torch.nn.SiLU). */
export class SiLU extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.silu();
  }
}

/** log(1 + exp(x)) (torch.nn.Softplus with its defaults). */
export class Softplus extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.softplus();
  }
}

/** x·relu6(x + 3) / 6 (torch.nn.Hardswish). */
export class Hardswish extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.hardswish();
  }
}

/** relu6(x + 3) / 6 (torch.nn.Hardsigmoid). */
export class Hardsigmoid extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x.hardsigmoid();
  }
}

/** exp(x) / Σ exp(x) along axis `dim` (torch.nn.Softmax; default the last axis). */
export class Softmax extends Module {
  readonly dim: number;

  constructor(dim = -1, ...none: readonly never[]) {
    super(...none);
    checkNumber("Softmax", "dim", dim, { whole: true });
    this.dim = dim;
  }

  /** x of any shape → the same shape; throws a ShapeError when it has no axis `dim`. */
  forward(x: Tensor): Tensor {
    return x.softmax(this.dim);
  }
}

/** The logarithm of softmax along axis `dim` (torch.nn.LogSoftmax; default the last axis). */
export class LogSoftmax extends Module {
  readonly dim: number;

  constructor(dim = -1, ...none: readonly never[]) {
    super(...none);
    checkNumber("LogSoftmax", "dim", dim, { whole: true });
    this.dim = dim;
  }

  /** x of any shape → the same shape; throws a ShapeError when it has no axis `dim`. */
  forward(x: Tensor): Tensor {
    return x.logSoftmax(this.dim);
  }
}
