// What all architectures' functions do: check the options, build, load weights, and start the last layer afresh where
// the weights have another number of classes.

import { UsageError } from "../core/error.ts";
import { checkNumber, checkOptions, isPlain } from "../core/options.ts";
import { init, type StateInput } from "../nn/index.ts";
import { type Classifier, lastLayer, replaceLast } from "./classifier.ts";

/** Options that every architecture has. */
export interface ModelOptions {
  /** Outputs of the head. Default 1000. */
  readonly numClasses?: number;
  /**
   * A state dict to start from (`await weights.read(file)`). Its last layer is loaded where it has as many classes;
   * where it has not and `numClasses` is given, the last layer starts fresh. A DataError says what else does not fit.
   */
  readonly weights?: StateInput;
}

/** Throws a UsageError unless the probability, where it is given, lies from 0 to 1. */
export function checkProbability(what: string, name: string, p: number | undefined): void {
  if (p !== undefined) checkNumber(what, name, p, { min: 0, max: 1 });
}

/** An architecture's function: `make` builds it for so many classes; `own` names options beside the common ones. */
export function build<M extends Classifier>(
  architecture: string,
  options: ModelOptions,
  own: readonly string[],
  make: (numClasses: number) => M,
): M {
  checkOptions(architecture, options, ["numClasses", "weights", ...own]);
  const { weights, numClasses = 1000 } = options;
  checkNumber(architecture, "numClasses", numClasses, { whole: true, min: 1 });
  if (weights === undefined) return make(numClasses);
  if (!(weights instanceof Map) && !isPlain(weights))
    throw new UsageError(`${architecture}: weights must be a state dict; pass await weights.read(file)`);
  const model = init.skipInit(() => make(numClasses));
  const { name } = lastLayer(model);
  const { loaded } = model.loadStateDict(weights, { strict: false, dryRun: true });
  const fresh = options.numClasses !== undefined && !loaded.includes(`${name}.weight`);
  model.loadStateDict(weights, { except: fresh ? [name] : [] });
  if (fresh) replaceLast(model, numClasses);
  return model;
}
