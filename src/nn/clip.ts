// nn.utils: gradient clipping.

import { Variable } from "../autograd/variable.ts";
import { UsageError } from "../core/error.ts";
import { readState } from "../graph/leaf.ts";
import { apply1, type Value } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import { runtime } from "../runtime/context.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";

const call = (name: string, inputs: readonly Value[], attrs = {}): Value =>
  apply1(opNamed(name), inputs, attrs);

/**
 * Scales all gradients by min(1, maxNorm / (‖g‖ + 1e-6)), ‖g‖ the 2-norm over all of them together
 * (torch.nn.utils.clip_grad_norm_). Returns the norm before clipping, a tensor [].
 */
export function clipGradNorm(parameters: Iterable<Parameter>, maxNorm: number): Tensor {
  if (!(maxNorm > 0)) throw new UsageError(`clipGradNorm: maxNorm must be above 0, got ${maxNorm}`);
  const rt = runtime();
  const slices = [...parameters].flatMap((p) => {
    rt.noteGrad(p.variable);
    return p.variable.grad && p.variable.gradSlice ? [p.variable.gradSlice] : [];
  });
  const squares = slices.map((s) => {
    const g = readState(s);
    return call("sum", [call("square", [g])], { axes: s.shape.map((_, i) => i), keepDims: false });
  });
  const total =
    squares.length > 0
      ? squares.reduce((a, b) => call("add", [a, b]))
      : call("full", [], { shape: [], value: 0, dtype: "f32" });
  const norm = call("sqrt", [total]);
  const ratio = call("mulScalar", [call("reciprocal", [call("addScalar", [norm], { value: 1e-6 })])], {
    value: maxNorm,
  });
  const one = call("full", [], { shape: [], value: 1, dtype: "f32" });
  const factor = call("reshape", [call("minimum", [ratio, one])], { shape: [1] });
  for (const s of slices) rt.assign(s, call("scaleInPlace", [readState(s), factor]));
  return new Tensor(rt.adopt(new Variable(norm, { value: norm })));
}
