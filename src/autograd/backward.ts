// Reverse-mode differentiation: walks the applications behind a variable from last to first and asks each op's vjp for
// more graph. Knows no op by name. Only inputs that want a gradient are asked for, so a frozen prefix builds nothing
// and the walk stops at the lowest trainable leaf.

import { ThawError } from "../core/error.ts";
import { sameShape, show } from "../core/shape.ts";
import { staleState } from "../graph/leaf.ts";
import { apply1, type Node, reachable, type Value } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import { at } from "../graph/site.ts";
import type { Creator, Variable } from "./variable.ts";

/** Every application that the root depends on through tracked variables, last first. */
function applications(root: Variable): Creator[] {
  const seen = new Set<Creator>();
  const stack: Variable[] = [root];
  while (stack.length > 0) {
    const v = stack.pop() as Variable;
    if (!v.requiresGrad) continue;
    if (v.released)
      throw new ThawError(
        "backward: this graph was already walked; call backward({ retainGraph: true }) the first time to walk it twice",
      );
    if (!v.creator || seen.has(v.creator)) continue;
    seen.add(v.creator);
    stack.push(...v.creator.inputs);
  }
  return [...seen].sort((a, b) => b.sequence - a.sequence);
}

/** Lets the applications go: their variables are no longer held for backward. */
function release(walked: readonly Creator[]): void {
  for (const v of walked.flatMap((c) => c.outputs)) {
    v.creator = null;
    v.released = v.requiresGrad;
  }
}

function accumulate(into: Map<Variable, Value>, v: Variable, g: Value): void {
  const known = into.get(v);
  into.set(v, known ? apply1(opNamed("add"), [known, g]) : g);
}

/** What stands for inputs that have been changed since they were used, with what to say of them. */
type Stale = Map<Node, string>;

/** The inputs as they were when they were used, as far as they can still be had. */
function inputsThen(c: Creator, stale: Stale): Value[] {
  return c.inputs.map((v, i) => {
    const then = c.read[i];
    if (!then || !v.changedSince(then)) return v.value;
    const value = staleState(then);
    stale.set(
      value.node,
      `backward: ${then.slice.storage.label} ${show(v)} was changed after ${c.op.name} used it; call backward() before the step`,
    );
    return value;
  });
}

/** Gradients computed from changed state would be of another function: PyTorch refuses them too. */
function checkUnchanged(gradients: Iterable<Value>, stale: Stale): void {
  if (stale.size === 0) return;
  for (const node of reachable(gradients)) {
    const why = stale.get(node);
    if (why) throw new ThawError(why);
  }
}

function walk(c: Creator, grads: Map<Variable, Value>, stale: Stale): void {
  const gy = c.outputs.map((v) => grads.get(v) ?? null);
  for (const v of c.outputs) grads.delete(v);
  if (gy.every((g) => g === null)) return;
  const vjp = c.op.vjp;
  if (!vjp) return;
  const gradients = vjp.call(c.op, {
    inputs: inputsThen(c, stale),
    outputs: c.outputs.map((v) => v.value),
    attrs: c.attrs,
    gy,
    needs: c.inputs.map((v) => v.requiresGrad),
  });
  c.inputs.forEach((v, i) => {
    const g = gradients[i];
    if (!g || !v.requiresGrad) return;
    if (!sameShape(g.shape, v.shape))
      throw new Error(`${c.op.name}: the gradient of input ${i} is ${show(g)} for ${show(v)}`);
    accumulate(grads, v, g);
  });
}

/**
 * Gradients of Σ root·seed with respect to every leaf that wants one, in the order in which they became complete.
 * Unless `retain`, the graph behind the root is let go.
 */
export function gradientsOf(root: Variable, seed: Value, retain: boolean): [Variable, Value][] {
  const walked = applications(root);
  const grads = new Map<Variable, Value>([[root, seed]]);
  const stale: Stale = new Map();
  for (const c of walked) at({ layer: c.site.layer, phase: "backward" }, () => walk(c, grads, stale));
  checkUnchanged(grads.values(), stale);
  if (!retain) release(walked);
  return [...grads].filter(([v]) => v.requiresGrad);
}
