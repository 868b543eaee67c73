// SGD (torch.optim.SGD): d = g + weightDecay·p; with momentum v = momentum·v + (1-dampening)·d (v = d at first) and
// d ← nesterov ? d + momentum·v : v; p -= lr·d.

import { UsageError } from "../core/error.ts";
import { Optimizer, type ParamGroup, type ParamsInput, type Update } from "./optimizer.ts";

export interface SgdOptions {
  lr: number;
  momentum: number;
  dampening: number;
  weightDecay: number;
  nesterov: boolean;
  /** Ascends instead of descending. */
  maximize: boolean;
}

export class SGD extends Optimizer<SgdOptions> {
  constructor(params: ParamsInput<SgdOptions>, options: Partial<SgdOptions> = {}) {
    const {
      lr = 1e-3,
      momentum = 0,
      dampening = 0,
      weightDecay = 0,
      nesterov = false,
      maximize = false,
      ...unknown
    } = options;
    refuseUnknown("SGD", unknown);
    super(params, { lr, momentum, dampening, weightDecay, nesterov, maximize });
  }

  protected check(h: SgdOptions): void {
    inRange("SGD", h, ["lr", "momentum", "weightDecay"]);
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

/** Throws for options that the optimizer does not have: nothing accepted is ignored. */
export function refuseUnknown(name: string, unknown: object): void {
  const keys = Object.keys(unknown);
  if (keys.length > 0) throw new UsageError(`${name}: there is no option ${keys.join(", ")}`);
}

/** Checks that the named hyperparameters are finite and at least 0. */
export function inRange<H extends object>(name: string, h: H, keys: readonly (keyof H & string)[]): void {
  for (const key of keys) {
    const v = h[key];
    if (typeof v !== "number" || !Number.isFinite(v) || v < 0)
      throw new UsageError(`${name}: ${key} must be a number of at least 0, got ${v}`);
  }
}
