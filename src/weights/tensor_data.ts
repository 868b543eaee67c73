// From a tensor's window on a storage to a row-major typed array: a view of the file's bytes where the tensor lies
// there contiguously, else a copy. All ranges are checked against the real bytes before anything is allocated.

import type { Source } from "./source.ts";
import { countOf, viewAs, type WeightDType, type WeightEntry } from "./types.ts";
import type { TensorRef } from "./values.ts";

/** A copy with the bytes of each element of `size` bytes reversed. */
export function swapBytes(source: Source, bytes: Uint8Array, size: number): Uint8Array {
  source.spend(bytes.length, "big-endian data");
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i += size) {
    for (let k = 0; k < size; k++) out[i + k] = bytes[i + size - 1 - k];
  }
  return out;
}

/** The same bytes at an address that suits every element type: themselves, or a copy. */
export function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
}

/** The entry of a tensor called `name`; throws DataError where it reaches outside its storage. */
export function materialise(source: Source, ref: TensorRef, name: string): WeightEntry {
  const { shape, strides, offset, storage } = ref;
  const dtype = ref.type.dtype as WeightDType;
  const size = ref.type.bytes;
  const count = countOf(shape);
  if (count === null) throw source.error(`tensor "${name}" has an impossible shape [${shape}]`);
  if (count === 0) return { shape, dtype, data: viewAs(dtype, new Uint8Array(0), 0, 0) };
  const end = shape.reduce((sum, extent, i) => sum + (extent - 1) * strides[i], offset) + 1;
  const held = Math.floor((storage.count * storage.type.bytes) / size);
  if (!(end <= held)) {
    throw source.error(
      `tensor "${name}" ${dtype}[${shape}] (strides [${strides}], offset ${offset}) reaches element ${end - 1} of a storage of ${held}`,
    );
  }
  const bytes = aligned(storage.load());
  if (isRowMajor(shape, strides)) {
    return { shape, dtype, data: viewAs(dtype, bytes, offset * size, count) };
  }
  source.spend(count * size, `tensor "${name}" ${dtype}[${shape}]`);
  const out = new Uint8Array(count * size);
  gather(bytes, out, ref);
  return { shape, dtype, data: viewAs(dtype, out, 0, count) };
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false;
    step *= shape[i];
  }
  return true;
}

/** Copies a strided window row by row. Elements move as unsigned words, so that no NaN changes its bits. */
function gather(bytes: Uint8Array, out: Uint8Array, ref: TensorRef): void {
  const { shape, strides } = ref;
  const size = ref.type.bytes;
  const width = size === 1 ? 1 : size === 2 ? 2 : 4;
  const words = size / width;
  const from = wordsOf(bytes, width);
  const to = wordsOf(out, width);
  const inner = shape.length - 1;
  const index = new Array<number>(shape.length).fill(0);
  let at = ref.offset;
  for (let target = 0; target < to.length; ) {
    for (let i = 0, p = at * words; i < shape[inner]; i++, p += strides[inner] * words) {
      for (let k = 0; k < words; k++) to[target++] = from[p + k];
    }
    for (let axis = inner - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

function wordsOf(bytes: Uint8Array, width: 1 | 2 | 4): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset, length } = bytes;
  if (width === 1) return bytes;
  if (width === 2) return new Uint16Array(buffer, byteOffset, Math.floor(length / 2));
  return new Uint32Array(buffer, byteOffset, Math.floor(length / 4));
}
