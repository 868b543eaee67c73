// Tensors from data, and functions of several tensors.

import { dtypeOf, type HostArray } from "../core/dtype.ts";
import { ShapeError } from "../core/error.ts";
import { checkExtents, type Extents, listed, normAxis, numel, type Shape } from "../core/shape.ts";
import { runtime } from "../runtime/context.ts";
import { applyOp, composite, type Nested, type Operand, Tensor } from "./tensor.ts";

/**
 * A tensor of host data. The dtype follows the array: Float32Array f32, Int32Array i32, Uint32Array u32, Uint8Array u8;
 * plain numbers become f32. `shape` defaults to one dimension. The data is copied.
 */
export function tensor(data: HostArray | Uint8ClampedArray | Float64Array | Nested, shape?: Shape): Tensor {
  const { flat, natural } = toHostArray(data);
  const type = { shape: [...(shape ?? natural)], dtype: dtypeOf(flat) };
  checkExtents(type.shape, "tensor");
  if (numel(type.shape) !== flat.length) {
    throw new ShapeError(`tensor: ${flat.length} elements do not fill the shape [${type.shape.join(",")}]`);
  }
  return new Tensor(runtime().fromHost(flat, type));
}

function toHostArray(data: HostArray | Uint8ClampedArray | Float64Array | Nested): {
  flat: HostArray;
  natural: Shape;
} {
  if (typeof data === "number") return { flat: Float32Array.of(data), natural: [] };
  if (data instanceof Float64Array) return { flat: Float32Array.from(data), natural: [data.length] };
  if (data instanceof Uint8ClampedArray) return { flat: Uint8Array.from(data), natural: [data.length] };
  if (ArrayBuffer.isView(data)) {
    dtypeOf(data);
    return { flat: (data as Float32Array).slice(), natural: [(data as Float32Array).length] };
  }
  const natural: number[] = [];
  for (let level = data as Nested | undefined; Array.isArray(level); level = level[0])
    natural.push(level.length);
  const flat: number[] = [];
  const walk = (level: Nested, depth: number): void => {
    if (typeof level === "number") {
      if (depth !== natural.length) throw new ShapeError("tensor: the nested arrays are ragged");
      flat.push(level);
      return;
    }
    if (level.length !== natural[depth]) throw new ShapeError("tensor: the nested arrays are ragged");
    for (const item of level) walk(item, depth + 1);
  };
  walk(data as Nested, 0);
  return { flat: Float32Array.from(flat), natural };
}

/** A tensor filled with one value. */
export function full(shape: Shape, value: number, dtype: "f32" | "i32" | "u32" = "f32"): Tensor {
  checkExtents(shape, "full");
  return applyOp("full", [], { shape, value, dtype })[0];
}

/** A tensor of zeros (f32); its shape as one array or as arguments. */
export const zeros = (...shape: Extents): Tensor => full(listed(shape), 0);

/** A tensor of ones (f32); its shape as one array or as arguments. */
export const ones = (...shape: Extents): Tensor => full(listed(shape), 1);

/** The tensors side by side along an existing axis. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  if (tensors.length === 0) throw new ShapeError("concat: needs at least one tensor");
  return applyOp("concat", tensors, { axis: normAxis(axis, tensors[0].shape.length, "concat") })[0];
}

/** The tensors side by side along a new axis. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  return composite(() =>
    concat(
      tensors.map((t) => t.unsqueeze(axis)),
      axis,
    ),
  );
}

/** a where cond is not zero, else b. */
export function where(cond: Tensor, a: Operand, b: Operand): Tensor {
  const wrap = (v: Operand) => (typeof v === "number" ? full([], v) : v);
  return composite(() => applyOp("where", [cond, wrap(a), wrap(b)])[0]);
}

/** Runs `fn` without recording for backward (torch.no_grad). */
export function noGrad<T>(fn: () => T): T {
  return runtime().noGrad(fn);
}

/** Every tensor in a value: the value itself, or in arrays, maps and plain objects of it. */
export function* tensorsIn(value: unknown): Iterable<Tensor> {
  if (value instanceof Tensor) yield value;
  else if (Array.isArray(value)) for (const v of value) yield* tensorsIn(v);
  else if (value instanceof Map) for (const v of value.values()) yield* tensorsIn(v);
  else if (isPlain(value)) for (const v of Object.values(value)) yield* tensorsIn(v);
}

/** Whether it is an object of nothing but entries, as `{}` makes. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
