// Damage at random: every fixture cut short at many places and with bytes changed. A reader may refuse (DataError) or
// read; it may never hang, throw anything else, or give less than the file held. THAW_TEST=all tries ten times more.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/core/error.ts";
import { hash53 } from "../../src/core/hash.ts";
import { Generator } from "../../src/core/random.ts";
import * as weights from "../../src/weights/index.ts";

const folder = new URL("../fixtures/weights/", import.meta.url);
const trials = process.env.THAW_TEST === "all" ? 3000 : 300;

const safetensors = weights.writeSafetensors(
  {
    a: { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    b: { shape: [3], dtype: "bf16", data: Uint16Array.of(1, 2, 3) },
    c: { shape: [], data: BigInt64Array.of(7n) },
  },
  { metadata: { format: "pt" } },
);

const files: Array<[string, Uint8Array]> = readdirSync(folder)
  .filter((name) => /\.(pt|pkl)$/.test(name))
  .map((name) => [name, new Uint8Array(readFileSync(new URL(name, folder)))]);
files.push(["written.safetensors", safetensors]);

/** Everything a checkpoint holds, as text; or null where it is refused as it should be. */
async function outcome(bytes: Uint8Array, what: string): Promise<string | null> {
  try {
    const { tensors, extras, skipped } = await weights.readCheckpoint(bytes, {
      skipUnsupported: true,
      name: "x",
    });
    const all = [...tensors].map(([name, { shape, dtype, data }]) => {
      const hex = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
      return [name, shape, dtype, data.byteLength > 1e6 ? data.byteLength : hex];
    });
    return JSON.stringify([all, [...extras], skipped], (_key, v) => (typeof v === "bigint" ? `${v}n` : v));
  } catch (error) {
    if (error instanceof DataError && !error.message.includes("\n")) return null;
    const stack = error instanceof Error ? error.stack : String(error);
    return expect.fail(`${what} gave no DataError: ${stack}`);
  }
}

describe("weights: damaged files", () => {
  it.each(files)("%s, cut short", async (name, bytes) => {
    const whole = await outcome(bytes, name);
    expect(whole).not.toBeNull();
    const step = Math.max(1, Math.floor(bytes.length / trials));
    for (let n = bytes.length - 1; n >= 0; n -= n > bytes.length - 100 ? 1 : step) {
      const got = await outcome(bytes.subarray(0, n), `${name} cut to ${n} bytes`);
      // The zeros that end a tar archive may be missing; nothing else may.
      if (got !== null && got !== whole) expect.fail(`${name} cut to ${n} bytes reads as something else`);
      if (got !== null && !name.includes(".tar."))
        expect.fail(`${name} cut to ${n} bytes reads as if it were whole`);
    }
  });

  it.each(files)("%s, with bytes changed", async (name, bytes) => {
    const random = new Generator(hash53(name));
    const whole = await outcome(bytes, name);
    let refused = 0;
    for (let trial = 0; trial < trials; trial++) {
      const damaged = bytes.slice();
      const changes: string[] = [];
      for (let k = random.integer(3); k >= 0; k--) {
        const at = random.integer(bytes.length);
        const to = random.integer(2) ? damaged[at] ^ (1 << random.integer(8)) : random.integer(256);
        damaged[at] = to;
        changes.push(`[${at}]=${to}`);
      }
      const got = await outcome(damaged, `${name} with ${changes.join(" ")}`);
      if (got === null) refused++;
      // Every byte of a zip member is under its CRC-32, every name is there twice.
      else if (name.includes(".zip.") && got !== whole)
        expect.fail(`${name} with ${changes.join(" ")} reads as something else`);
    }
    expect(refused).toBeGreaterThan(trials / 20);
  });

  it.each(files)("%s, with a stretch of noise or zeros", async (name, bytes) => {
    const random = new Generator(hash53(name), 1);
    for (let trial = 0; trial < trials / 3; trial++) {
      const damaged = bytes.slice();
      const at = random.integer(bytes.length);
      const noise = random.integer(2) === 0;
      damaged.subarray(at, at + 1 + random.integer(40)).forEach((_b, i, part) => {
        part[i] = noise ? random.integer(256) : 0;
      });
      await outcome(damaged, `${name} with ${noise ? "noise" : "zeros"} at ${at}`);
    }
  });
});
