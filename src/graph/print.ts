// Graphs as text, one node a line: %id = op(inputs) {attrs} : types.

import { show } from "../core/shape.ts";
import type { Node, Value } from "./node.ts";
import { reachable } from "./node.ts";

function name(v: Value): string {
  return v.node.outputs.length > 1 ? `%${v.node.id}.${v.index}` : `%${v.node.id}`;
}

function sourceName(node: Node): string {
  const s = node.source;
  if (!s) return "";
  switch (s.kind) {
    case "state":
      return `state ${s.slice.storage.label}+${s.slice.offset} v${s.version}`;
    case "result":
      return "input";
    case "scalars":
      return `scalars ${s.label}`;
    default:
      return s satisfies never;
  }
}

export function printNode(node: Node): string {
  const types = node.outputs.map(show).join(", ");
  if (!node.op) return `%${node.id} = ${sourceName(node)} : ${types}`;
  const attrs = Object.keys(node.attrs).length > 0 ? ` ${JSON.stringify(node.attrs)}` : "";
  return `%${node.id} = ${node.op.name}(${node.inputs.map(name).join(", ")})${attrs} : ${types}`;
}

/** The whole graph that the roots depend on. */
export function printGraph(roots: readonly Value[]): string {
  const lines = reachable(roots).map(printNode);
  return [...lines, `return ${roots.map(name).join(", ")}`].join("\n");
}
