// Writing safetensors files. Deterministic: entries by element type, widest first, then by name, metadata by key, and
// the header padded with spaces to eight bytes, so that the same weights give the same file, byte for byte the one
// that the reference library writes (safetensors/src/tensor.rs, `prepare`).

import { UsageError } from "../core/error.ts";
import { MAX_HEADER, SAFETENSORS_NAMES } from "./safetensors.ts";
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

export interface WriteOptions {
  /** Text by text for the header's `__metadata__`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * The bytes of a safetensors file with the arrays of `dict`.
 * Throws UsageError where an array's data do not fit its shape or dtype.
 */
export function writeSafetensors(dict: WriteDict, options: WriteOptions = {}): Uint8Array {
  const parts = safetensorsParts(dict, options);
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

interface Item {
  readonly name: string;
  readonly dtype: WeightDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** The same in pieces (header, then arrays), so that a file can be written without a second copy in memory. */
export function safetensorsParts(dict: WriteDict, options: WriteOptions = {}): Uint8Array[] {
  const items = entriesOf(dict)
    .map(([name, entry]) => itemOf(name, entry))
    .sort(byTypeThenName);
  const fields = metadataField(options.metadata);
  let at = 0;
  for (const { name, dtype, shape, bytes } of items) {
    const info = { dtype: SAFETENSORS_NAMES[dtype], shape, data_offsets: [at, at + bytes.length] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    at += bytes.length;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER)
    throw new UsageError(`weights: the names take a header of ${length} bytes, more than allowed`);
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return [header, ...items.map((item) => item.bytes)];
}

/** By place in WEIGHT_DTYPES, then by name in the order of UTF-8 bytes (that of code points, not of UTF-16 units). */
function byTypeThenName(a: Item, b: Item): number {
  const type = WEIGHT_DTYPES.indexOf(a.dtype) - WEIGHT_DTYPES.indexOf(b.dtype);
  return type || compareCodePoints(a.name, b.name);
}

function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a.codePointAt(i) as number;
    const y = b.codePointAt(i) as number;
    if (x !== y) return x - y;
  }
  return a.length - b.length;
}

function metadataField(metadata: Readonly<Record<string, string>> | undefined): string[] {
  const pairs = Object.keys(metadata ?? {}).sort(compareCodePoints);
  if (!metadata || pairs.length === 0) return [];
  const texts = pairs.map((key) => {
    if (typeof metadata[key] !== "string") throw new UsageError(`weights: metadata "${key}" must be text`);
    return `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`;
  });
  return [`"__metadata__":{${texts.join(",")}}`];
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

function itemOf(name: string, entry: WriteEntry): Item {
  const wrong = (sentence: string) => new UsageError(`weights: tensor "${name}" ${sentence}`);
  if (name === "__metadata__") throw wrong("has a name that the safetensors format keeps for itself");
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
  return { name, dtype, shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
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
