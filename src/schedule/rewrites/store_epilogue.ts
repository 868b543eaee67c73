// Rewrite "storeEpilogue": the addition of a tensor of the same shape (a residual) and the activations that alone read a
// convolution's output are done by the convolution before it stores. Its sums are neither written nor read again, and
// the bits stay: the same operations in the same order. In training this is so where backward asks for the last of them
// only (ReLU keeps its output).

import { sameShape } from "../../core/shape.ts";
import type { Node, Value } from "../../graph/node.ts";
import { call } from "../../ops/build.ts";
import { type Store, storeAlso } from "../../ops/conv_store.ts";
import { frozenNodes } from "../hoist.ts";
import { mayWait, rebuild, soleReader, type Uses, usesOf, type WorkGraph } from "../work_graph.ts";

/** A convolution and what follows it. */
interface Epilogue {
  readonly nodes: readonly Node[];
  readonly store: Store;
  /** The tensor that is added. */
  readonly residual: Value | null;
}

const isPointwiseOrGrouped = ({ inputs: [, w], attrs }: Node) =>
  attrs.groups !== 1 || (w.shape[2] === 1 && w.shape[3] === 1);

/** The epilogue with the op that alone reads its last value, or null. */
function longer(e: Epilogue, uses: Uses): Epilogue | null {
  const [y] = e.nodes[e.nodes.length - 1].outputs;
  const reader = soleReader(y, uses);
  const store = reader && storeAlso(e.store, reader.node.op?.name ?? "", isPointwiseOrGrouped(e.nodes[0]));
  if (!reader || !store) return null;
  const nodes = [...e.nodes, reader.node];
  if (reader.node.op?.name !== "add") return { ...e, nodes, store };
  const residual = reader.node.inputs[1 - reader.input];
  return sameShape(residual.shape, y.shape) ? { nodes, store, residual } : null;
}

/** By the last node of each. Of two convolutions that are added the later one adds: the other's output is there by then. */
function findEpilogues(g: WorkGraph): Map<Node, Epilogue> {
  const uses = usesOf(g);
  const frozen = frozenNodes(g);
  const taken = new Set<Node>();
  const found = new Map<Node, Epilogue>();
  for (const conv of g.nodes.toReversed()) {
    if (conv.op?.name !== "conv2d" || frozen.has(conv)) continue;
    let e: Epilogue = { nodes: [conv], store: [], residual: null };
    for (;;) {
      const next = longer(e, uses);
      const end = next?.nodes[next.nodes.length - 1] as Node;
      if (!next || taken.has(end) || !next.nodes.every((n) => mayWait(g, n, end))) break;
      e = next;
    }
    for (const n of e.nodes) taken.add(n);
    if (e.nodes.length > 1) found.set(e.nodes[e.nodes.length - 1], e);
  }
  return found;
}

export function storeEpilogue(g: WorkGraph): WorkGraph {
  const found = findEpilogues(g);
  if (found.size === 0) return g;
  return rebuild(g, (node, _inputs, now) => {
    const e = found.get(node);
    if (!e) return null;
    const [conv] = e.nodes;
    const inputs = [...conv.inputs, ...(e.residual ? [e.residual] : [])];
    return [call("conv2d", inputs.map(now), { ...conv.attrs, store: e.store })];
  });
}
