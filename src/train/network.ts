// The network of a run: an architecture by name, weights read from a file, a fresh head, what is frozen.

import { DataError } from "../core/error.ts";
import { toFloat32 } from "../core/half.ts";
import { candidates } from "../models/guess.ts";
import { type Classifier, create, freshName, lastLayer, type Preprocessing } from "../models/index.ts";
import { init, type StateEntry, type StateInput } from "../nn/index.ts";
import { Tensor } from "../tensor/tensor.ts";
import { replaceHead } from "./head.ts";
import { applyPolicy, type FreezePolicy, type FreezeReport } from "./policy.ts";

/** Pretrained weights, and what to call them in messages. */
export interface Pretrained {
  readonly dict: StateInput;
  readonly source: string;
  /** Head and classes, where the weights are those of a run. */
  readonly head?: string;
  readonly classes?: readonly string[];
  readonly preprocessing?: Preprocessing;
}

export interface NetworkOptions {
  readonly model: string;
  readonly classes: readonly string[];
  /** `linear`, `mlp:…`, or `keep` for the head that the weights have. */
  readonly head: string;
  readonly weights?: Pretrained;
  readonly policy: FreezePolicy;
  /** Weights will be put in afterwards, from a checkpoint: draw none. */
  readonly blank?: boolean;
}

export interface BuiltNetwork {
  readonly model: Classifier;
  readonly head: string;
  readonly report: FreezeReport;
}

/** And how pictures are prepared for it. */
export interface PreparedNetwork extends BuiltNetwork {
  readonly preprocessing: Preprocessing;
}

/** Builds, loads and freezes. Throws DataError when the weights do not fit, naming an architecture that they do fit. */
export function buildNetwork(options: NetworkOptions): BuiltNetwork {
  return options.blank ? init.skipInit(() => build(options)) : build(options);
}

function build(options: NetworkOptions): ReturnType<typeof buildNetwork> {
  const { classes, weights, policy } = options;
  const keep = options.head === "keep";
  const head = keep ? (weights?.head ?? "linear") : options.head;
  const model = weights ? init.skipInit(() => create(options.model)) : create(options.model);
  const from = keep ? keptHead(classes, weights) : null;
  if (keep) replaceHead(model, head, classes.length);
  if (weights) loadPretrained(model, from ? inOrder(model, weights, from) : weights, keep ? null : head);
  if (!keep) replaceHead(model, head, classes.length);
  return { model, head, report: applyPolicy(model, policy) };
}

/**
 * Where each class of the pictures stands among those that a kept head knows; null where it names none. Throws DataError
 * unless they are the same but for their order and for space around them.
 */
function keptHead(classes: readonly string[], weights: Pretrained | undefined): number[] | null {
  if (!weights) throw new DataError("head keep needs weights to keep it from");
  const own = weights.classes?.map((c) => c.trim());
  if (!own) return null;
  const from = classes.map((c) => own.indexOf(c.trim()));
  if (own.length === classes.length && new Set(from).size === own.length && !from.includes(-1)) return from;
  throw new DataError(
    `head keep: ${weights.source} knows the classes ${own.join(", ")}, the pictures are of ${classes.join(", ")}`,
  );
}

/** The weights with the rows of the last layer in the order `from`. */
function inOrder(model: Classifier, weights: Pretrained, from: readonly number[]): Pretrained {
  if (from.every((f, i) => f === i)) return weights;
  const { name } = lastLayer(model);
  const { dict } = weights;
  const entries = dict instanceof Map ? [...dict] : Object.entries(dict);
  const moved = entries.map(([key, e]): [string, Tensor | StateEntry] => {
    if (!key.startsWith(`${name}.`) || e instanceof Tensor || e.shape[0] !== from.length) return [key, e];
    const row = e.data.length / from.length;
    const data = toFloat32(e);
    const rows = from.map((f) => data.subarray(f * row, (f + 1) * row));
    const out = new Float32Array(data.length);
    rows.forEach((r, i) => {
      out.set(r, i * row);
    });
    return [key, { shape: e.shape, dtype: "f32", data: out }];
  });
  return { ...weights, dict: new Map(moved) };
}

/** What a fresh head leaves out of the weights: for `linear` the last layer, if others of the head are to be loaded. */
function replaced(model: Classifier, head: string | null): string[] {
  if (head === null) return [];
  const last = freshName(model);
  const below = [...model.namedParameters()].some(
    ([name]) => name.startsWith(`${model.headName}.`) && !name.startsWith(`${last}.`),
  );
  return [head === "linear" && below ? last : model.headName];
}

/** `head`: the fresh head that will follow; null where the weights' own stays. */
function loadPretrained(model: Classifier, { dict, source }: Pretrained, head: string | null): void {
  try {
    model.loadStateDict(dict, { except: replaced(model, head), source });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const fitting = candidates(dict).find((name) => name !== model.architecture && fits(name, dict, head));
    if (!fitting) throw error;
    throw new DataError(`${source} is of ${fitting}, not of ${model.architecture}; choose that model`);
  }
}

function fits(name: string, dict: StateInput, head: string | null): boolean {
  const model = init.skipInit(() => create(name));
  const r = model.loadStateDict(dict, { except: replaced(model, head), strict: false, dryRun: true });
  return r.missing.length + r.unexpected.length + r.misshaped.length === 0;
}
