// Gradients of leaves: where backward adds them, and what dropping one leaves to its holder.

import { gradientsOf } from "../autograd/backward.ts";
import { Variable } from "../autograd/variable.ts";
import { ThawError } from "../core/error.ts";
import { numel, show } from "../core/shape.ts";
import { readState } from "../graph/leaf.ts";
import { apply1, type Value } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import type { Runtime } from "./runtime.ts";

/** Drops a leaf's gradient; a user's tensor of it keeps its present value. */
export function zeroGrad(rt: Runtime, leaf: Variable): void {
  rt.noteGrad(leaf, true);
  const grad = leaf.grad;
  leaf.grad = null;
  if (grad) grad.keeper = null;
  if (grad?.state && grad.handle?.deref() !== undefined) {
    const value = grad.value;
    grad.state = null;
    grad.become(value);
    rt.adopt(grad);
  }
}

/** Σ root·seed differentiated with respect to every leaf that wants it, added to their gradients. */
export function backward(rt: Runtime, root: Variable, seed: Variable | null, retain: boolean): void {
  if (!root.requiresGrad)
    throw new ThawError(`backward: ${show(root)} does not depend on anything that requires a gradient`);
  if (!seed && numel(root.shape) !== 1)
    throw new ThawError(`backward: ${show(root)} is not a single value; pass its gradient to backward()`);
  const one = seed?.value ?? apply1(opNamed("full"), [], { shape: root.shape, value: 1, dtype: "f32" });
  for (const [leaf, g] of gradientsOf(root, one, retain)) accumulate(rt, leaf, g);
}

function accumulate(rt: Runtime, leaf: Variable, g: Value): void {
  rt.noteGrad(leaf);
  if (!leaf.state) {
    const value = leaf.grad ? apply1(opNamed("add"), [leaf.grad.value, g]) : g;
    if (leaf.grad) leaf.grad.keeper = null;
    leaf.grad = rt.adopt(new Variable(leaf, { value }));
    leaf.grad.keeper = leaf;
    return;
  }
  leaf.gradSlice ??= rt.newState(`${leaf.state.storage.label}.grad`, leaf);
  const value = leaf.grad ? apply1(opNamed("accumulate"), [readState(leaf.gradSlice), g]) : g;
  rt.assign(leaf.gradSlice, value);
  leaf.grad ??= new Variable(leaf, { state: leaf.gradSlice });
}
