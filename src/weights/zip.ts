// The directory of a zip archive and its members, read without copying what is stored plainly. Format: PKWARE's
// APPNOTE 6.3.10, with zip64 and data descriptors (PyTorch writes both). Only the central directory is believed for
// sizes; a member's local header must agree on the name, so that no two readers see two archives in one file.

import { Inflate } from "fflate";
import { DataError, messageOf } from "../core/error.ts";
import { crc32 } from "./crc32.ts";
import { Cursor, type Source } from "./source.ts";

export interface ZipMember {
  readonly name: string;
  readonly method: number;
  readonly encrypted: boolean;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  /** Where its local header begins. */
  readonly header: number;
  /** Where its bytes begin, behind its local header. */
  readonly start: number;
}

export interface Zip {
  readonly source: Source;
  readonly members: ReadonlyMap<string, ZipMember>;
  /** Whether members are checked against their CRC-32. */
  readonly verify: boolean;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;

/** The most that deflate can expand (258 bytes for two bits), rounded up. */
const DEFLATE_RATIO = 1040;

/** Reads the directory of the archive; throws DataError where it is missing, cut short or contradicts itself. */
export function openZip(source: Source, verify: boolean): Zip {
  const { count, size, offset, end } = directoryOf(source);
  if (offset + size > end || count * 46 > size) {
    throw source.error("is a damaged zip archive: its directory does not fit into the file");
  }
  const cursor = new Cursor(source, "the zip directory", offset);
  const members = new Map<string, ZipMember>();
  for (let i = 0; i < count; i++) {
    const member = readEntry(cursor);
    if (members.has(member.name)) throw source.error(`holds two members called ${member.name}`);
    members.set(member.name, member);
  }
  if (cursor.at !== offset + size) {
    throw source.error("is a damaged zip archive: its directory holds more than it says");
  }
  refuseOverlaps(source, [...members.values()]);
  return { source, members, verify };
}

/** Members that share bytes would be read, checked and perhaps copied once each: a bomb that needs no compression. */
function refuseOverlaps(source: Source, members: ZipMember[]): void {
  members.sort((a, b) => a.header - b.header);
  for (const [i, { name, start, packed }] of members.entries()) {
    const next = members[i + 1];
    if (next && start + packed > next.header) {
      throw source.error(`its members ${name} and ${next.name} overlap; refused as a likely bomb`);
    }
  }
}

/** Where the central directory lies; `end` is where the records that close the archive begin. */
function directoryOf(source: Source): { count: number; size: number; offset: number; end: number } {
  const end = findEnd(source);
  const cursor = new Cursor(source, "the end of the zip directory", end + 8);
  cursor.u16();
  const plain = { count: cursor.u16(), size: cursor.u32(), offset: cursor.u32(), end };
  if (plain.count !== 0xffff && plain.size !== 0xffffffff && plain.offset !== 0xffffffff) return plain;
  const locator = new Cursor(source, "the zip64 locator", end - 20);
  if (end < 20 || locator.u32() !== LOCATOR64) return plain;
  locator.u32();
  const at = locator.size("the zip64 directory's end lies");
  const wide = new Cursor(source, "the zip64 end of the directory", Math.min(at, end));
  if (wide.u32() !== END64) throw source.error("is a damaged zip archive: its zip64 directory is missing");
  wide.take(28);
  const count = wide.size("the number of members");
  return {
    count,
    size: wide.size("the directory's size"),
    offset: wide.size("the directory's place"),
    end: at,
  };
}

/** The last end-of-directory record whose comment reaches exactly to the end of the file. */
function findEnd(source: Source): number {
  const { bytes } = source;
  for (let at = bytes.length - 22; at >= Math.max(0, bytes.length - 22 - 0xffff); at--) {
    if (bytes[at] !== 0x50 || bytes[at + 1] !== 0x4b || bytes[at + 2] !== 5 || bytes[at + 3] !== 6) continue;
    const cursor = new Cursor(source, "the end of the zip directory", at);
    if (cursor.u32() === END && at + 22 + (bytes[at + 20] | (bytes[at + 21] << 8)) === bytes.length)
      return at;
  }
  throw source.error(
    "is a zip archive without its directory, which lies at the end: the file is cut short or has something after it",
  );
}

function readEntry(cursor: Cursor): ZipMember {
  const { source } = cursor;
  if (cursor.u32() !== ENTRY) throw source.error("is a damaged zip archive: a directory entry is missing");
  cursor.take(4);
  const flags = cursor.u16();
  const method = cursor.u16();
  cursor.take(4);
  const crc = cursor.u32();
  const packed = cursor.u32();
  const size = cursor.u32();
  const nameLength = cursor.u16();
  const extraLength = cursor.u16();
  const commentLength = cursor.u16();
  cursor.take(8);
  const header = cursor.u32();
  const name = new TextDecoder().decode(cursor.take(nameLength));
  const extra = new Cursor(source.part(cursor.take(extraLength)), "an extra field of the zip directory");
  cursor.take(commentLength);
  const sizes = widen(extra, size, packed, header);
  const start = startOf(source, name, sizes.header);
  return { name, method, encrypted: (flags & 1) === 1, crc, ...sizes, start };
}

/** Where a member's bytes begin. Its own header must agree on the name, for every member: see the head of this file. */
function startOf(source: Source, member: string, header: number): number {
  const cursor = new Cursor(source, `the member ${member}`, Math.min(header, source.bytes.length));
  if (cursor.u32() !== LOCAL) throw source.error(`its member ${member} is not where the zip directory says`);
  cursor.take(22);
  const nameLength = cursor.u16();
  const extraLength = cursor.u16();
  const name = new TextDecoder().decode(cursor.take(nameLength));
  if (name !== member) throw source.error(`its member ${member} calls itself ${name.slice(0, 200)}`);
  cursor.take(extraLength);
  return cursor.at;
}

/** Replaces sizes of 0xffffffff by those of the zip64 extra field, which lists only the ones it replaces. */
function widen(extra: Cursor, size: number, packed: number, header: number) {
  const sizes = { size, packed, header };
  while (extra.left >= 4) {
    const id = extra.u16();
    const body = new Cursor(extra.source.part(extra.take(extra.u16())), "a zip64 field");
    if (id !== 1) continue;
    for (const key of ["size", "packed", "header"] as const) {
      if (sizes[key] === 0xffffffff) sizes[key] = body.size(`a member's ${key}`);
    }
  }
  return sizes;
}

/** A member's bytes: a view of the archive where it is stored, else freshly inflated. */
export function readMember(zip: Zip, member: ZipMember): Uint8Array {
  const { source } = zip;
  const { name } = member;
  if (member.encrypted) throw source.error(`its member ${name} is encrypted`);
  if (member.method !== 0 && member.method !== 8) {
    throw source.error(
      `its member ${name} is compressed by method ${member.method}; Thaw reads stored and deflate`,
    );
  }
  const packed = new Cursor(source, `the member ${name}`, member.start).take(member.packed);
  if (member.method === 0 && member.size !== member.packed) {
    throw source.error(
      `its member ${name} is stored but has two sizes, ${member.packed} and ${member.size} bytes`,
    );
  }
  const bytes = member.method === 0 ? packed : inflate(source, member, packed);
  if (zip.verify && crc32(bytes) !== member.crc) {
    throw source.error(`its member ${name} is damaged (its CRC-32 does not match)`);
  }
  return bytes;
}

/** Inflates in slices, so that a member that unpacks to more than it declared is caught while it does. */
function inflate(source: Source, member: ZipMember, packed: Uint8Array): Uint8Array {
  const { name, size } = member;
  if (size > packed.length * DEFLATE_RATIO + 64) {
    throw source.error(
      `its member ${name} claims ${size} bytes, more than ${packed.length} bytes can unpack to`,
    );
  }
  source.spend(size, `its member ${name}`);
  const out = new Uint8Array(size);
  let at = 0;
  const wrong = (got: string) =>
    source.error(`its member ${name} should unpack to ${size} bytes but gives ${got}: damaged`);
  const stream = new Inflate((chunk) => {
    if (at + chunk.length > size) throw wrong("more");
    out.set(chunk, at);
    at += chunk.length;
  });
  try {
    for (let from = 0; from < packed.length; from += 16384) {
      stream.push(packed.subarray(from, from + 16384), from + 16384 >= packed.length);
    }
  } catch (error) {
    throw error instanceof DataError ? error : wrong(messageOf(error));
  }
  if (at !== size) throw wrong(`${at}`);
  return out;
}
