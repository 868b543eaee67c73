// Freezing. `parameter.requiresGrad = false` freezes that parameter and nothing else: a batch norm in train mode still
// normalises by, and moves its running statistics with, the batch. `freeze(module)` also puts the batch norms inside on
// their running statistics (Keras' `trainable = false`), and `train()` leaves them so until `unfreeze`.

import { checkOptions, checkWord } from "../core/options.ts";
import { BatchNorm2d } from "./layers.ts";
import type { Module } from "./module.ts";

/** Options of freeze. */
export interface FreezeOptions {
  /** What frozen batch norms normalise by: "running" (default) or "batch" statistics. */
  readonly batchNorm?: "running" | "batch";
}

/**
 * Freezes every parameter of the module and, unless told otherwise, its batch norms' statistics (Keras' `trainable =
 * false`). Returns the module. Throws a UsageError for options that there are not.
 */
export function freeze<M extends Module>(module: M, options: FreezeOptions = {}): M {
  checkOptions("freeze", options, ["batchNorm"]);
  const { batchNorm = "running" } = options;
  checkWord("freeze", "batchNorm", batchNorm, ["running", "batch"]);
  for (const p of module.parameters()) p.requiresGrad = false;
  if (batchNorm === "running") setFrozen(module, true);
  return module;
}

/** Makes every parameter trainable again and lets `train()` reach the batch norms; their mode follows the module's. */
export function unfreeze<M extends Module>(module: M): M {
  for (const p of module.parameters()) p.requiresGrad = true;
  setFrozen(module, false);
  return module;
}

function setFrozen(module: Module, frozen: boolean): void {
  for (const m of module.modules()) {
    if (!(m instanceof BatchNorm2d)) continue;
    if (m.frozen === frozen) continue;
    m.frozen = frozen;
    m.training = frozen ? false : module.training;
  }
}
