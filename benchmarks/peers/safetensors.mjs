// Reads the file that carries weights and inputs to a peer: 8 bytes of header length, JSON, raw little-endian data.
import { readFileSync } from "node:fs";

const ARRAYS = { F32: Float32Array, I32: Int32Array, I64: BigInt64Array };

/** Name → { shape, data }. */
export function readSafetensors(path) {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + length));
  delete header.__metadata__;
  const out = new Map();
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [from, to],
    },
  ] of Object.entries(header)) {
    // Copied, because a typed array must begin at a multiple of its element size.
    const bytes = Uint8Array.from(file.subarray(8 + length + from, 8 + length + to));
    out.set(name, { shape, data: new ARRAYS[dtype](bytes.buffer) });
  }
  return out;
}
