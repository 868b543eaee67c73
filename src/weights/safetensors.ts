// Reading safetensors files: eight bytes with the header's length, a JSON header, then the arrays back to back.
// Everything the specification demands is checked (https://github.com/huggingface/safetensors, README "Format", and
// the reference reader's validation): the data must be covered by the entries exactly, without hole or overlap.

import { DataError } from "../core/error.ts";
import { isObject, type Json } from "./json.ts";
import { keysOf } from "./json_keys.ts";
import { Cursor, Source } from "./source.ts";
import { entryOf } from "./tensor_data.ts";
import { bytesOf, countOf, NOT_READ, type Skipped, type WeightDType, type Weights } from "./types.ts";

/** The longest header that the reference reader accepts. */
export const MAX_HEADER = 100_000_000;

/** The format's names of element types. */
export const SAFETENSORS_NAMES: Readonly<Record<WeightDType, string>> = {
  u64: "U64",
  i64: "I64",
  f64: "F64",
  f32: "F32",
  u32: "U32",
  i32: "I32",
  bf16: "BF16",
  f16: "F16",
  u16: "U16",
  i16: "I16",
  i8: "I8",
  u8: "U8",
  bool: "BOOL",
};

const DTYPES = new Map(
  Object.entries(SAFETENSORS_NAMES).map(([dtype, name]) => [name, dtype as WeightDType]),
);

/** Element types of the format that Thaw does not read. */
const UNREAD = /^(C64|F4|F6_\w+|F8_\w+)$/;

export interface SafetensorsFile {
  readonly tensors: Weights;
  /** The header's `__metadata__`: text by text, empty where there is none. */
  readonly metadata: Map<string, string>;
  readonly skipped: Skipped[];
}

export interface SafetensorsOptions {
  /** Leave out arrays of element types Thaw does not read, and list them, instead of throwing. */
  readonly skipUnsupported?: boolean;
  /** What messages call the bytes. */
  readonly name?: string;
}

/**
 * The arrays of a safetensors file, in the header's order; their data are views of `bytes` where aligned.
 * Throws DataError, one sentence, for whatever breaks the format.
 */
export function readSafetensors(
  bytes: Uint8Array | ArrayBuffer,
  options: SafetensorsOptions = {},
): SafetensorsFile {
  const given = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  return parseSafetensors(
    new Source(options.name ?? "the bytes given", given),
    options.skipUnsupported ?? false,
  );
}

/** The same from a source. */
export function parseSafetensors(source: Source, skipUnsupported: boolean): SafetensorsFile {
  const { header, names, data } = readHeader(source);
  const file: SafetensorsFile = { tensors: new Map(), metadata: new Map(), skipped: [] };
  const spans: Span[] = [];
  for (const name of names) {
    if (name === "__metadata__") readMetadata(source, header[name], file.metadata);
    else spans.push(readEntry(source, name, header[name], data, file, skipUnsupported));
  }
  checkCoverage(source, spans, data.length);
  return file;
}

function readHeader(source: Source): { header: Json; names: string[]; data: Uint8Array } {
  const cursor = new Cursor(source, "the safetensors header");
  const length = cursor.size("its length");
  if (length > MAX_HEADER)
    throw source.error(`claims a header of ${length} bytes; at most ${MAX_HEADER} are allowed`);
  const raw = cursor.take(length);
  if (raw[0] !== 0x7b) throw source.error("its safetensors header does not begin with {");
  let header: unknown;
  let names: string[];
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
    names = keysOf(text, (sentence) => source.error(`its safetensors header ${sentence}`));
    header = JSON.parse(text);
  } catch (error) {
    throw error instanceof DataError ? error : source.error("its safetensors header is no JSON");
  }
  if (!isObject(header)) throw source.error("its safetensors header is no JSON object");
  return { header, names, data: source.bytes.subarray(8 + length) };
}

function readMetadata(source: Source, value: unknown, out: Map<string, string>): void {
  if (!isObject(value)) throw source.error("its __metadata__ is no JSON object");
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw source.error(`its __metadata__ "${key}" is no text`);
    out.set(key, text);
  }
}

/** The bytes that an entry takes, from `begin` up to `end` of the data. */
interface Span {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function readEntry(
  source: Source,
  name: string,
  value: unknown,
  data: Uint8Array,
  file: SafetensorsFile,
  skipUnsupported: boolean,
): Span {
  const wrong = (sentence: string): DataError => source.error(`tensor "${name}" ${sentence}`);
  const { dtype: type, shape, data_offsets: offsets } = isObject(value) ? value : {};
  if (typeof type !== "string") throw wrong("has no dtype");
  if (!Array.isArray(shape) || !shape.every(isCount)) throw wrong("has no shape of whole numbers");
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw wrong("has no two data_offsets");
  const [begin, end]: number[] = offsets;
  if (begin > end) throw wrong(`ends before it begins (data_offsets [${begin}, ${end}])`);
  if (end > data.length)
    throw wrong(`ends at byte ${end} of the data, which has ${data.length}: the file is cut short`);
  const dtype = DTYPES.get(type);
  if (dtype) {
    const needed = sizeOf(wrong, dtype, shape);
    if (needed !== end - begin) {
      throw wrong(
        `is ${dtype}[${shape}], which takes ${needed} bytes, but its data_offsets span ${end - begin}`,
      );
    }
    file.tensors.set(name, entryOf(source, name, dtype, shape, data.subarray(begin, end)));
  } else if (UNREAD.test(type) && skipUnsupported) file.skipped.push({ name, reason: `is ${type}` });
  else throw wrong(UNREAD.test(type) ? `is ${type}, ${NOT_READ}` : `has the unknown dtype "${type}"`);
  return { name, begin, end };
}

/** The bytes that an array takes. */
function sizeOf(
  wrong: (sentence: string) => DataError,
  dtype: WeightDType,
  shape: readonly number[],
): number {
  const count = countOf(shape);
  if (count === null) throw wrong(`has the impossible shape [${shape}]: 2⁵³ elements or more`);
  return count * bytesOf(dtype);
}

/** The entries must follow each other without hole or overlap and end with the data. */
function checkCoverage(source: Source, spans: Span[], length: number): void {
  let at = 0;
  let last = "the header";
  for (const { name, begin, end } of spans.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < at) throw source.error(`tensors "${last}" and "${name}" overlap in the file`);
    if (begin > at)
      throw source.error(`${begin - at} bytes between "${last}" and "${name}" belong to no tensor`);
    at = end;
    last = name;
  }
  if (at !== length) throw source.error(`${length - at} bytes after its last tensor belong to nothing`);
}
