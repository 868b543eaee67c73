// Hoisting: work that hangs only on state which this flush does not change (packed or folded weights, the affine form
// of a frozen batch norm) is kept apart, runs once, and again when that state has moved.

import type { Storage } from "../graph/leaf.ts";
import type { Node } from "../graph/node.ts";
import type { WorkGraph } from "./work_graph.ts";

/** Nodes that depend on constants and unchanged state alone. */
export function frozenNodes(g: WorkGraph): Set<Node> {
  const changed = new Set(g.effects.map((e) => e.slice.storage));
  const frozen = new Set<Node>();
  for (const node of g.nodes) {
    const { source } = node;
    const own = source ? source.kind === "state" && !changed.has(source.slice.storage) : true;
    if (own && node.inputs.every((v) => frozen.has(v.node))) frozen.add(node);
  }
  return frozen;
}

/** The storages that the hoisted part reads: their versions tag its results. */
export function hoistedReads(frozen: ReadonlySet<Node>): Storage[] {
  const out = new Set<Storage>();
  for (const { source } of frozen) if (source?.kind === "state") out.add(source.slice.storage);
  return [...out];
}
