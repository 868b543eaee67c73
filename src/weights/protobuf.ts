// Protocol buffers' wire format, as much as ONNX needs: fields by number, no schemas, groups refused. What the numbers
// mean is said by those who read or write a message. https://protobuf.dev/programming-guides/encoding/

import { Cursor, type Source } from "./source.ts";

/** One field of a message as it lies there. */
export type ProtoField =
  | { readonly field: number; readonly wire: "varint"; readonly value: bigint }
  | { readonly field: number; readonly wire: "fixed32" | "fixed64" | "bytes"; readonly bytes: Uint8Array };

/**
 * The fields of a message in their order; `bytes` are views. `what` is what messages call it. Throws DataError where
 * the message is cut short or holds what the format does not know.
 */
export function* protoFields(source: Source, what: string): Iterable<ProtoField> {
  const cursor = new Cursor(source, what);
  while (cursor.left > 0) {
    const key = readVarint(cursor, what);
    const field = Number(key >> 3n);
    if (key >> 32n !== 0n || field === 0) throw source.error(`${what} has a field of number ${key >> 3n}`);
    const wire = Number(key & 7n);
    if (wire === 0) yield { field, wire: "varint", value: readVarint(cursor, what) };
    else if (wire === 1) yield { field, wire: "fixed64", bytes: cursor.take(8) };
    else if (wire === 2) yield { field, wire: "bytes", bytes: cursor.take(lengthAt(cursor, what)) };
    else if (wire === 5) yield { field, wire: "fixed32", bytes: cursor.take(4) };
    else throw source.error(`${what} has a field of wire type ${wire}, which is damaged or no longer in use`);
  }
}

function lengthAt(cursor: Cursor, what: string): number {
  const length = readVarint(cursor, what);
  // Compared before it becomes a number: `take` then says that it is too long.
  if (length > 2n ** 53n) throw cursor.source.error(`${what} claims a field of ${length} bytes`);
  return Number(length);
}

/** An unsigned number of up to 64 bits, seven a byte, lowest first. */
function readVarint(cursor: Cursor, what: string): bigint {
  let low = 0;
  // Seven times four bits fit into an exact number, which is much faster than a bigint.
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = cursor.u8();
    low |= (byte & 127) << shift;
    if (byte < 128) return BigInt(low);
  }
  let value = BigInt(low);
  for (let shift = 28n; shift < 70n; shift += 7n) {
    const byte = cursor.u8();
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) {
      if (value >> 64n !== 0n) break;
      return value;
    }
  }
  throw cursor.source.error(`${what} holds a number of more than 64 bits`);
}

/** Numbers packed into one field, one after another; each is checked against the field's end. */
export function packedVarints(source: Source, what: string): bigint[] {
  const cursor = new Cursor(source, what);
  const out: bigint[] = [];
  while (cursor.left > 0) out.push(readVarint(cursor, what));
  return out;
}

/**
 * Numbers packed into one field as little-endian words of `size` bytes (1 to 8), whose higher bits are cut off: without
 * an object for each, of which a field may hold millions. Throws DataError where the last one is cut short.
 */
export function packedWords(source: Source, what: string, size: number): Uint8Array {
  const { bytes } = source;
  let count = 0;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] < 128) count++;
  if (bytes.length > 0 && bytes[bytes.length - 1] > 127)
    throw source.error(`${what} is cut short in a number`);
  source.spend(count * size, what);
  const out = new Uint8Array(count * size);
  for (let i = 0, at = 0; at < out.length; at += size) {
    let [low, high, shift, byte] = [0, 0, 0, 128];
    for (; byte > 127; shift += 7) {
      if (shift > 63) throw source.error(`${what} holds a number of more than 64 bits`);
      byte = bytes[i++];
      const bits = byte & 127;
      if (shift < 32) low |= bits << shift;
      // The number that crosses from one word to the other: its upper three bits.
      if (shift === 28) high = bits >> 4;
      else if (shift > 28) high |= bits << (shift - 32);
    }
    for (let k = 0; k < size; k++) out[at + k] = k < 4 ? low >>> (8 * k) : high >>> (8 * k - 32);
  }
  return out;
}

/** The text of a field of bytes; throws DataError where it is no UTF-8. */
export function protoText(source: Source, bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw source.error(`${what} holds text that is no UTF-8`);
  }
}

/** Collects the fields of a message. Bytes are kept as they are, not copied, until somebody writes the parts. */
export class ProtoWriter {
  readonly parts: Uint8Array[] = [];
  /** Bytes of all parts. */
  length = 0;

  #push(part: Uint8Array): void {
    this.parts.push(part);
    this.length += part.length;
  }

  /** An integer, boolean or enum; negative ones take ten bytes, as the format has it. */
  varint(field: number, value: number | bigint): this {
    this.#push(Uint8Array.from([...varintOf(BigInt(field) << 3n), ...varintOf(BigInt(value))]));
    return this;
  }

  /** A float32. */
  float(field: number, value: number): this {
    const part = new Uint8Array(5 + 5);
    const key = varintOf((BigInt(field) << 3n) | 5n);
    part.set(key);
    new DataView(part.buffer).setFloat32(key.length, value, true);
    this.#push(part.subarray(0, key.length + 4));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#push(Uint8Array.from([...varintOf((BigInt(field) << 3n) | 2n), ...varintOf(BigInt(value.length))]));
    this.#push(value);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  /** Integers packed into one field. */
  packed(field: number, values: ReadonlyArray<number | bigint>): this {
    return this.bytes(field, Uint8Array.from(values.flatMap((v) => varintOf(BigInt(v)))));
  }

  /** A message within this one. */
  message(field: number, inner: ProtoWriter): this {
    const key = [...varintOf((BigInt(field) << 3n) | 2n), ...varintOf(BigInt(inner.length))];
    this.#push(Uint8Array.from(key));
    for (const part of inner.parts) this.#push(part);
    return this;
  }

  /** All fields in one array. */
  finish(): Uint8Array {
    const out = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

function varintOf(value: bigint): number[] {
  let rest = BigInt.asUintN(64, value);
  const out: number[] = [];
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  out.push(Number(rest));
  return out;
}
