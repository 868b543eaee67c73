// Damage at random to the files of Keras, TensorFlow.js and ONNX: cut at every 64th, and with bytes changed. A reader may
// refuse (DataError) or read; never hang, throw anything else, or take much memory. npm run fuzz tries more.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hash53 } from "../../src/core/hash.ts";
import { Generator } from "../../src/core/random.ts";
import { cuts, damaged, outcome } from "../lib/damage.ts";

const folder = new URL("../fixtures/formats/", import.meta.url);
const times = process.env.THAW_TEST === "all" ? 10 : 1;

const files: Array<[string, Uint8Array]> = readdirSync(folder)
  .filter((name) => /\.(h5|keras|zip|onnx)$/.test(name))
  .map((name) => [name, new Uint8Array(readFileSync(new URL(name, folder)))]);

/** An HDF5 file takes a fresh library each time. */
const trialsOf = (name: string) => times * (name.endsWith(".onnx") || name === "teachable.zip" ? 1000 : 60);

describe("weights: damaged files of other frameworks", () => {
  it("finds the files", () => {
    expect(files.length).toBe(9);
  });

  it.each(files)("%s, cut short", async (name, bytes) => {
    const whole = await outcome(bytes, name);
    expect(whole).toHaveProperty("tensors");
    for (const length of cuts(bytes.length)) {
      const got = await outcome(bytes.subarray(0, length), `${name} cut to ${length} bytes`);
      // Protobuf may lack what comes after the graph. Nothing else may read as if it were whole.
      const reads = "tensors" in got;
      if (reads && !name.endsWith(".onnx")) expect.fail(`${name} cut to ${length} bytes is read`);
      if (reads) expect(got).toEqual(whole);
    }
  });

  it.each(files)("%s, with bytes changed", { timeout: 120_000 }, async (name, bytes) => {
    const random = new Generator(hash53(name));
    const whole = await outcome(bytes, name);
    let refused = 0;
    const before = process.memoryUsage().rss;
    for (let i = 0; i < trialsOf(name); i++) {
      const { bytes: broken, changes } = damaged(bytes, random);
      const got = await outcome(broken, `${name} with ${changes}`);
      if ("refused" in got) refused++;
      // Every byte of a zip's member is under its CRC-32.
      else if (/\.(zip|keras)$/.test(name) && JSON.stringify(got) !== JSON.stringify(whole))
        expect.fail(`${name} with ${changes} reads as something else`);
    }
    expect(refused).toBeGreaterThan(0);
    // The budget of a small file is 256 MiB, twice over where the library has a copy.
    expect(process.memoryUsage().rss - before).toBeLessThan(768 * 2 ** 20);
  });
});
