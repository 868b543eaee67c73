// How far the device may be from the references where several ops run as one: each op's own allowance, as the op tests
// grant it to the op alone, and what it makes of the errors of its operands.

import { UNIT } from "../core/accuracy.ts";
import { mapArray, type NDArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import type { AnyOp } from "../graph/op.ts";

/** A value in float64 and how far the device's may be from it. */
export interface Bounded {
  readonly value: NDArray;
  readonly error: NDArray;
}

/** What every reader has exactly: an input. */
export const exactly = (value: NDArray): Bounded => ({ value, error: mapArray(value, () => 0) });

/** What an elementwise op's own arithmetic may add. */
function ownError(op: AnyOp, operands: readonly NDArray[], value: NDArray, attrs: Attrs): Float64Array {
  const magnitude = (op.magnitude?.(operands, attrs) ?? [value])[0];
  const builtin = op.builtin?.(operands, [value], attrs)[0];
  return magnitude.data.map((m, i) => 4 * UNIT * Math.abs(m) + (builtin?.[i] ?? 0));
}

/** An elementwise op applied: its own error, and how far each operand's interval moves the reference. */
export function boundStep(op: AnyOp, operands: readonly Bounded[], attrs: Attrs): Bounded {
  const values = operands.map((o) => o.value);
  const [value] = op.ref(values, attrs);
  const error = ownError(op, values, value, attrs);
  operands.forEach(({ value: v, error: e }, k) => {
    if (e.data.every((d) => d === 0)) return;
    const moved = [1, -1].map((sign) => {
      const at = mapArray(v, (x, i) => x + sign * e.data[i]);
      return op.ref(values.with(k, at), attrs)[0].data;
    });
    error.forEach((_, i) => {
      const far = Math.max(...moved.map((m) => Math.abs(m[i] - value.data[i])));
      // Infinities and NaN must be equal as they are; they have no neighbourhood.
      if (Number.isFinite(far)) error[i] += far;
    });
  });
  return { value, error: { ...value, data: error } };
}
