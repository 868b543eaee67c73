// The graph that the schedule works on: a cut's nodes in program order, which rewrites and splits rebuild. Every node
// carries a position, the id of the node of the cut that it stands for, so that rebuilt nodes keep their place.

import type { Cut } from "../graph/cut.ts";
import type { Assign, Storage } from "../graph/leaf.ts";
import { apply, attrsKey, type Node, reachable, type Value } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import { at as atSite } from "../graph/site.ts";

export interface WorkGraph {
  readonly roots: readonly Value[];
  readonly effects: readonly Assign[];
  /** In order: by position, then by id. */
  readonly nodes: readonly Node[];
  readonly position: ReadonlyMap<Node, number>;
}

export function workGraph(cut: Cut): WorkGraph {
  return {
    roots: cut.roots,
    effects: cut.effects,
    nodes: cut.nodes,
    position: new Map(cut.nodes.map((n) => [n, n.id])),
  };
}

/** The state leaf that a value is, or is a view of. */
function stateBehind(v: Value): Node | null {
  let { node } = v;
  while (node.op?.view && node.inputs.length > 0) node = node.inputs[0].node;
  return node.source?.kind === "state" ? node : null;
}

/** Roots that read state are copied where they are read, before an effect of this flush can change what they see. */
export function snapshotRoots(g: WorkGraph): WorkGraph {
  const position = new Map(g.position);
  const roots = g.roots.map((v) => {
    const state = stateBehind(v);
    if (!state) return v;
    const [copy] = atSite(v.node.site, () => apply(opNamed("copy"), [v]));
    position.set(copy.node, Math.max(position.get(state) as number, position.get(v.node) as number));
    return copy;
  });
  return { ...g, roots, position, nodes: inOrder(roots, g.effects, position) };
}

function inOrder(
  roots: readonly Value[],
  effects: readonly Assign[],
  position: ReadonlyMap<Node, number>,
): Node[] {
  const order = (n: Node) => position.get(n) ?? n.id;
  const nodes = reachable([...roots, ...effects.map((e) => e.value)]);
  return nodes.sort((a, b) => order(a) - order(b) || a.id - b.id);
}

/** Which nodes read each value, and how often it is a root or assigned. */
export interface Uses {
  readonly consumers: ReadonlyMap<Value, readonly { node: Node; input: number }[]>;
  readonly held: ReadonlySet<Value>;
}

export function usesOf(g: WorkGraph): Uses {
  const consumers = new Map<Value, { node: Node; input: number }[]>();
  for (const node of g.nodes) {
    node.inputs.forEach((v, input) => {
      const list = consumers.get(v);
      if (list) list.push({ node, input });
      else consumers.set(v, [{ node, input }]);
    });
  }
  return { consumers, held: new Set([...g.roots, ...g.effects.map((e) => e.value)]) };
}

/** The only reader of a value that nobody keeps, and as which of its inputs; else null. */
export function soleReader(v: Value, uses: Uses): { readonly node: Node; readonly input: number } | null {
  const readers = uses.consumers.get(v) ?? [];
  return readers.length === 1 && !uses.held.has(v) ? readers[0] : null;
}

/** Whether the node may run as late as `end`: no effect in between changes state that it reads. */
export function mayWait(g: WorkGraph, node: Node, end: Node): boolean {
  const order = (n: Node) => g.position.get(n) as number;
  const read = new Set<Storage>();
  for (const v of node.inputs) {
    const source = stateBehind(v)?.source;
    if (source?.kind === "state") read.add(source.slice.storage);
  }
  if (read.size === 0) return true;
  return !g.effects.some((e) => read.has(e.slice.storage) && e.at > order(node) && e.at <= order(end));
}

/**
 * What a rebuild makes of one node given its rebuilt inputs: new outputs, or null to keep the operation. `now` gives the
 * rebuilt value of one that was visited before.
 */
export type Rebuild = (
  node: Node,
  inputs: readonly Value[],
  now: (v: Value) => Value,
) => readonly Value[] | null;

/** Rebuilds the graph node by node. Effects follow their values; `effects` may replace them. */
export function rebuild(
  g: WorkGraph,
  visit: Rebuild,
  effects?: (e: Assign, value: Value) => readonly Assign[],
): WorkGraph {
  const replaced = new Map<Value, Value>();
  const position = new Map<Node, number>();
  const now = (v: Value): Value => replaced.get(v) ?? v;
  for (const node of g.nodes) {
    const at = g.position.get(node) as number;
    const inputs = node.inputs.map(now);
    const made = atSite(node.site, () => visit(node, inputs, now) ?? unchanged(node, inputs));
    node.outputs.forEach((v, i) => {
      replaced.set(v, made[i]);
    });
    place(made, position, at);
  }
  const after = g.effects.flatMap((e) => effects?.(e, now(e.value)) ?? [{ ...e, value: now(e.value) }]);
  const roots = g.roots.map(now);
  return { roots, effects: after, nodes: inOrder(roots, after, position), position };
}

function unchanged(node: Node, inputs: readonly Value[]): readonly Value[] {
  if (!node.op || inputs.every((v, i) => v === node.inputs[i])) return node.outputs;
  return apply(node.op, inputs, node.attrs);
}

/** Gives new nodes behind `made` the position of the node they were made for. */
function place(made: readonly Value[], position: Map<Node, number>, at: number): void {
  const stack = made.map((v) => v.node);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (position.has(node)) continue;
    position.set(node, at);
    for (const v of node.inputs) stack.push(v.node);
  }
}

/** The key under which a cut's plan is found again: structure, and what its leaves are. */
export function cutKey(cut: Cut, leafKey: (node: Node) => string): string {
  const number = new Map<Value, number>();
  const lines: string[] = [];
  for (const node of cut.nodes) {
    const inputs = node.inputs.map((v) => number.get(v)).join(",");
    lines.push(node.op ? `${node.op.name}(${inputs})${attrsKey(node.attrs)}` : leafKey(node));
    for (const v of node.outputs) number.set(v, number.size);
  }
  lines.push(`roots ${cut.roots.map((v) => number.get(v)).join(",")}`);
  for (const e of cut.effects) {
    // Order among the nodes, not absolute ids, is what the effect's place in the program means.
    const before = countBefore(cut.nodes, e.at);
    const { storage, offset, shape } = e.slice;
    lines.push(
      `assign ${storage.id}+${offset}[${shape}] ${number.get(e.value)} at ${before} v${e.version - (cut.base.get(storage) as number)}`,
    );
  }
  return lines.join("\n");
}

/** How many nodes have an id below `mark`. */
function countBefore(nodes: readonly Node[], mark: number): number {
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nodes[middle].id < mark) low = middle + 1;
    else high = middle;
  }
  return low;
}
