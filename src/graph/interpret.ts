// The oracle: evaluates graphs with the float64 references of the ops, one node after another. Slow and right.

import { ShapeError } from "../core/error.ts";
import { sameShape, show } from "../core/shape.ts";
import type { NDArray } from "./array.ts";
import type { Source } from "./leaf.ts";
import type { Node, Value } from "./node.ts";
import { reachable } from "./node.ts";

/** Values of already evaluated nodes, per node its outputs. */
export type Evaluated = Map<Node, readonly NDArray[]>;

/** Evaluates one node from evaluated inputs and checks the reference's shape against `infer`. */
export function evaluateNode(node: Node, inputs: readonly NDArray[]): readonly NDArray[] {
  const op = node.op;
  if (!op) throw new Error("evaluateNode: leaves have no reference");
  const out = op.ref(inputs, node.attrs);
  out.forEach((a, i) => {
    if (!sameShape(a.shape, node.outputs[i].shape)) {
      throw new ShapeError(`${op.name}: ref gives ${show(a)} where infer says ${show(node.outputs[i])}`);
    }
  });
  return out;
}

/** Evaluates everything the roots need; `read` supplies the leaves. */
export function interpret(
  roots: readonly Value[],
  read: (source: Source) => NDArray,
  known: Evaluated = new Map(),
): NDArray[] {
  for (const node of reachable(roots)) {
    if (known.has(node)) continue;
    if (node.source) known.set(node, [read(node.source)]);
    else
      known.set(
        node,
        evaluateNode(
          node,
          node.inputs.map((v) => valueIn(known, v)),
        ),
      );
  }
  return roots.map((v) => valueIn(known, v));
}

export function valueIn(known: Evaluated, v: Value): NDArray {
  const outputs = known.get(v.node);
  if (!outputs) throw new Error(`interpret: value ${v.id} of ${v.node.op?.name ?? "leaf"} is not evaluated`);
  return outputs[v.index];
}
