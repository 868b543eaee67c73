// Element types: what they are called, how many bytes they take, and which typed array holds them on the host.

import { UsageError } from "./error.ts";

/** Element types a tensor can have. `u8` holds pictures as uploaded; arithmetic happens in `f32`. */
export type DType = "f32" | "i32" | "u32" | "u8";

/** Host arrays with the elements of a tensor, in row-major order. */
export type HostArray = Float32Array | Int32Array | Uint32Array | Uint8Array;

export const BYTES: Readonly<Record<DType, number>> = { f32: 4, i32: 4, u32: 4, u8: 1 };

/** A new zeroed host array of `length` elements. */
export function hostArray(dtype: DType, length: number): HostArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(length);
    case "i32":
      return new Int32Array(length);
    case "u32":
      return new Uint32Array(length);
    case "u8":
      return new Uint8Array(length);
    default:
      return dtype satisfies never;
  }
}

/** A typed view of raw bytes (not copied); the byte offset must suit the dtype. */
export function viewBytes(dtype: DType, bytes: ArrayBuffer, length: number): HostArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes, 0, length);
    case "i32":
      return new Int32Array(bytes, 0, length);
    case "u32":
      return new Uint32Array(bytes, 0, length);
    case "u8":
      return new Uint8Array(bytes, 0, length);
    default:
      return dtype satisfies never;
  }
}

/** The dtype of a typed array: Float32Array → f32, Int32Array → i32, Uint32Array → u32, Uint8Array → u8. */
export function dtypeOf(data: ArrayBufferView): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint32Array) return "u32";
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return "u8";
  throw new UsageError(
    `tensor: cannot hold a ${data.constructor.name}; pass Float32Array, Int32Array, Uint32Array, Uint8Array or numbers`,
  );
}
