// SGD (torch.optim.SGD): d = g + weightDecay·p; with momentum v = momentum·v + (1-dampening)·d (v = d at first) and
// d ← nesterov ? d + momentum·v : v; p -= lr·d.

import { UsageError } from "../core/error.ts";
import { checkFlag, checkNumber } from "../core/options.ts";
import { Optimizer, type ParamGroup, type ParamsInput, type Update, withDefaults } from "./optimizer.ts";

/** Options of SGD. */
export interface SgdOptions {
  /** Learning rate, at least 0. Default 1e-3. */
  lr: number;
  /** Share of the velocity that is kept, at least 0. Default 0: no velocity. */
  momentum: number;
  /** Share of the gradient that does not go into the velocity. Default 0. */
  dampening: number;
  /** L2 penalty, added to the gradient, at least 0. Default 0. */
  weightDecay: number;
  /** Look ahead along the velocity; needs a momentum and no dampening. Default false. */
  nesterov: boolean;
  /** Ascends instead of descending. Default false. */
  maximize: boolean;
}

const DEFAULTS: SgdOptions = {
  lr: 1e-3,
  momentum: 0,
  dampening: 0,
  weightDecay: 0,
  nesterov: false,
  maximize: false,
};

/** Stochastic gradient descent (torch.optim.SGD). Throws a UsageError for unknown options or ones out of range. */
export class SGD extends Optimizer<SgdOptions> {
  constructor(params: ParamsInput<SgdOptions>, options: Partial<SgdOptions> = {}) {
    super(params, withDefaults("SGD", options, DEFAULTS));
  }

  protected check(h: SgdOptions): void {
    for (const key of ["lr", "momentum", "weightDecay"] as const) checkNumber("SGD", key, h[key], { min: 0 });
    checkNumber("SGD", "dampening", h.dampening);
    checkFlag("SGD", "nesterov", h.nesterov);
    checkFlag("SGD", "maximize", h.maximize);
    if (h.nesterov && (h.momentum <= 0 || h.dampening !== 0))
      throw new UsageError("SGD: nesterov needs a momentum and no dampening");
  }

  protected update(g: ParamGroup<SgdOptions>): Update {
    const base = () => [g.lr, g.weightDecay, g.maximize ? -1 : 1];
    if (g.momentum === 0) return { op: "sgd", moments: [], scalars: base };
    return {
      op: "sgdMomentum",
      moments: ["momentum"],
      // The first step starts the velocity at d itself, undampened.
      scalars: (count) => [...base(), g.momentum, count === 1 ? 1 : 1 - g.dampening, g.nesterov ? 1 : 0],
    };
  }
}
