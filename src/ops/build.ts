// Constructors of graph values, one for each op: what vjps, rewrites and tensors build with. They only look ops up
// by name, so op files can use each other's ops without importing each other.

import { broadcastShapes, numel, resolveReshape, type Shape, sameShape } from "../core/shape.ts";
import type { Attrs, Value } from "../graph/node.ts";
import { apply, apply1 } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";

/** Applies the named op with one output. */
export function call(name: string, inputs: readonly Value[], attrs: Attrs = {}): Value {
  return apply1(opNamed(name), inputs, attrs);
}

/** Applies the named op with several outputs. */
export function callMany(name: string, inputs: readonly Value[], attrs: Attrs = {}): readonly Value[] {
  return apply(opNamed(name), inputs, attrs);
}

export const add = (a: Value, b: Value): Value => call("add", [a, b]);
export const sub = (a: Value, b: Value): Value => call("sub", [a, b]);
export const mul = (a: Value, b: Value): Value => call("mul", [a, b]);
export const div = (a: Value, b: Value): Value => call("div", [a, b]);
export const neg = (a: Value): Value => call("neg", [a]);
export const addScalar = (a: Value, value: number): Value => call("addScalar", [a], { value });
export const mulScalar = (a: Value, value: number): Value => call("mulScalar", [a], { value });
export const where = (cond: Value, a: Value, b: Value): Value => call("where", [cond, a, b]);

/** A tensor filled with one value; `f32` unless said. */
export const full = (shape: Shape, value: number, dtype = "f32"): Value =>
  call("full", [], { shape, value, dtype });

export function reshape(x: Value, shape: Shape): Value {
  const to = resolveReshape(x.shape, shape);
  return sameShape(to, x.shape) ? x : call("reshape", [x], { shape: to });
}

export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : call("expand", [x], { shape });
}

export const permute = (x: Value, axes: readonly number[]): Value => call("permute", [x], { axes });

/** Elements [from, to) along an axis. */
export function slice(x: Value, axis: number, from: number, to: number): Value {
  return from === 0 && to === x.shape[axis] ? x : call("slice", [x], { axis, from, to });
}

export const concat = (parts: readonly Value[], axis: number): Value =>
  parts.length === 1 ? parts[0] : call("concat", parts, { axis });

export function sum(x: Value, axes: readonly number[], keepDims = false): Value {
  return axes.length === 0 ? x : call("sum", [x], { axes, keepDims });
}

/** Sums away what broadcasting repeated, so that the result has `shape`: the gradient of broadcasting. */
export function sumTo(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes: number[] = [];
  x.shape.forEach((d, i) => {
    if (i < lead || (shape[i - lead] === 1 && d !== 1)) axes.push(i);
  });
  // Only leading axes summed: the sum has the shape as it is, and may be computed where it is wanted.
  const leading = axes.every((a, i) => a === i) && axes.length === lead;
  return leading ? sum(x, axes) : reshape(sum(x, axes, true), shape);
}

/** The value broadcast to `shape`, which it must broadcast to. */
export function broadcastTo(x: Value, shape: Shape): Value {
  return expand(x, broadcastShapes([x.shape, shape], "broadcastTo"));
}

/** A per-channel vector [C] as [1, C, 1, …] for a tensor of the given rank. */
export function perChannel(v: Value, rank: number): Value {
  const shape = new Array<number>(rank).fill(1);
  shape[1] = numel(v.shape);
  return reshape(v, shape);
}
