// Options of the writers of whole networks, and their checks.

import { UsageError } from "../core/error.ts";
import { checkFlag, checkNames, checkNumber, checkWord, isPlain, shown } from "../core/options.ts";
import type { Preprocessing } from "../models/index.ts";
import type { Module } from "../nn/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A network that is written: one tensor in, one tensor out. */
export type Exported = Module & { forward(x: Tensor): Tensor };

export interface ExportOptions {
  /**
   * Shape of one input, without the batch: [3, 224, 224]. By default that of the model's own preprocessing,
   * [3, crop, crop]. The file takes batches of any size, and pictures of this size only.
   */
  readonly inputShape?: readonly number[];
  /** End with a softmax over the last axis: probabilities instead of logits. Default false. */
  readonly softmax?: boolean;
  /** Names of the outputs in order, written into the file. Default: none are written. */
  readonly classes?: readonly string[];
  /** How pictures become inputs, written into the file. Default: the model's own, where it has one. */
  readonly preprocessing?: Preprocessing;
  /** How weights are stored. f16: rounded to nearest, ties to even; the arithmetic stays f32. Default "f32". */
  readonly dtype?: "f32" | "f16";
}

/** The options with their defaults filled in. */
export interface Settings {
  readonly inputShape: readonly number[];
  readonly softmax: boolean;
  readonly classes: readonly string[] | null;
  readonly preprocessing: Preprocessing | null;
  readonly dtype: "f32" | "f16";
  /** The model's name of itself, where it has one. */
  readonly architecture: string | null;
}

const KNOWN = ["inputShape", "softmax", "classes", "preprocessing", "dtype"];

/** What a Classifier has and any other module may lack. */
interface MaybeClassifier {
  readonly architecture?: unknown;
  readonly preprocessing?: Preprocessing;
}

/** Throws UsageError for unknown or wrong options, and where the input's shape is not known. */
export function settingsOf(what: string, model: Exported, options: ExportOptions): Settings {
  if (!isPlain(options)) throw new UsageError(`${what}: options must be an object, got ${shown(options)}`);
  checkNames(what, options, KNOWN);
  const own = model as MaybeClassifier;
  const { softmax = false, dtype = "f32", classes, preprocessing = own.preprocessing } = options;
  checkFlag(what, "softmax", softmax);
  checkWord(what, "dtype", dtype, ["f32", "f16"]);
  const crop = preprocessing?.crop;
  const inputShape = options.inputShape ?? (crop === undefined ? null : [3, crop, crop]);
  if (!inputShape)
    throw new UsageError(
      `${what}: give inputShape, the shape of one input without the batch, such as [3, 224, 224]; the model does not tell it`,
    );
  if (!Array.isArray(inputShape) || inputShape.length === 0)
    throw new UsageError(`${what}: inputShape must be a list of whole numbers, got ${shown(inputShape)}`);
  for (const extent of inputShape)
    checkNumber(what, "an extent of inputShape", extent, { whole: true, min: 1 });
  if (classes && !(Array.isArray(classes) && classes.every((c) => typeof c === "string")))
    throw new UsageError(`${what}: classes must be a list of names, got ${shown(classes)}`);
  return {
    inputShape,
    softmax,
    classes: classes ?? null,
    preprocessing: preprocessing ?? null,
    dtype,
    architecture: typeof own.architecture === "string" ? own.architecture : null,
  };
}

/** Throws UsageError where there are not as many names as outputs. */
export function checkClasses(what: string, classes: readonly string[] | null, outputs: number): void {
  if (classes && classes.length !== outputs)
    throw new UsageError(`${what}: ${classes.length} classes for a network with ${outputs} outputs`);
}
