// Freezing. `parameter.requiresGrad = false` freezes that parameter and nothing else: a batch norm in train mode still
// normalises by, and moves its running statistics with, the batch. `freeze(module)` also puts the batch norms inside on
// their running statistics (Keras' `trainable = false`), and `train()` leaves them so until `unfreeze`.

import { UsageError } from "../core/error.ts";
import { checkOptions, checkWord, shown } from "../core/options.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { BatchNorm2d } from "./layers.ts";
import type { Module } from "./module.ts";
import { matching } from "./patterns.ts";

/** Options of freeze. */
export interface FreezeOptions {
  /** What frozen batch norms normalise by: "running" (default) or "batch" statistics. */
  readonly batchNorm?: "running" | "batch";
  /**
   * Patterns of what is frozen (see `matching`); the rest stays as it is. A batch norm counts as frozen when all its
   * parameters are. Default: everything.
   */
  readonly only?: readonly string[];
}

/** Options of unfreeze. */
export interface UnfreezeOptions {
  /** Patterns of what is opened (see `matching`). Default: everything. */
  readonly only?: readonly string[];
}

/**
 * Freezes every parameter of the module, or those of `only`, and, unless told otherwise, its batch norms' statistics
 * (Keras' `trainable = false`). Returns the module. Throws a UsageError for options that there are not, and for a
 * pattern that fits nothing.
 */
export function freeze<M extends Module>(module: M, options: FreezeOptions = {}): M {
  checkOptions("freeze", options, ["batchNorm", "only"]);
  const { batchNorm = "running", only } = options;
  checkWord("freeze", "batchNorm", batchNorm, ["running", "batch"]);
  for (const p of chosen("freeze", module, only)) p.requiresGrad = false;
  if (batchNorm === "running") setFrozen(module, true, only !== undefined);
  return module;
}

/**
 * Makes every parameter, or those of `only`, trainable again and lets `train()` reach the batch norms; their mode
 * follows the module's.
 */
export function unfreeze<M extends Module>(module: M, options: UnfreezeOptions = {}): M {
  checkOptions("unfreeze", options, ["only"]);
  for (const p of chosen("unfreeze", module, options.only)) p.requiresGrad = true;
  setFrozen(module, false, options.only !== undefined);
  return module;
}

function chosen(what: string, module: Module, only: readonly string[] | undefined): Parameter[] {
  if (only === undefined) return module.parameters();
  if (!Array.isArray(only) || only.some((p) => typeof p !== "string"))
    throw new UsageError(`${what}: only must be a list of patterns, got ${shown(only)}`);
  return matching(module, ...only);
}

/** Puts batch norms on running statistics all of whose parameters are frozen. */
export const freezeNorms = (module: Module): void => setFrozen(module, true, true);

/** `byState`: only batch norms with parameters, all of which are frozen, or one of which is open. */
function setFrozen(module: Module, frozen: boolean, byState: boolean): void {
  for (const m of module.modules()) {
    if (!(m instanceof BatchNorm2d)) continue;
    const own = m.parameters();
    if (byState && (own.length === 0 || own.every((p) => !p.requiresGrad) !== frozen)) continue;
    if (m.frozen === frozen) continue;
    m.frozen = frozen;
    m.training = frozen ? false : module.training;
  }
}
