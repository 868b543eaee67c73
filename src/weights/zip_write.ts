// Writing zip archives whose members are stored as they are, each at a multiple of 64 bytes so that readers may map
// them. Deterministic: no dates. Format: PKWARE's APPNOTE 6.3.10, without zip64.

import { UsageError } from "../core/error.ts";
import { crc32 } from "./crc32.ts";

export interface ZipPart {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const ALIGN = 64;
/** Offsets and sizes have 32 bits, counts 16; their largest values mean zip64. */
const MAX_BYTES = 0xffffffff;
const MAX_MEMBERS = 0xffff;
/** 1980-01-01, the first day that the format knows. */
const DAY_ONE = 0x21;
/** Names are UTF-8. */
const UTF8 = 0x0800;
/** An extra field that means nothing, for padding; PyTorch uses the same. */
const PADDING = 0x4246;

/** A record of little-endian numbers: [value, bytes] in turn. */
function record(fields: readonly (readonly [value: number, bytes: 2 | 4])[]): Uint8Array {
  const out = new DataView(new ArrayBuffer(fields.reduce((n, [, bytes]) => n + bytes, 0)));
  let at = 0;
  for (const [value, bytes] of fields) {
    if (bytes === 2) out.setUint16(at, value, true);
    else out.setUint32(at, value, true);
    at += bytes;
  }
  return new Uint8Array(out.buffer);
}

/** What the local header and the directory both say of a member, from the version on. */
const common = (crc: number, size: number, name: Uint8Array, extra: number) =>
  [
    [20, 2],
    [UTF8, 2],
    [0, 2],
    [0, 2],
    [DAY_ONE, 2],
    [crc, 4],
    [size, 4],
    [size, 4],
    [name.length, 2],
    [extra, 2],
  ] as const;

/** Bytes of padding after which the member begins at a multiple of 64; 0, or room for the field's own head. */
function paddingAt(end: number): number {
  const short = (ALIGN - (end % ALIGN)) % ALIGN;
  return short === 0 || short >= 4 ? short : short + ALIGN;
}

function extraField(length: number): Uint8Array {
  const out = new Uint8Array(length);
  if (length > 0)
    out.set(
      record([
        [PADDING, 2],
        [length - 4, 2],
      ]),
    );
  return out;
}

/** The archive in pieces, members in the order given. Throws UsageError beyond 4 GiB or 65,534 members. */
export function zipParts(members: readonly ZipPart[]): Uint8Array[] {
  const total = members.reduce((n, { bytes }) => n + bytes.length, 0);
  if (members.length >= MAX_MEMBERS || total >= MAX_BYTES)
    throw new UsageError(
      `weights: a zip archive of ${members.length} members and ${total} bytes is too large (below ${MAX_MEMBERS} and 4 GiB); write .safetensors`,
    );
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const push = (part: Uint8Array) => {
    parts.push(part);
    at += part.length;
  };
  for (const { name, bytes } of members) {
    const text = new TextEncoder().encode(name);
    const crc = crc32(bytes);
    const header = at;
    const extra = extraField(paddingAt(at + 30 + text.length));
    push(record([[0x04034b50, 4], ...common(crc, bytes.length, text, extra.length)]));
    for (const part of [text, extra, bytes]) push(part);
    // Version made by, then as above, then: no comment, first disk, no attributes, where the local header begins.
    const rest = [
      [0, 2],
      [0, 2],
      [0, 2],
      [0, 4],
      [header, 4],
    ] as const;
    directory.push(record([[0x02014b50, 4], [20, 2], ...common(crc, bytes.length, text, 0), ...rest]), text);
  }
  const start = at;
  for (const part of directory) push(part);
  if (at >= MAX_BYTES) throw new UsageError("weights: the archive takes 4 GiB or more; write .safetensors");
  const n = members.length;
  const size = at - start;
  push(
    record([
      [0x06054b50, 4],
      [0, 2],
      [0, 2],
      [n, 2],
      [n, 2],
      [size, 4],
      [start, 4],
      [0, 2],
    ]),
  );
  return parts;
}
