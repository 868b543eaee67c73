// Writing safetensors files. Deterministic: entries by element type, widest first, then by name, metadata by key, and
// the header padded with spaces to eight bytes, so that the same weights give the same file, byte for byte the one
// that the reference library writes (safetensors/src/tensor.rs, `prepare`).

import { UsageError } from "../core/error.ts";
import { MAX_HEADER, SAFETENSORS_NAMES } from "./safetensors.ts";
import { WEIGHT_DTYPES } from "./types.ts";
import { bytesIn, type Item, itemsOf, joined, type WriteDict, type WriteDType } from "./write_items.ts";

export interface WriteOptions {
  /** Text by text for the header's `__metadata__`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Round real numbers to this (to nearest, ties to even). Default: each array as it is. */
  readonly dtype?: WriteDType;
}

/**
 * The bytes of a safetensors file with the arrays of `dict`.
 * Throws UsageError where an array's data do not fit its shape or dtype.
 */
export function writeSafetensors(dict: WriteDict, options: WriteOptions = {}): Uint8Array {
  return joined(safetensorsParts(dict, options));
}

/** The same in pieces (header, then arrays), so that a file can be written without a second copy in memory. */
export function safetensorsParts(dict: WriteDict, options: WriteOptions = {}): Uint8Array[] {
  const items = itemsOf(dict, options.dtype).sort(byTypeThenName);
  const fields = metadataField(options.metadata);
  let at = 0;
  for (const { name, dtype, shape, data } of items) {
    if (name === "__metadata__")
      throw new UsageError(
        `weights: tensor "${name}" has a name that the safetensors format keeps for itself`,
      );
    const info = { dtype: SAFETENSORS_NAMES[dtype], shape, data_offsets: [at, at + data.byteLength] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    at += data.byteLength;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER)
    throw new UsageError(`weights: the names take a header of ${length} bytes, more than allowed`);
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return [header, ...items.map(bytesIn)];
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
