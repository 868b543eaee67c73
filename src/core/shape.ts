// Shapes: sizes, strides, broadcasting and how they are written in messages. Pure arithmetic on arrays of numbers.

import type { DType } from "./dtype.ts";
import { ShapeError } from "./error.ts";
import { shown } from "./options.ts";

export type Shape = readonly number[];

/** Extents or axes as a method takes them: one by one, or as one array. */
export type Extents = readonly number[] | readonly [readonly number[]];

export function listed(extents: Extents): readonly number[] {
  return Array.isArray(extents[0]) ? extents[0] : (extents as readonly number[]);
}

/** A shape with its element type: what `infer` computes for every op. */
export interface TypeOf {
  readonly shape: Shape;
  readonly dtype: DType;
}

export function numel(shape: Shape): number {
  let n = 1;
  for (const d of shape) n *= d;
  return n;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let s = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = s;
    s *= shape[i];
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** `f32[8,64,56,56]`: how a tensor is named in messages and plans. */
export function show(t: TypeOf): string {
  return `${t.dtype}[${t.shape.join(",")}]`;
}

/** Checks that every extent is a whole number of at least zero. */
export function checkExtents(shape: Shape, what: string): void {
  for (const d of shape) {
    if (!Number.isInteger(d) || d < 0) {
      throw new ShapeError(`${what}: extents must be whole numbers of at least 0, got [${shape.join(", ")}]`);
    }
  }
}

/** The axis as 0…rank-1; negative axes count from the end. */
export function normAxis(axis: number, rank: number, what: string): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || a < 0 || a >= rank) {
    throw new ShapeError(`${what}: axis ${axis} is out of range for ${rank} dimensions`);
  }
  return a;
}

/** Sorted, distinct, non-negative axes; `undefined` means all of them. */
export function normAxes(axes: number | readonly number[] | undefined, rank: number, what: string): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === "number" ? [axes] : axes).map((a) => normAxis(a, rank, what));
  if (new Set(list).size !== list.length)
    throw new ShapeError(`${what}: an axis is named twice in [${axes}]`);
  return list.sort((a, b) => a - b);
}

/** NumPy's broadcasting of several shapes; throws naming `what` and all shapes when they do not fit. */
export function broadcastShapes(shapes: readonly Shape[], what: string): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const j = rank - shape.length + i;
      if (out[j] === 1) out[j] = shape[i];
      else if (shape[i] !== 1 && shape[i] !== out[j]) {
        const all = shapes.map((s) => `[${s.join(",")}]`).join(" and ");
        throw new ShapeError(
          `${what}: shapes ${all} do not broadcast (extent ${out[j]} against ${shape[i]})`,
        );
      }
    }
  }
  return out;
}

/** Strides that read `shape` as if it had the (broadcast) shape `to`; repeated axes have stride 0. */
export function broadcastStrides(shape: Shape, to: Shape): number[] {
  const own = stridesOf(shape);
  const lead = to.length - shape.length;
  return to.map((_, i) => (i < lead || shape[i - lead] === 1 ? 0 : own[i - lead]));
}

/** Resolves one `-1` in a reshape target and checks the element count. */
export function resolveReshape(from: Shape, to: Shape): number[] {
  const holes = to.filter((d) => d === -1).length;
  const known = to.reduce((n, d) => (d === -1 ? n : n * d), 1);
  const total = numel(from);
  const fits = holes === 0 ? known === total : holes === 1 && known > 0 && total % known === 0;
  if (!fits) {
    throw new ShapeError(
      `reshape: cannot give ${total} elements of [${from.join(",")}] the shape [${to.join(",")}]`,
    );
  }
  return to.map((d) => (d === -1 ? total / known : d));
}

/** The four extents of an NCHW (or OIHW) tensor; `what` is named when the rank is another. */
export function dims4(t: TypeOf, what: string): [number, number, number, number] {
  if (t.shape.length !== 4) {
    throw new ShapeError(`${what}: expected 4 dimensions (N, C, H, W), got ${show(t)}`);
  }
  return t.shape as unknown as [number, number, number, number];
}

/** The two extents of a matrix. */
export function dims2(t: TypeOf, what: string): [number, number] {
  if (t.shape.length !== 2) throw new ShapeError(`${what}: expected 2 dimensions, got ${show(t)}`);
  return t.shape as unknown as [number, number];
}

/** One number for both axes, or a pair (height, width). */
export type Pair = number | readonly [number, number];

/** Both numbers of a Pair; throws naming `what` for anything else, or for one below `min`. */
export function pair(v: Pair, what: string, min: number): [number, number] {
  const p: readonly unknown[] = Array.isArray(v) ? v : [v, v];
  if (p.length === 2 && p.every((d) => Number.isInteger(d) && (d as number) >= min))
    return [p[0] as number, p[1] as number];
  throw new ShapeError(`${what} must be whole and at least ${min}, one number or two, got ${shown(v)}`);
}
