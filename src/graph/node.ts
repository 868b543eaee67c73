// The graph: immutable nodes with typed outputs, interned so that the same operation on the same inputs is one node.
// Nodes know nothing of differentiability, handles or devices.

import type { DType } from "../core/dtype.ts";
import type { Shape, TypeOf } from "../core/shape.ts";
import { numel, sameShape } from "../core/shape.ts";
import type { Result, Source } from "./leaf.ts";
import type { AnyOp } from "./op.ts";
import { type Site, siteNow } from "./site.ts";

export type Attr = number | string | boolean | null | readonly Attr[];
export type Attrs = Readonly<Record<string, Attr>>;

/** One output of a node: what ops take and give. */
export interface Value extends TypeOf {
  readonly id: number;
  readonly node: Node;
  readonly index: number;
  readonly shape: Shape;
  readonly dtype: DType;
}

/** An operation applied to values, or (op null) a leaf whose data comes from a source. */
export interface Node {
  readonly id: number;
  readonly op: AnyOp | null;
  readonly source: Source | null;
  readonly attrs: Attrs;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Where it was first made; for people. */
  readonly site: Site;
}

let nextNode = 1;
let nextValue = 1;
const table = new Map<string, Node>();
/** Results that interned leaves read: pinned until those are forgotten, whatever becomes of the user's tensors. */
let read: Result[] = [];

function makeNode(
  op: AnyOp | null,
  source: Source | null,
  attrs: Attrs,
  inputs: readonly Value[],
  types: readonly TypeOf[],
): Node {
  const outputs: Value[] = [];
  const node: Node = { id: nextNode++, op, source, attrs, inputs, outputs, site: siteNow() };
  types.forEach((t, index) => {
    outputs.push({ id: nextValue++, node, index, shape: t.shape, dtype: t.dtype });
  });
  return node;
}

/** Attributes as text; JSON alone would write NaN and the infinities alike, and both zeros. */
export function attrsKey(attrs: Attrs): string {
  return JSON.stringify(attrs, (_k, v) => {
    if (typeof v !== "number") return v;
    if (Object.is(v, -0)) return "-0";
    return Number.isFinite(v) ? v : String(v);
  });
}

/** Applies an op: checks the types (throws ShapeError here, at the caller's line) and interns the node. */
export function apply(op: AnyOp, inputs: readonly Value[], attrs: Attrs = {}): readonly Value[] {
  const key = `${op.name}|${attrsKey(attrs)}|${inputs.map((v) => v.id).join(",")}`;
  const known = table.get(key);
  if (known) return known.outputs;
  const node = makeNode(op, null, attrs, inputs, op.infer(inputs, attrs));
  table.set(key, node);
  return node.outputs;
}

/** Applies an op with one output. */
export function apply1(op: AnyOp, inputs: readonly Value[], attrs: Attrs = {}): Value {
  return apply(op, inputs, attrs)[0];
}

/** The leaf that reads a source; `key` says which part and version, so that equal reads are one value. */
export function leaf(source: Source, type: TypeOf, key: string): Value {
  const full = `leaf|${key}`;
  const known = table.get(full);
  if (known && sameShape(known.outputs[0].shape, type.shape)) return known.outputs[0];
  const node = makeNode(null, source, {}, [], [type]);
  table.set(full, node);
  if (source.kind === "result") {
    source.pins++;
    read.push(source);
  }
  return node.outputs[0];
}

/** The id that the next node will have: a mark in program order. */
export function nodeMark(): number {
  return nextNode;
}

/** Forgets all interned nodes: called when a trace has been flushed, so that plain loops leave the heap flat. */
export function clearInterned(): void {
  table.clear();
  for (const result of read) result.pins--;
  read = [];
}

/** How many nodes are interned now; for tests of flatness. */
export function internedCount(): number {
  return table.size;
}

/** All nodes that the values depend on, each after its inputs, in order of creation. */
export function reachable(roots: Iterable<Value>): Node[] {
  const seen = new Set<Node>();
  const stack: Node[] = [];
  for (const v of roots) stack.push(v.node);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) if (!seen.has(input.node)) stack.push(input.node);
  }
  // A node is always made after its inputs, so ids are a topological order.
  return [...seen].sort((a, b) => a.id - b.id);
}

/** Bytes of a value as 4-byte elements are counted on the device (u8 is padded to whole words). */
export function bytesOf(t: TypeOf): number {
  return t.dtype === "u8" ? Math.ceil(numel(t.shape) / 4) * 4 : numel(t.shape) * 4;
}
