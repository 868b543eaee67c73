// The named rewrites and their switches. A rewrite is on unless switched off, by its name or all at once. Some work
// while the graph is built (autograd must see them), some on the finished graph of a flush.

import { UsageError } from "../../core/error.ts";
import type { BuildRule } from "../../graph/rule.ts";
import type { WorkGraph } from "../work_graph.ts";
import { elementwiseChains } from "./elementwise_chains.ts";
import { foldBatchNorm } from "./fold_batch_norm.ts";
import { normalizeBackward } from "./normalize_backward.ts";
import { normalizeOnLoad, reluIntoNormalize } from "./normalize_on_load.ts";
import { poolFirst } from "./pool_first.ts";
import { sharedStatistics } from "./shared_statistics.ts";
import { storeEpilogue } from "./store_epilogue.ts";

/** channelSliceConcat is done where buffers are placed (place.ts). */
export const REWRITES = [
  "channelSliceConcat",
  "sharedStatistics",
  "normalizeOnLoad",
  "foldBatchNorm",
  "poolFirst",
  "normalizeBackward",
  "storeEpilogue",
  "elementwiseChains",
] as const;

export type RewriteName = (typeof REWRITES)[number];

/** false: none; an object: those with false are off. */
export type RewriteOptions = false | Partial<Readonly<Record<RewriteName, boolean>>>;

export function isOn(options: RewriteOptions | undefined, name: RewriteName): boolean {
  if (options === false) return false;
  for (const key of Object.keys(options ?? {})) {
    if (!(REWRITES as readonly string[]).includes(key)) {
      throw new UsageError(`init: there is no rewrite called ${key} (there are ${REWRITES.join(", ")})`);
    }
  }
  return options?.[name] ?? true;
}

export function buildRules(options: RewriteOptions | undefined): readonly BuildRule[] {
  const on = (rule: BuildRule) => isOn(options, rule.name as RewriteName);
  return [sharedStatistics, reluIntoNormalize, poolFirst].filter(on);
}

/** The rewrites of a finished graph, in order. */
export function rewrite(g: WorkGraph, options: RewriteOptions | undefined): WorkGraph {
  let out = g;
  if (isOn(options, "foldBatchNorm")) out = foldBatchNorm(out);
  if (isOn(options, "normalizeOnLoad")) out = normalizeOnLoad(out);
  if (isOn(options, "normalizeBackward")) out = normalizeBackward(out);
  if (isOn(options, "storeEpilogue")) out = storeEpilogue(out);
  // Last: what is left of elementwise ops.
  if (isOn(options, "elementwiseChains")) out = elementwiseChains(out);
  return out;
}
