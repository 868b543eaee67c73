// Element types of weight files and the entries that readers give and writers take. Wider than core's DType: a file
// may hold what the engine does not compute with, and must come out again as it went in.

/** Element types a weight file can hold, in the order in which safetensors files sort them (widest first). */
export const WEIGHT_DTYPES = [
  "u64",
  "i64",
  "f64",
  "f32",
  "u32",
  "i32",
  "bf16",
  "f16",
  "u16",
  "i16",
  "i8",
  "u8",
  "bool",
] as const;

export type WeightDType = (typeof WEIGHT_DTYPES)[number];

/** Host arrays of weights: f16 and bf16 as their 16 bits in a Uint16Array, bool as 0 and 1 in a Uint8Array. */
export type WeightData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/**
 * One array of a weight file: row-major `data` of `shape` (a scalar has shape []).
 * `data` may share memory with the bytes that were read and with other entries: copy before writing into it.
 */
export interface WeightEntry {
  readonly shape: number[];
  readonly dtype: WeightDType;
  readonly data: WeightData;
}

/** A weight file's arrays by the file's own names, in the file's order. */
export type Weights = Map<string, WeightEntry>;

/** Values beside the arrays of a checkpoint: numbers, text, and lists of them. */
export type Plain = null | boolean | number | bigint | string | Plain[];

/** An array that a file holds and Thaw does not read: its name and a sentence's second half ("is quantised …"). */
export interface Skipped {
  readonly name: string;
  readonly reason: string;
}

/** How a message on such an array ends, for those who call the library and those who type a command. */
export const NOT_READ =
  "which Thaw does not read; skipUnsupported (thaw convert --skip-unsupported) reads the rest";

interface Kind {
  readonly bytes: number;
  readonly view: (buffer: ArrayBufferLike, offset: number, length: number) => WeightData;
}

const bits16 = (b: ArrayBufferLike, o: number, n: number) => new Uint16Array(b, o, n);
const bytes8 = (b: ArrayBufferLike, o: number, n: number) => new Uint8Array(b, o, n);

const KINDS: Readonly<Record<WeightDType, Kind>> = {
  u64: { bytes: 8, view: (b, o, n) => new BigUint64Array(b, o, n) },
  i64: { bytes: 8, view: (b, o, n) => new BigInt64Array(b, o, n) },
  f64: { bytes: 8, view: (b, o, n) => new Float64Array(b, o, n) },
  f32: { bytes: 4, view: (b, o, n) => new Float32Array(b, o, n) },
  u32: { bytes: 4, view: (b, o, n) => new Uint32Array(b, o, n) },
  i32: { bytes: 4, view: (b, o, n) => new Int32Array(b, o, n) },
  bf16: { bytes: 2, view: bits16 },
  f16: { bytes: 2, view: bits16 },
  u16: { bytes: 2, view: bits16 },
  i16: { bytes: 2, view: (b, o, n) => new Int16Array(b, o, n) },
  i8: { bytes: 1, view: (b, o, n) => new Int8Array(b, o, n) },
  u8: { bytes: 1, view: bytes8 },
  bool: { bytes: 1, view: bytes8 },
};

/** No elements of a dtype, in its kind of array. */
export function emptyOf(dtype: WeightDType): WeightData {
  return KINDS[dtype].view(new ArrayBuffer(0), 0, 0);
}

/** Bytes of one element. */
export function bytesOf(dtype: WeightDType): number {
  return KINDS[dtype].bytes;
}

/**
 * `length` elements of `bytes` from byte `offset` on: a view where the alignment allows it, else a copy, whose bytes
 * `spend` is told of first (one small file may show the same bytes many times).
 */
export function viewAs(
  dtype: WeightDType,
  bytes: Uint8Array,
  offset: number,
  length: number,
  spend: (bytes: number) => void,
): WeightData {
  const kind = KINDS[dtype];
  const start = bytes.byteOffset + offset;
  if (start % kind.bytes === 0) return kind.view(bytes.buffer, start, length);
  spend(length * kind.bytes);
  return kind.view(bytes.slice(offset, offset + length * kind.bytes).buffer, 0, length);
}

/** The number of elements of a shape, or null when it is no whole number below 2⁵³. */
export function countOf(shape: readonly number[]): number | null {
  if (shape.includes(0)) return 0;
  let n = 1;
  for (const d of shape) {
    n *= d;
    if (!Number.isSafeInteger(n)) return null;
  }
  return n;
}
