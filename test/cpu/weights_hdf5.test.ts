// HDF5 files that are damaged on purpose, that make the library loop for ever, or that come where there is no library.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/formats/${name}`, import.meta.url)));

async function refusal(file: weights.WeightInput): Promise<string> {
  const error = await weights.read(file, { name: "x.h5" }).then(
    (tensors) => new Error(`read ${tensors.size} tensors`),
    (e: Error) => e,
  );
  expect(error, error.stack).toMatchObject({ name: "DataError" });
  expect(error.message).not.toMatch(/\n/);
  return error.message;
}

describe("weights: HDF5", () => {
  it("says in the library's own words what is wrong", async () => {
    const bytes = fixture("keras2.model.h5");
    expect(await refusal(bytes.subarray(0, 9000))).toMatch(
      /is a damaged HDF5 file.*\(truncated file: eof = 9000/,
    );
    expect(await refusal(bytes.subarray(0, 8))).toMatch(/is a damaged HDF5 file/);
  });

  it("ends a read that would never end, and reads the next file", { timeout: 60_000 }, async () => {
    const bytes = fixture("hostile/loop.h5");
    expect(await refusal(bytes)).toMatch(/is a damaged HDF5 file: after 6 s it is still not read/);
    expect((await weights.read(fixture("keras2.model.h5"))).size).toBe(11);
  });

  it("reads several files at once", async () => {
    const names = ["keras2.model.h5", "keras3.weights.h5", "keras2.weights.h5"];
    const sizes = await Promise.all(names.map(async (name) => (await weights.read(fixture(name))).size));
    expect(sizes).toEqual([11, 5, 10]);
  });

  it("leaves the bytes as they were, and gives arrays of their own", async () => {
    const bytes = fixture("keras3.weights.h5");
    const copy = bytes.slice();
    const tensors = await weights.read(bytes);
    (tensors.get("layers/conv2d/vars/0")!.data as Float32Array).fill(7);
    expect(Buffer.compare(bytes, copy)).toBe(0);
  });

  it("refuses rings of links and sizes that the file cannot justify", async () => {
    expect(await refusal(fixture("hostile/ring.h5"))).toMatch(
      /nested more than 64 groups|lists more than \d+ objects/,
    );
    expect(await refusal(fixture("hostile/huge.h5"))).toMatch(
      /likely bomb|more than the file justifies|damaged/,
    );
  });

  it("names the package that is missing, once and plainly", () => {
    const folder = mkdtempSync(join(tmpdir(), "thaw-no-h5wasm-"));
    try {
      for (const part of ["core", "weights"])
        cpSync(join(root, "src", part), join(folder, "src", part), { recursive: true });
      mkdirSync(join(folder, "node_modules"));
      symlinkSync(join(root, "node_modules/fflate"), join(folder, "node_modules/fflate"));
      writeFileSync(join(folder, "package.json"), '{"type":"module"}');
      const code = `import { read } from "./src/weights/index.ts";
        try { await read(${JSON.stringify(join(root, "test/fixtures/formats/keras2.model.h5"))}); }
        catch (e) { console.log(e.name + ": " + e.message); }`;
      writeFileSync(join(folder, "main.ts"), code);
      const { stdout, stderr } = spawnSync(process.execPath, ["main.ts"], { cwd: folder, encoding: "utf8" });
      expect(stdout.trim(), stderr).toMatch(
        /^ThawError: reading HDF5 files \(Keras\) needs the package h5wasm, which did not load: npm install h5wasm \(.*\)$/,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
