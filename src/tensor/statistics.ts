// Variance, standard deviation and norms, from a tensor's own sums. (Types alone are imported from tensor.ts, which
// calls these.)

import { UsageError } from "../core/error.ts";
import { checkNumber, shown } from "../core/options.ts";
import { normAxes } from "../core/shape.ts";
import type { Tensor } from "./tensor.ts";

type Axes = number | readonly number[] | undefined;

/** Σ(x - mean)² / (n - correction) over the axes. */
export function variance(x: Tensor, axes: Axes, keepDims: boolean, correction: number): Tensor {
  checkNumber("var", "correction", correction, { min: 0 });
  const over = normAxes(axes, x.shape.length, "var");
  const n = over.reduce((size, a) => size * x.shape[a], 1);
  const squares = x.sub(x.mean(over, true)).square().sum(over, keepDims);
  return squares.mul(1 / Math.max(0, n - correction));
}

/** √x with a gradient of 0, not of infinity, at 0: what PyTorch gives norms and deviations. */
export function root(x: Tensor): Tensor {
  const zero = x.eq(0);
  return x.add(zero).sqrt().sub(zero);
}

/** The p-norm over the axes. */
export function vectorNorm(x: Tensor, p: number, axes: Axes, keepDims: boolean): Tensor {
  if (p === 2) return root(x.square().sum(axes, keepDims));
  if (p === 1) return x.abs().sum(axes, keepDims);
  if (p === Number.POSITIVE_INFINITY) return x.abs().amax(axes, keepDims);
  throw new UsageError(`norm: p must be 1, 2 or Infinity, got ${shown(p)}`);
}
