// Float64 arrays with a shape: what the references in src/ops compute with. Integers and u32 words up to 2⁵³ are
// exact in them, so one kind of array serves every dtype.

import type { DType, HostArray } from "../core/dtype.ts";
import { hostArray } from "../core/dtype.ts";
import type { Shape, TypeOf } from "../core/shape.ts";
import { numel } from "../core/shape.ts";

export interface NDArray extends TypeOf {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: Float64Array;
}

export function ndarray(shape: Shape, data?: ArrayLike<number>, dtype: DType = "f32"): NDArray {
  const array = data ? Float64Array.from(data) : new Float64Array(numel(shape));
  if (array.length !== numel(shape)) {
    throw new RangeError(`ndarray: ${array.length} elements for shape [${shape.join(",")}]`);
  }
  return { shape, dtype, data: array };
}

/** The same data under another shape (shared, not copied). */
export function withShape(a: NDArray, shape: Shape): NDArray {
  return { shape, dtype: a.dtype, data: a.data };
}

export function mapArray(a: NDArray, f: (x: number, i: number) => number, dtype: DType = a.dtype): NDArray {
  const out = new Float64Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = f(a.data[i], i);
  return { shape: a.shape, dtype, data: out };
}

/** Rounds to the array's dtype as the device would hold it. */
export function toHost(a: NDArray): HostArray {
  const out = hostArray(a.dtype, a.data.length);
  out.set(a.data as unknown as ArrayLike<number>);
  return out;
}

/** Calls `f` for every index of `shape` in row-major order with the running flat index. */
export function forEachIndex(shape: Shape, f: (index: readonly number[], flat: number) => void): void {
  const total = numel(shape);
  const index = new Array<number>(shape.length).fill(0);
  for (let flat = 0; flat < total; flat++) {
    f(index, flat);
    for (let d = shape.length - 1; d >= 0; d--) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

/** Σ index·strides. */
export function offsetOf(index: readonly number[], strides: readonly number[]): number {
  let o = 0;
  for (let d = 0; d < strides.length; d++) o += index[d] * strides[d];
  return o;
}
