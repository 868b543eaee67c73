// What Keras' application models have in common: a trunk of blocks with Keras' layer names inside, a pool, a head, and
// loading from files with Keras' own names and layouts.

import { UsageError } from "../../core/error.ts";
import { checkNumber, checkOptions, checkWord, isPlain, shown } from "../../core/options.ts";
import * as nn from "../../nn/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { FeaturesClassifier, type Layer, lastLayer, ownHead, type Preprocessing } from "../classifier.ts";
import { fromKeras, hasKerasNames } from "./names.ts";

/** Options that all Keras models have. */
export interface KerasOptions {
  /**
   * Outputs of the last layer. Default 1000. Without top: a fresh dense layer of so many outputs behind the pool, by
   * default none.
   */
  readonly numClasses?: number;
  /**
   * Weights to start from: `await weights.read(file)` of a Keras or TensorFlow.js file, or a state dict of Thaw's. The
   * last layer is loaded where it has as many classes; where it has not and `numClasses` is given, it starts fresh.
   */
  readonly weights?: nn.StateInput;
  /** With the dense layers of the published model (default), or up to the pool (Keras' `include_top=False`). */
  readonly includeTop?: boolean;
  /** Without top: mean ("avg", default) or largest value ("max") of each channel, or null for the maps themselves. */
  readonly pooling?: "avg" | "max" | null;
}

export const KERAS_OPTIONS = [
  "numClasses",
  "weights",
  "includeTop",
  "pooling",
] as const satisfies readonly (keyof KerasOptions)[];

/** What a model is made of. */
export interface KerasParts {
  readonly architecture: string;
  readonly preprocessing: Preprocessing;
  readonly features: nn.Sequential;
  /** Channels of the trunk's maps. */
  readonly width: number;
  /** What the published model has behind the pool, given its outputs. */
  readonly top: (numClasses: number) => Layer;
  /** How the published model's top takes the maps: their mean (default), or all values of maps of this side. */
  readonly flatten?: number;
  /** Draws initial values of a module and of what lies below it. */
  readonly init: (root: nn.Module) => void;
}

type Pooling = "avg" | "max" | "flatten" | null;

/**
 * A Keras application model, x [N, 3, H, W] → logits [N, classes] (Keras' softmax is left to the loss), or without top
 * and classes the pooled features [N, C] or the maps [N, C, h, w]. State-dict names end in Keras' layer names:
 * `features.block_1.block_1_expand.weight`.
 */
export class KerasModel extends FeaturesClassifier {
  readonly architecture: string;
  readonly preprocessing: Preprocessing;
  readonly numFeatures: number;
  readonly pooling: Pooling;
  features: nn.Sequential;
  classifier: Layer;
  /** Side of the maps that a flattening top is for. */
  readonly side: number;

  constructor(parts: KerasParts, options: KerasOptions) {
    super();
    const { includeTop = true, pooling = "avg", numClasses } = options;
    this.architecture = parts.architecture;
    this.preprocessing = parts.preprocessing;
    this.features = parts.features;
    this.side = parts.flatten ?? 1;
    this.pooling = !includeTop ? pooling : parts.flatten === undefined ? "avg" : "flatten";
    this.numFeatures = parts.width * (this.pooling === "flatten" ? this.side ** 2 : 1);
    if (includeTop) this.classifier = parts.top(numClasses ?? 1000);
    else if (numClasses === undefined) this.classifier = new nn.Identity();
    else this.classifier = new nn.Linear(parts.width, numClasses);
    parts.init(this);
    ownHead(this);
  }

  /** Side of the maps that the head's first dense layer takes flattened; 1 where they are pooled. */
  get flattened(): number {
    return this.pooling === "flatten" ? this.side : 1;
  }

  /** x [N, 3, H, W] → logits [N, classes]; without top and classes the features. */
  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.pool(this.features.forward(x)));
  }

  /** The trunk's maps [N, C, h, w] as the head takes them: pooled [N, C], flattened [N, C·h·w], or as they are. */
  pool(maps: Tensor): Tensor {
    if (this.pooling === null) return maps;
    if (this.pooling === "max") return maps.amax([2, 3]);
    if (this.pooling === "avg") return nn.functional.adaptiveAvgPool2d(maps, 1).flatten(1);
    const [, , h, w] = maps.shape;
    if (h !== this.side || w !== this.side)
      throw new UsageError(
        `${this.architecture}: its first dense layer is for maps of ${this.side}×${this.side}, but these pictures give ${h}×${w}; make the model with imageSize, or without top`,
      );
    return maps.flatten(1);
  }

  /**
   * As `Module.loadStateDict`, and from files with Keras' names: kernels are brought to PyTorch's layouts, rows behind
   * a Flatten from channel-last to channel-first order. A dense layer of the file that the model has not counts as its
   * head's.
   */
  override loadStateDict(dict: nn.StateInput, options: nn.LoadOptions = {}): nn.LoadReport {
    return super.loadStateDict(hasKerasNames(dict) ? fromKeras(this, dict, options.source) : dict, options);
  }
}

/** Builds a model and loads the weights that are given. Throws a UsageError for options that there are not. */
export function build(
  parts: () => KerasParts,
  what: string,
  options: KerasOptions,
  more: readonly string[] = [],
): KerasModel {
  checkKerasOptions(what, options, more);
  const { weights, numClasses } = options;
  if (weights !== undefined && !(weights instanceof Map) && !isPlain(weights))
    throw new UsageError(`${what}: weights must be a state dict; pass await weights.read(file)`);
  if (weights === undefined) return new KerasModel(parts(), options);
  const made = nn.init.skipInit(parts);
  const model = nn.init.skipInit(() => new KerasModel(made, options));
  const except = freshIn(model, weights, numClasses !== undefined);
  model.loadStateDict(weights, { except: except === null ? [] : [except] });
  if (except !== null) {
    const fresh = [...model.namedModules()].find(([name]) => name === except)?.[1];
    made.init(fresh ?? model.head);
  }
  return model;
}

/**
 * What of the head starts fresh: its last layer, where the weights have another number of classes, all of it where they
 * are without top, null where they fit or the caller asked for no number.
 */
function freshIn(model: KerasModel, weights: nn.StateInput, asked: boolean): string | null {
  if (!asked) return null;
  const { name: last } = lastLayer(model);
  const { loaded } = model.loadStateDict(weights, { strict: false, dryRun: true });
  if (loaded.includes(`${last}.weight`)) return null;
  const below = [...model.stateDict().keys()].filter(
    (k) => k.startsWith(`${model.headName}.`) && !k.startsWith(`${last}.`),
  );
  return below.every((k) => loaded.includes(k)) ? last : model.headName;
}

function checkKerasOptions(what: string, options: KerasOptions, more: readonly string[]): void {
  checkOptions(what, options, [...KERAS_OPTIONS, ...more]);
  const { numClasses, includeTop = true, pooling } = options;
  if (numClasses !== undefined) checkNumber(what, "numClasses", numClasses, { whole: true, min: 1 });
  if (typeof includeTop !== "boolean")
    throw new UsageError(`${what}: includeTop must be true or false, got ${shown(includeTop)}`);
  if (pooling === undefined) return;
  if (includeTop) throw new UsageError(`${what}: pooling is of models without top; add includeTop: false`);
  if (pooling !== null) checkWord(what, "pooling", pooling, ["avg", "max"]);
  else if (numClasses !== undefined)
    throw new UsageError(`${what}: a dense layer of ${numClasses} classes needs pooling "avg" or "max"`);
}
