// Which parameters train: the freezing policies of the command line, as functions of a model. A batch norm all of whose
// parameters are frozen goes on running statistics unless told otherwise, as `freeze(module)` does.

import { UsageError } from "../core/error.ts";
import { type Classifier, freshName } from "../models/index.ts";
import { freezeNorms } from "../nn/freeze.ts";
import { namesMatching, unfreeze } from "../nn/index.ts";

export interface FreezePolicy {
  /**
   * "none"; "all": everything but what a fresh head brought (the last layer, or the whole classifier where it was
   * replaced whole); "trunk" (or "features"): everything below the head; or patterns: a dotted name of a module or
   * parameter, `*` and `?` as wildcards, `name[from:to]` for a range of a module's children.
   */
  readonly freeze: readonly string[];
  /** So many trunk blocks (children of the trunk), counted from the end, stay open. */
  readonly unfrozenBlocks?: number;
  /** What frozen batch norms normalise by. Default "running". */
  readonly frozenBatchNorm?: "running" | "batch";
}

export interface FreezeReport {
  /** Names of the parameters that train. */
  readonly trainable: readonly string[];
  /** Numbers of elements. */
  readonly trainableCount: number;
  readonly totalCount: number;
}

const WHOLE = ["none", "all", "trunk", "features"];

/** Throws a UsageError for policies that contradict themselves, without looking at a model. */
export function checkPolicy(policy: FreezePolicy): void {
  const { freeze: patterns, unfrozenBlocks: open, frozenBatchNorm = "running" } = policy;
  const words = patterns.filter((p) => WHOLE.includes(p));
  if (patterns.length === 0 || patterns.some((p) => p === ""))
    throw new UsageError("freeze needs all, none, trunk or a pattern");
  if (words.length > 0 && patterns.length > 1)
    throw new UsageError(`freeze ${words[0]} cannot be combined with other patterns`);
  if (frozenBatchNorm !== "running" && frozenBatchNorm !== "batch")
    throw new UsageError(`frozen-bn must be running or batch, not ${frozenBatchNorm}`);
  if (open === undefined) return;
  if (!Number.isInteger(open) || open < 0)
    throw new UsageError(`unfrozen-blocks must be a whole number of at least 0, not ${open}`);
  if (!["trunk", "features", "all"].includes(patterns[0]))
    throw new UsageError(
      `unfrozen-blocks opens blocks of a frozen trunk, but freeze is ${patterns.join(" ")}`,
    );
}

/**
 * Freezes the model's parameters by the policy and opens the rest. Throws a UsageError for a pattern that fits nothing,
 * for more open blocks than there are, and when nothing is left to train.
 */
export function applyPolicy(model: Classifier, policy: FreezePolicy): FreezeReport {
  checkPolicy(policy);
  unfreeze(model);
  const frozen = frozenNames(model, policy);
  const names = [...model.namedParameters()];
  for (const [name, p] of names) if (frozen.has(name)) p.requiresGrad = false;
  if (policy.frozenBatchNorm !== "batch") freezeNorms(model);
  const open = names.filter(([, p]) => p.requiresGrad);
  if (open.length === 0)
    throw new UsageError(
      `freeze ${policy.freeze.join(" ")} leaves nothing of ${model.architecture} to train`,
    );
  const count = (list: typeof names) => list.reduce((n, [, p]) => n + p.numel, 0);
  return { trainable: open.map(([n]) => n), trainableCount: count(open), totalCount: count(names) };
}

function frozenNames(model: Classifier, policy: FreezePolicy): Set<string> {
  const names = [...model.namedParameters()].map(([name]) => name);
  const [first] = policy.freeze;
  if (first === "none") return new Set();
  if (WHOLE.includes(first)) {
    const head = first === "all" ? freshName(model) : model.headName;
    const open = openBlocks(model, policy.unfrozenBlocks ?? 0);
    return new Set(names.filter((n) => !inside(n, head) && !open.has(n)));
  }
  return new Set(policy.freeze.flatMap((p) => namesMatching(model, p, "freeze", model.architecture)));
}

const inside = (name: string, module: string) => name === module || name.startsWith(`${module}.`);

/** Names of the parameters in the last `count` blocks of the trunk, which may be a view: found by identity. */
function openBlocks(model: Classifier, count: number): Set<string> {
  const blocks = [...model.trunk.namedChildren()];
  if (count > blocks.length)
    throw new UsageError(
      `unfrozen-blocks ${count}: the trunk of ${model.architecture} has ${blocks.length} blocks (${blocks.map(([n]) => n).join(", ")})`,
    );
  const open = new Set(blocks.slice(blocks.length - count).flatMap(([, b]) => b.parameters()));
  return new Set([...model.namedParameters()].filter(([, p]) => open.has(p)).map(([name]) => name));
}
