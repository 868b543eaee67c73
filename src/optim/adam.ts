// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) as torch.optim defines them: m and v are
// exponential means of d and d², corrected by 1 - βᵗ; Adam's weightDecay is added to the gradient, AdamW's shrinks the
// parameter by lr·weightDecay.

import { UsageError } from "../core/error.ts";
import { Optimizer, type ParamGroup, type ParamsInput, type Update } from "./optimizer.ts";
import { inRange, refuseUnknown } from "./sgd.ts";

export interface AdamOptions {
  lr: number;
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

abstract class AdamBase extends Optimizer<AdamOptions> {
  protected abstract readonly decoupled: boolean;

  protected check(h: AdamOptions): void {
    const { name } = this.constructor;
    inRange(name, h, ["lr", "eps", "weightDecay"]);
    if (h.betas.length !== 2 || h.betas.some((b) => !(b >= 0 && b < 1)))
      throw new UsageError(`${name}: betas must be two numbers in [0, 1), got ${h.betas}`);
  }

  protected update(g: ParamGroup<AdamOptions>): Update {
    return {
      op: "adam",
      moments: ["m", "v"],
      scalars: (t) => {
        const [b1, b2] = g.betas;
        const decay = this.decoupled ? [0, g.lr * g.weightDecay] : [g.weightDecay, 0];
        const [step, c2] = [g.lr / (1 - b1 ** t), 1 / Math.sqrt(1 - b2 ** t)];
        return [step, c2, b1, b2, g.eps, ...decay, 1 - b1, 1 - b2];
      },
    };
  }
}

function withDefaults(name: string, options: Partial<AdamOptions>, defaultDecay: number): AdamOptions {
  const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = defaultDecay, ...unknown } = options;
  refuseUnknown(name, unknown);
  return { lr, betas, eps, weightDecay };
}

export class Adam extends AdamBase {
  protected readonly decoupled = false;

  constructor(params: ParamsInput<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, withDefaults("Adam", options, 0));
  }
}

export class AdamW extends AdamBase {
  protected readonly decoupled = true;

  constructor(params: ParamsInput<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, withDefaults("AdamW", options, 1e-2));
  }
}
