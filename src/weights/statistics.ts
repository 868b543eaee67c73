// What the numbers of an array look like: enough to see at a glance that a file is damaged, empty, or not what it
// should be.

import { toFloat32 } from "../core/half.ts";
import type { WeightEntry } from "./types.ts";

/** Over the finite elements, in float64; null where there are none. */
export interface Statistics {
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Of the whole, not of a sample: divided by their number. */
  readonly std: number | null;
  readonly zeros: number;
  /** NaN and infinities. */
  readonly nonFinite: number;
}

/** Statistics of an array of any dtype; integers beyond 2⁵³ count as the float64 nearest to them. */
export function statistics(entry: WeightEntry): Statistics {
  const isHalf = entry.dtype === "f16" || entry.dtype === "bf16";
  const data = (isHalf ? toFloat32(entry) : entry.data) as ArrayLike<number | bigint>;
  let [n, sum, zeros] = [0, 0, 0];
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < data.length; i++) {
    const v = Number(data[i]);
    if (!Number.isFinite(v)) continue;
    n++;
    sum += v;
    if (v === 0) zeros++;
    if (v < min) min = v;
    if (v > max) max = v;
  }
  const nonFinite = data.length - n;
  if (n === 0) return { min: null, max: null, mean: null, std: null, zeros, nonFinite };
  const mean = sum / n;
  // From the mean, in a second pass: the mean of squares less the squared mean loses all digits of a large mean.
  let squares = 0;
  for (let i = 0; i < data.length; i++) {
    const v = Number(data[i]);
    if (Number.isFinite(v)) squares += (v - mean) ** 2;
  }
  return { min, max, mean, std: Math.sqrt(squares / n), zeros, nonFinite };
}
