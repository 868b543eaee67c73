// What writers of weight files take: arrays by name, checked, and turned into the element type that is asked for.

import { UsageError } from "../core/error.ts";
import { floatsToHalves, floatToHalf, toFloat32 } from "../core/half.ts";
import { countOf, emptyOf, WEIGHT_DTYPES, type WeightData, type WeightDType } from "./types.ts";

/**
 * An array to write. `dtype` (a WeightDType; other text is refused by name) may be left out where the typed array tells
 * it: not for Uint16Array, and u8 for bytes.
 */
export interface WriteEntry {
  readonly shape: readonly number[];
  readonly data: WeightData;
  readonly dtype?: string;
}

/** Arrays by name: what `read` gives, or an object. */
export type WriteDict = ReadonlyMap<string, WriteEntry> | Readonly<Record<string, WriteEntry>>;

/** Element types that real numbers can be written as. */
export type WriteDType = "f32" | "f16";

/** An array as it is written. */
export interface Item {
  readonly name: string;
  readonly dtype: WeightDType;
  readonly shape: readonly number[];
  readonly data: WeightData;
}

/** Its elements as they lie in a file. */
export const bytesIn = ({ data }: Item): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/**
 * The arrays of `dict`, checked. With `dtype`, real numbers (f64, f32, f16, bf16) are rounded to it, to nearest, ties
 * to even; whole numbers stay. An array under two names is one array in both. Throws UsageError where an array's data
 * do not fit its shape or dtype, and for a finite number that is too large for f16.
 */
export function itemsOf(dict: WriteDict, dtype?: WriteDType): Item[] {
  if (dtype !== undefined && dtype !== "f32" && dtype !== "f16")
    throw new UsageError(`weights: dtype must be "f32" or "f16", got ${JSON.stringify(dtype)}`);
  const done = new PerData<WeightData>();
  return entriesOf(dict).map(([name, entry]) => {
    const item = itemOf(name, entry);
    if (!dtype || item.dtype === dtype || !REAL.includes(item.dtype)) return item;
    const data = done.get(item, () => (dtype === "f16" ? halves(item) : toFloat32(item)));
    return { ...item, dtype, data };
  });
}

/** Something made once for each stretch of memory and element type: tied weights stay tied. */
export class PerData<T> {
  readonly #made = new Map<ArrayBufferLike, Map<string, T>>();

  get({ data, dtype }: Item, make: () => T): T {
    const inside = this.#made.get(data.buffer) ?? new Map<string, T>();
    this.#made.set(data.buffer, inside);
    const key = `${data.byteOffset}+${data.byteLength} ${dtype}`;
    const known = inside.get(key);
    if (known !== undefined) return known;
    const made = make();
    inside.set(key, made);
    return made;
  }
}

const REAL: readonly WeightDType[] = ["f64", "f32", "f16", "bf16"];

/** Rounded once: from f64 directly, not by way of f32. */
function halves(item: Item): Uint16Array {
  const source = item.dtype === "f64" ? (item.data as Float64Array) : toFloat32(item);
  const out = source instanceof Float32Array ? floatsToHalves(source) : Uint16Array.from(source, floatToHalf);
  for (let i = 0; i < out.length; i++) {
    if ((out[i] & 0x7fff) === 0x7c00 && Number.isFinite(source[i]))
      throw new UsageError(
        `weights: tensor "${item.name}" holds ${source[i]}, which is too large for f16 (at most 65504); write f32`,
      );
  }
  return out;
}

/** The entries of a Map or an object. Throws UsageError for anything else. */
export function entriesOf<T>(dict: ReadonlyMap<string, T> | Readonly<Record<string, T>>): [string, T][] {
  if (dict instanceof Map) return [...(dict as ReadonlyMap<string, T>)];
  if (typeof dict !== "object" || dict === null || Array.isArray(dict) || ArrayBuffer.isView(dict))
    throw new UsageError(`weights: pass arrays by name (a Map or an object), not ${whatIs(dict)}`);
  return Object.entries(dict as Readonly<Record<string, T>>);
}

/** What a value that does not belong here is called in messages. */
function whatIs(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === "object" ? `a ${value.constructor?.name ?? "bare object"}` : `a ${typeof value}`;
}

/** An entry, checked. */
function itemOf(name: string, entry: WriteEntry): Item {
  const wrong = (sentence: string) => new UsageError(`weights: tensor "${name}" ${sentence}`);
  if (/\p{Surrogate}/u.test(name)) throw wrong("has half a character in its name, which no file can hold");
  if (typeof entry !== "object" || entry === null) throw wrong(`is ${whatIs(entry)}, not { shape, data }`);
  const { data, shape } = entry;
  if (typeof data === "function")
    throw wrong("lies on a device; await weights.write, or await nn.exportState(module) and pass that");
  if (!isArray(data))
    throw wrong(`has ${whatIs(data)} as data; it needs one of ${[...BY_ARRAY.keys()].join(", ")}`);
  const dtype = entry.dtype ?? BY_ARRAY.get(data[Symbol.toStringTag]);
  if (!dtype) throw wrong("needs a dtype: a Uint16Array may be f16, bf16 or u16");
  if (!isDType(dtype)) throw wrong(`has the dtype "${dtype}"; use one of ${WEIGHT_DTYPES.join(", ")}`);
  const kind = emptyOf(dtype)[Symbol.toStringTag];
  if (data[Symbol.toStringTag] !== kind)
    throw wrong(`is ${dtype}, which needs a ${kind}, not a ${data[Symbol.toStringTag]}`);
  if (!Array.isArray(shape)) throw wrong(`has ${whatIs(shape)} as shape; it needs an array of whole numbers`);
  const whole = shape.every((d) => Number.isInteger(d) && d >= 0);
  if (!whole || countOf(shape) !== data.length)
    throw wrong(`has ${data.length} elements, which do not fit its shape [${shape}]`);
  return { name, dtype, shape, data };
}

/** The dtype that a typed array tells. By the name of its kind, which a Buffer and arrays of another realm share. */
const BY_ARRAY: ReadonlyMap<string, WeightDType | null> = new Map([
  ["Float64Array", "f64"],
  ["Float32Array", "f32"],
  ["BigInt64Array", "i64"],
  ["BigUint64Array", "u64"],
  ["Int32Array", "i32"],
  ["Uint32Array", "u32"],
  ["Int16Array", "i16"],
  ["Uint16Array", null],
  ["Int8Array", "i8"],
  ["Uint8Array", "u8"],
]);

function isArray(data: unknown): data is WeightData {
  return ArrayBuffer.isView(data) && BY_ARRAY.has((data as WeightData)[Symbol.toStringTag]);
}

function isDType(dtype: string): dtype is WeightDType {
  return (WEIGHT_DTYPES as readonly string[]).includes(dtype);
}

/** Pieces as one array. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
