// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) as torch.optim defines them: m and v are
// exponential means of d and d², corrected by 1 - βᵗ; Adam's weightDecay is added to the gradient, AdamW's shrinks the
// parameter by lr·weightDecay.

import { UsageError } from "../core/error.ts";
import { checkNumber, shown } from "../core/options.ts";
import { Optimizer, type ParamGroup, type ParamsInput, type Update, withDefaults } from "./optimizer.ts";

/** Options of Adam and AdamW. */
export interface AdamOptions {
  /** Learning rate, at least 0. Default 1e-3. */
  lr: number;
  /** Decay of the means of d and d², each in [0, 1). Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root of the mean square, at least 0. Default 1e-8. */
  eps: number;
  /** At least 0. Default 0 for Adam, 0.01 for AdamW. */
  weightDecay: number;
}

const DEFAULTS: AdamOptions = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 };

abstract class AdamBase extends Optimizer<AdamOptions> {
  protected abstract readonly decoupled: boolean;

  protected check(h: AdamOptions): void {
    const { name } = this.constructor;
    for (const key of ["lr", "eps", "weightDecay"] as const) checkNumber(name, key, h[key], { min: 0 });
    const betas: unknown = h.betas;
    if (!Array.isArray(betas) || betas.length !== 2 || betas.some((b) => !(b >= 0 && b < 1)))
      throw new UsageError(`${name}: betas must be two numbers in [0, 1), got ${shown(betas)}`);
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

/** Adam (torch.optim.Adam). Throws a UsageError for unknown options or ones out of range. */
export class Adam extends AdamBase {
  protected readonly decoupled = false;

  constructor(params: ParamsInput<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, withDefaults("Adam", options, DEFAULTS));
  }
}

/** Adam with decoupled weight decay (torch.optim.AdamW). Throws a UsageError as Adam does. */
export class AdamW extends AdamBase {
  protected readonly decoupled = true;

  constructor(params: ParamsInput<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, withDefaults("AdamW", options, { ...DEFAULTS, weightDecay: 1e-2 }));
  }
}
