// Which inputs of concats are written by their producers straight into the concat's buffer.

import type { Node, Value } from "../graph/node.ts";
import type { WorkGraph } from "./work_graph.ts";

/** Value → the concat output that holds it, and which input of it. */
export type Places = Map<Value, { readonly parent: Value; readonly index: number }>;

/** The value in whose buffer `v` lives: up through concats that hold it, and through views to what they view. */
function top(v: Value, places: Places): Value {
  let at = v;
  for (;;) {
    const place = places.get(at);
    if (place) at = place.parent;
    else if (at.node.op?.view && at.node.inputs.length > 0) at = at.node.inputs[0];
    else return at;
  }
}

/** The first placed value on the way from `v` up: what puts it into its group. */
function placedOnTheWay(v: Value, places: Places): Value | null {
  let at = v;
  for (;;) {
    if (places.has(at)) return at;
    if (!at.node.op?.view || at.node.inputs.length === 0) return null;
    at = at.node.inputs[0];
  }
}

export function placeConcats(g: WorkGraph, frozen: ReadonlySet<Node>, assigned: ReadonlySet<Value>): Places {
  const places: Places = new Map();
  const holders = g.nodes.filter((n) => n.op?.places);
  // Later concats first: a prefix of a concat then lies inside the larger one.
  for (const node of [...holders].reverse()) {
    const parent = node.outputs[0];
    if (assigned.has(parent)) continue;
    const operand = { shape: parent.shape, dtype: parent.dtype, offset: 0, batchStride: 0 };
    if (!node.op?.places?.(node.inputs, operand, node.attrs)) continue;
    node.inputs.forEach((v, index) => {
      const once = node.inputs.indexOf(v) === node.inputs.lastIndexOf(v);
      const made = v.node.op && !v.node.op.view && !v.node.op.denseOutput && !v.node.op.kernels[0].inPlace;
      const fits =
        made && once && !places.has(v) && !assigned.has(v) && frozen.has(v.node) === frozen.has(node);
      if (fits) places.set(v, { parent, index });
    });
  }
  while (removeConflicts(places, holders)) {
    // Each round takes at least one value out of its concat, so this ends.
  }
  return places;
}

/** Takes out values whose producer would read the buffer it writes. Returns whether anything changed. */
function removeConflicts(places: Places, holders: readonly Node[]): boolean {
  for (const v of places.keys()) {
    if (v.node.op?.places) continue;
    const own = top(v, places);
    if (v.node.inputs.some((x) => top(x, places) === own)) return places.delete(v);
  }
  for (const node of holders) {
    const parent = node.outputs[0];
    const own = top(parent, places);
    for (const x of node.inputs) {
      if (places.get(x)?.parent === parent || top(x, places) !== own) continue;
      if (isPrefix(node, places)) continue;
      // The copy of x into the concat would read and write one buffer.
      const cause = placedOnTheWay(x, places) ?? parent;
      if (places.delete(cause)) return true;
    }
  }
  return false;
}

/** A concat none of whose inputs it holds itself, all held by one larger concat: it may become a view of that. */
function isPrefix(node: Node, places: Places): boolean {
  const parents = node.inputs.map((x) => places.get(x)?.parent);
  return !places.has(node.outputs[0]) && parents.every((p) => p !== undefined && p !== node.outputs[0]);
}
