// From a tensor's window on a storage to a row-major typed array: a view of the file's bytes where the tensor lies
// there contiguously, else a copy. All ranges are checked against the real bytes before anything is allocated.

import type { Source } from "./source.ts";
import { bytesOf, countOf, emptyOf, viewAs, type WeightDType, type WeightEntry } from "./types.ts";
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

/** The same bytes at an address that suits elements of `size` bytes (by default all): themselves, or a copy. */
export function aligned(source: Source, bytes: Uint8Array, size = 8): Uint8Array {
  if (bytes.byteOffset % size === 0) return bytes;
  // Paid for, because a file may show one range of its bytes as any number of storages.
  source.spend(bytes.length, "data at an odd address");
  return bytes.slice();
}

/** The entry of a tensor called `name`; throws DataError where it reaches outside its storage. */
export function materialise(source: Source, ref: TensorRef, name: string): WeightEntry {
  const { shape, strides, offset, storage } = ref;
  const dtype = ref.type.dtype as WeightDType;
  const size = ref.type.bytes;
  const count = countOf(shape);
  if (count === null) throw source.error(`tensor "${name}" has an impossible shape [${shape}]`);
  if (count === 0) return { shape, dtype, data: emptyOf(dtype) };
  const end = shape.reduce((sum, extent, i) => sum + (extent - 1) * strides[i], offset) + 1;
  const held = Math.floor((storage.count * storage.type.bytes) / size);
  if (!(end <= held)) {
    throw source.error(
      `tensor "${name}" ${dtype}[${shape}] (strides [${strides}], offset ${offset}) reaches element ${end - 1} of a storage of ${held}`,
    );
  }
  const bytes = storage.load().subarray(offset * size, end * size);
  if (isRowMajor(shape, strides)) return entryOf(source, name, dtype, shape, bytes);
  source.spend(count * size, `tensor "${name}" ${dtype}[${shape}]`);
  const out = new Uint8Array(count * size);
  gather(aligned(source, bytes, size), out, ref);
  return entryOf(source, name, dtype, shape, out);
}

/** The entry whose row-major data are exactly `bytes`: a view of them where that is possible. */
export function entryOf(
  source: Source,
  name: string,
  dtype: WeightDType,
  shape: number[],
  bytes: Uint8Array,
): WeightEntry {
  const spend = (n: number) => source.spend(n, `tensor "${name}" ${dtype}[${shape}]`);
  const data = viewAs(dtype, bytes, 0, bytes.length / bytesOf(dtype), spend);
  if (dtype !== "bool" || data.every((b: number | bigint) => b <= 1)) return { shape, dtype, data };
  // Any other byte is true for PyTorch and NumPy; what is read here is 0 and 1.
  spend(data.length);
  return { shape, dtype, data: Uint8Array.from(data as Uint8Array, (b) => (b === 0 ? 0 : 1)) };
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false;
    step *= shape[i];
  }
  return true;
}

/** Copies a strided window, which begins with the first of `bytes`, row by row. Elements move as unsigned words, so that no NaN changes its bits. */
function gather(bytes: Uint8Array, out: Uint8Array, ref: TensorRef): void {
  const { shape, strides } = ref;
  const size = ref.type.bytes;
  const width = size === 1 ? 1 : size === 2 ? 2 : 4;
  const words = size / width;
  const from = wordsOf(bytes, width);
  const to = wordsOf(out, width);
  const inner = shape.length - 1;
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
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
