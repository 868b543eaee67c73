// Files in the layouts of Keras, TensorFlow.js, Teachable Machine and ONNX (test/fixtures/formats/make.py), compared
// with every element that was saved.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";

const folder = new URL("../fixtures/formats/", import.meta.url);

interface Facts {
  shape: number[];
  dtype: string;
  hex: string;
}

interface Expected {
  format: string;
  tensors: Record<string, Facts>;
  extras?: Record<string, unknown>;
  skipped?: Record<string, string>;
  model?: weights.FileModel;
}

const { files } = JSON.parse(readFileSync(new URL("expected.json", folder), "utf8")) as {
  files: Record<string, Expected>;
};

const path = (name: string) => new URL(name, folder);

function facts(entry: weights.WeightEntry): Facts {
  const { buffer, byteOffset, byteLength } = entry.data;
  const hex = Buffer.from(buffer, byteOffset, byteLength).toString("hex");
  return { shape: entry.shape, dtype: entry.dtype, hex };
}

describe("weights: files of other frameworks", () => {
  it.each(Object.entries(files))("reads %s bit for bit", async (name, expected) => {
    const found = await weights.readCheckpoint(path(name), { skipUnsupported: true });
    expect(found.format).toBe(expected.format);
    const got = Object.fromEntries([...found.tensors].map(([key, entry]) => [key, facts(entry)]));
    expect(got).toEqual(expected.tensors);
    // In the file's order: of the layers, where it tells that.
    expect([...found.tensors.keys()]).toEqual(Object.keys(expected.tensors));
    for (const [key, value] of Object.entries(expected.extras ?? {})) {
      expect(found.extras.get(key), `extra ${key}`).toEqual(value);
    }
    expect(Object.fromEntries(found.skipped.map((s) => [s.name, s.reason]))).toEqual(expected.skipped ?? {});
    if (expected.model) expect(found.model).toEqual(expected.model);
  });

  it.each(Object.entries(files).filter(([, e]) => e.skipped))(
    "refuses what it cannot read of %s by name",
    async (name, expected) => {
      const [[first, reason]] = Object.entries(expected.skipped as Record<string, string>);
      const refused = weights.read(path(name));
      await expect(refused).rejects.toMatchObject({ name: "DataError" });
      await expect(refused).rejects.toThrow(
        /tensor ".*" (is|lies) .*, which Thaw does not read; skipUnsupported/,
      );
      if (!name.includes("onnx")) await expect(refused).rejects.toThrow(`tensor "${first}" ${reason}`);
    },
  );

  it("reads the same from bytes and from a Blob", async () => {
    for (const name of ["keras2.model.h5", "keras3.keras", "teachable.zip"]) {
      const bytes = readFileSync(path(name));
      const skip = { skipUnsupported: true };
      const all = async (input: weights.WeightInput) =>
        [...(await weights.read(input, skip))].map(([key, entry]) => [key, facts(entry)]);
      const fromPath = await all(path(name));
      expect(await all(new Uint8Array(bytes))).toEqual(fromPath);
      expect(await all(new Blob([bytes]))).toEqual(fromPath);
    }
  });
});
