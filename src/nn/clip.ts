// nn.utils: gradient clipping.

import { Variable } from "../autograd/variable.ts";
import { UsageError } from "../core/error.ts";
import { checkNumber, checkOptions, shown } from "../core/options.ts";
import { readState } from "../graph/leaf.ts";
import { apply1, type Value } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import { runtime } from "../runtime/context.ts";
import { Tensor } from "../tensor/tensor.ts";

const call = (name: string, inputs: readonly Value[], attrs = {}): Value =>
  apply1(opNamed(name), inputs, attrs);
const constant = (value: number) => call("full", [], { shape: [], value, dtype: "f32" });

/** Options of clipGradNorm. */
export interface ClipOptions {
  /** Which norm over all gradients together: 1, 2 (default), another number above 0, or Infinity for the largest |g|. */
  readonly normType?: number;
}

/** Leaves with a gradient. A leaf named twice counts once. */
function withGradient(parameters: unknown): Variable[] {
  const list = parameters instanceof Tensor ? [parameters] : parameters;
  if (typeof (list as Iterable<unknown> | null)?.[Symbol.iterator] !== "function")
    throw new UsageError(`clipGradNorm: takes Tensors with gradients, got ${shown(parameters)}`);
  const leaves = new Set<Variable>();
  for (const p of list as Iterable<unknown>) {
    if (!(p instanceof Tensor))
      throw new UsageError(`clipGradNorm: takes Tensors with gradients, got ${shown(p)}`);
    runtime().noteGrad(p.variable);
    if (p.variable.grad) leaves.add(p.variable);
  }
  return [...leaves];
}

/** What of one gradient goes into the norm: the sum of its powers, or the largest. */
function part(g: Value, p: number): Value {
  const all = { axes: g.shape.map((_, i) => i), keepDims: false };
  if (p === 2) return call("sum", [call("square", [g])], all);
  const size = call("abs", [g]);
  if (p === Number.POSITIVE_INFINITY) return call("amax", [size], all);
  return call("sum", [p === 1 ? size : call("powScalar", [size], { exponent: p })], all);
}

function norm(gradients: readonly Value[], p: number): Value {
  const parts = gradients.map((g) => part(g, p));
  if (parts.length === 0) return constant(0);
  const join = p === Number.POSITIVE_INFINITY ? "maximum" : "add";
  const total = parts.reduce((a, b) => call(join, [a, b]));
  if (p === 1 || p === Number.POSITIVE_INFINITY) return total;
  return p === 2 ? call("sqrt", [total]) : call("powScalar", [total], { exponent: 1 / p });
}

/**
 * Scales all gradients by min(1, maxNorm / (‖g‖ + 1e-6)), ‖g‖ the norm over all of them together
 * (torch.nn.utils.clip_grad_norm_). Takes a Tensor or several; those without a gradient are left out. Returns the norm
 * before clipping, a tensor []. With an infinite maxNorm it only measures.
 * Throws a UsageError for a maxNorm that is not above 0.
 */
export function clipGradNorm(
  parameters: Tensor | Iterable<Tensor>,
  maxNorm: number,
  options: ClipOptions = {},
): Tensor {
  checkOptions("clipGradNorm", options, ["normType"]);
  const { normType = 2 } = options;
  for (const [name, v] of Object.entries({ maxNorm, normType }))
    if (v !== Number.POSITIVE_INFINITY) checkNumber("clipGradNorm", name, v, { min: 0, above: true });
  const rt = runtime();
  const leaves = withGradient(parameters);
  const size = norm(
    leaves.map((leaf) => (leaf.grad as Variable).value),
    normType,
  );
  const inverse = call("reciprocal", [call("addScalar", [size], { value: 1e-6 })]);
  const ratio = call("mulScalar", [inverse], { value: maxNorm });
  const factor = call("reshape", [call("minimum", [ratio, constant(1)])], { shape: [1] });
  for (const leaf of leaves) scale(leaf, factor);
  return new Tensor(rt.adopt(new Variable(size, { value: size })));
}

/** Multiplies a leaf's gradient: in place where it has memory of its own, else by a new value in its stead. */
function scale(leaf: Variable, factor: Value): void {
  const rt = runtime();
  const { grad, gradSlice } = leaf;
  if (grad?.state && gradSlice) {
    rt.assign(gradSlice, call("scaleInPlace", [readState(gradSlice), factor]));
    return;
  }
  if (!grad) return;
  grad.become(call("mul", [grad.value, factor]));
  rt.adopt(grad);
}
