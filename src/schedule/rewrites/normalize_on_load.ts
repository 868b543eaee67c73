// Rewrite "normalizeOnLoad". Built: relu(normalize(x)) becomes one normalize with its ReLU inside, so that its gradient
// recomputes the mask instead of storing it. Scheduled: a convolution (forward or weight gradient) or an average pool
// that reads a normalize applies it while loading x; the normalised tensor is never stored.

import type { Node, Value } from "../../graph/node.ts";
import type { BuildRule } from "../../graph/rule.ts";
import { type AvgAttrs, tileOf } from "../../ops/avg_pool2d.ts";
import { call, callMany } from "../../ops/build.ts";
import { rebuild, type Uses, usesOf, type WorkGraph } from "../work_graph.ts";

/** relu(normalize(x, …)) → normalize(x, …, relu). */
export const reluIntoNormalize: BuildRule = {
  name: "normalizeOnLoad",
  op: "relu",
  replace: ([x], _attrs, { originOf, build }) => {
    const origin = originOf(x);
    if (origin?.op.name !== "normalize" || origin.attrs.relu) return null;
    return build("normalize", origin.inputs, { ...origin.attrs, relu: true }, origin.site);
  },
};

/** A convolution, or a pool that reads each element once. */
const isReader = (node: Node, input: number) =>
  input === 0 &&
  node.attrs.prologue === "none" &&
  (node.op?.name === "conv2d" || node.op?.name === "conv2dWeight" || readsOnce(node));

function readsOnce(node: Node): boolean {
  if (node.op?.name !== "avgPool2d") return false;
  const attrs = node.attrs as AvgAttrs;
  return tileOf(attrs, node.inputs[0].shape.slice(2)) !== null;
}

/** A normalize that only such ops read, and nobody keeps. */
function loadsOnly(node: Node, uses: Uses): boolean {
  const [y] = node.outputs;
  const readers = uses.consumers.get(y) ?? [];
  return (
    node.op?.name === "normalize" &&
    y.shape.length === 4 &&
    !uses.held.has(y) &&
    readers.length > 0 &&
    readers.every((r) => isReader(r.node, r.input))
  );
}

export function normalizeOnLoad(g: WorkGraph): WorkGraph {
  const uses = usesOf(g);
  const fused = new Set(g.nodes.filter((n) => loadsOnly(n, uses)));
  if (fused.size === 0) return g;
  // What a fused normalize's output stands for: its raw input and the vectors applied to it.
  const standsFor = new Map<Value, { x: Value; scale: Value; shift: Value; relu: boolean }>();
  return rebuild(g, (node, inputs) => {
    if (fused.has(node)) {
      const [x, mean, variance, w, b] = inputs;
      const [scale, shift] = callMany("normalizeAffine", [mean, variance, w, b], { eps: node.attrs.eps });
      standsFor.set(node.outputs[0], { x, scale, shift, relu: node.attrs.relu === true });
      // Nothing reads it any more; its place is held by the vectors.
      return [scale];
    }
    const source = node.inputs.length > 0 ? standsFor.get(node.inputs[0]) : undefined;
    if (!source || !isReader(node, 0)) return null;
    const attrs = { ...node.attrs, prologue: source.relu ? "affineRelu" : "affine" };
    return [call(node.op?.name as string, [source.x, ...inputs.slice(1), source.scale, source.shift], attrs)];
  });
}
