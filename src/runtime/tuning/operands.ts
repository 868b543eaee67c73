// Operands to try kernels on: numbers of the range that the op's own samples draw from, of the call's shapes.

import { type HostArray, hostArray } from "../../core/dtype.ts";
import { Generator } from "../../core/random.ts";
import { numel } from "../../core/shape.ts";
import type { AnyOp, BareCall, InputSpec } from "../../graph/op.ts";

const dtypeOf = (s: InputSpec) => s.dtype ?? "f32";

/**
 * How each operand is drawn: as in the first sample of the same operands that is not made of chosen values. Null where
 * there is none such (an index that must lie in its window): then nothing can be tried.
 */
export function operandSpecs(op: AnyOp, call: BareCall): readonly InputSpec[] | null {
  if (call.outputs.some((o) => o.dtype === "u8")) return null;
  const alike = op.samples.find(
    ({ inputs }) =>
      inputs.length === call.inputs.length &&
      inputs.every((s, i) => dtypeOf(s) === call.inputs[i].dtype && s.values === undefined),
  );
  if (alike) return alike.inputs;
  const anyReal = (s: InputSpec) => dtypeOf(s) === "f32" && s.low === undefined && s.high === undefined;
  const free =
    call.inputs.every((o) => o.dtype === "f32") && op.samples.every((s) => s.inputs.every(anyReal));
  return free ? call.inputs.map(({ shape }) => ({ shape })) : null;
}

const POOL = 2 ** 20;
let pool: Float64Array | null = null;

/** `n` uniform numbers in [0, 1), drawn once and read from another place for every operand. */
function uniform(n: number, operand: number, f: (v: number) => number, into: HostArray): HostArray {
  if (!pool) {
    const random = new Generator(20261125);
    pool = Float64Array.from({ length: POOL }, () => random.uniform());
  }
  for (let i = 0, at = (operand * 333_667) % POOL; i < n; i++, at = (at + 1) % POOL) into[i] = f(pool[at]);
  return into;
}

/**
 * Real numbers, whole ones where the dtype is whole. They are multiples of 2⁻¹¹ and by default below 1, so that a
 * product of two and a sum with a third are exact: no ReLU hangs on rounding, and only long sums round.
 */
export function realOperands(call: BareCall, specs: readonly InputSpec[]): HostArray[] {
  return call.inputs.map(({ shape, dtype }, i) => {
    const { low, high } = specs[i];
    const n = numel(shape);
    const [from, to] = dtype === "f32" ? [low ?? -1, high ?? 1] : [low ?? 0, high ?? 8];
    const f =
      dtype === "f32"
        ? (v: number) => Math.round((from + (to - from) * v) * 2048) / 2048
        : (v: number) => Math.floor(from + (to - from) * v);
    return uniform(n, i, f, hostArray(dtype, n));
  });
}

/** Small whole numbers, of which sums and products are exact. */
export function wholeOperands(op: AnyOp, call: BareCall, specs: readonly InputSpec[]): HostArray[] {
  const [low, high] = op.exactRange ?? [-4, 4];
  const real = realOperands(call, specs);
  return call.inputs.map(({ shape, dtype }, i) => {
    const n = numel(shape);
    if (dtype !== "f32") return real[i];
    return uniform(n, i, (v) => low + Math.floor(v * (high - low + 1)), hostArray(dtype, n));
  });
}
