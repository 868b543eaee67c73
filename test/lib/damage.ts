// Damage to weight files at random, and what a reader may make of it.
import { DataError } from "../../src/core/error.ts";
import type { Generator } from "../../src/core/random.ts";
import * as weights from "../../src/weights/index.ts";

/** A copy with up to three bytes changed, and in words which. */
export function damaged(bytes: Uint8Array, random: Generator): { bytes: Uint8Array; changes: string } {
  const out = bytes.slice();
  const changes: string[] = [];
  for (let k = random.integer(3); k >= 0; k--) {
    const at = random.integer(bytes.length);
    const way = random.integer(4);
    const to = way === 0 ? 255 : way === 1 ? random.integer(256) : out[at] ^ (1 << random.integer(8));
    out[at] = to;
    changes.push(`[${at}]=${to}`);
  }
  return { bytes: out, changes: changes.join(" ") };
}

/** The lengths of a file cut at every 64th of it. */
export const cuts = (length: number): number[] =>
  Array.from({ length: 64 }, (_, i) => Math.floor((length * i) / 64));

/** What reading came to: the arrays as text, or the sentence of the refusal. */
export type Outcome = { readonly tensors: string } | { readonly refused: string };

/** Reads bytes that may be damaged. Throws an Error naming `what` where the reader gives anything but a DataError. */
export async function outcome(bytes: Uint8Array, what: string): Promise<Outcome> {
  try {
    const tensors = await weights.read(bytes, { skipUnsupported: true, name: "x" });
    const all = [...tensors].map(([name, { shape, dtype, data }]) => {
      const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      return [name, shape, dtype, data.byteLength > 1e6 ? data.byteLength : raw.toString("base64")];
    });
    return { tensors: JSON.stringify(all) };
  } catch (error) {
    const isPlain = error instanceof DataError && !error.message.includes("\n");
    // A thousand characters of the file at most, each of which may have become six.
    if (isPlain && error.message.length < 6100) return { refused: error.message };
    throw new Error(`${what} gave no DataError of one line: ${error instanceof Error ? error.stack : error}`);
  }
}
