// Rewrite "foldBatchNorm": a normalize by frozen statistics right after a convolution with frozen weights becomes part
// of that convolution: w' = w·s, b' = b·s + t, with the ReLU in its store. The folded weights hang on frozen state only,
// so they are computed once (see hoist.ts) and again when that state moves.

import type { Node, Value } from "../../graph/node.ts";
import { add, call, callMany, mul, reshape } from "../../ops/build.ts";
import { frozenNodes } from "../hoist.ts";
import { rebuild, usesOf, type WorkGraph } from "../work_graph.ts";

export function foldBatchNorm(g: WorkGraph): WorkGraph {
  const uses = usesOf(g);
  const frozen = frozenNodes(g);
  const isFrozen = (v: Value) => frozen.has(v.node);
  const folds = (norm: Node): boolean => {
    if (norm.op?.name !== "normalize" || !norm.inputs.slice(1).every(isFrozen)) return false;
    const [y] = norm.inputs;
    const conv = y.node;
    const alone = (uses.consumers.get(y) ?? []).length === 1 && !uses.held.has(y);
    return (
      conv.op?.name === "conv2d" &&
      !conv.attrs.relu &&
      alone &&
      !frozen.has(conv) &&
      conv.inputs.slice(1).every(isFrozen)
    );
  };
  const pairs = new Map(g.nodes.filter(folds).map((n) => [n, n.inputs[0].node]));
  if (pairs.size === 0) return g;
  return rebuild(g, (norm, inputs) => {
    const conv = pairs.get(norm);
    if (!conv) return null;
    // The convolution may itself have been rebuilt: its present inputs are those of the value that norm reads now.
    return [folded(inputs[0].node, norm, inputs)];
  });
}

function folded(conv: Node, norm: Node, inputs: readonly Value[]): Value {
  const [, mean, variance, weight, bias] = inputs;
  const [scale, shift] = callMany("normalizeAffine", [mean, variance, weight, bias], { eps: norm.attrs.eps });
  const [x, w, ...rest] = conv.inputs;
  const own = conv.attrs.bias ? rest[0] : null;
  const others = conv.attrs.bias ? rest.slice(1) : rest;
  const w2 = mul(w, reshape(scale, [w.shape[0], 1, 1, 1]));
  const b2 = own ? add(mul(own, scale), shift) : shift;
  return call("conv2d", [x, w2, b2, ...others], {
    ...conv.attrs,
    bias: true,
    relu: norm.attrs.relu === true,
  });
}
