// TensorFlow.js models beyond the fixture: folders, lists of a page's files, and model.json files that lie about shards.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const floats = (...v: number[]) => new Uint8Array(Float32Array.from(v).buffer);

interface Weight {
  name: unknown;
  shape: unknown;
  dtype: unknown;
  quantization?: unknown;
}

const w = (name: string, shape: number[], dtype = "float32"): Weight => ({ name, shape, dtype });

/** A model.json of one group. */
const model = (list: unknown, paths: unknown = ["weights.bin"], more: object = {}) =>
  text({ modelTopology: null, weightsManifest: [{ paths, weights: list }], ...more });

const zip = (json: Uint8Array, shards: Record<string, Uint8Array> = { "weights.bin": floats(1, 2) }) =>
  zipSync({ "model.json": json, ...shards });

async function refusal(file: weights.WeightInput): Promise<string> {
  const error = await weights.read(file, { name: "x" }).then(
    (tensors) => new Error(`read ${tensors.size} tensors`),
    (e: Error) => e,
  );
  expect(error).toMatchObject({ name: "DataError" });
  expect(error.message).not.toMatch(/\n/);
  return error.message;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thaw-tfjs-"));
  writeFileSync(join(folder, "model.json"), model([w("a", [2])]));
  writeFileSync(join(folder, "weights.bin"), floats(1, 2));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("weights: TensorFlow.js models", () => {
  const one = { shape: [2], dtype: "f32", data: Float32Array.of(1, 2) };

  it("reads a folder, its model.json, a zip, and a page's list of files", async () => {
    const file = (name: string, data: Uint8Array, path?: string) =>
      Object.assign(new File([data as BlobPart], name), path ? { webkitRelativePath: path } : {});
    const json = model([w("a", [2])]);
    const inputs: weights.WeightInput[] = [
      folder,
      `${folder}/`,
      join(folder, "model.json"),
      zip(json),
      [file("weights.bin", floats(1, 2)), file("model.json", json)],
      [file("model.json", json, "my/model.json"), file("weights.bin", floats(1, 2), "my/weights.bin")],
    ];
    for (const input of inputs) expect(await weights.read(input)).toEqual(new Map([["a", one]]));
  });

  it("says what else is needed", async () => {
    expect(await refusal(model([w("a", [2])]))).toMatch(
      /weights lie in files beside it; pass its path, a zip/,
    );
    expect(await refusal(zip(model([w("a", [2])]), {}))).toMatch(
      /in the file weights\.bin beside it, which is not there/,
    );
    const blobs = [new Blob([]), new Blob([])];
    await expect(weights.read(blobs)).rejects.toThrow(/one must be called model\.json .* of these 2 0 are/);
    await expect(weights.read([1, 2] as unknown as Blob[])).rejects.toThrow(/a list must hold files/);
  });

  it("reads nothing that is not beside it", async () => {
    const to = (path: unknown) => refusal(zip(model([w("a", [2])], [path])));
    for (const path of [
      "../secret",
      "/etc/passwd",
      "a/../../b",
      "http://h/x",
      "c:\\x",
      "..\\x",
      "file:///x",
      "",
      ".",
    ])
      expect(await to(path), path).toMatch(/names the file ".*", which is not one beside it; refused/);
    expect(await to(7)).toMatch(/names a file that is no text/);
    const twice = zip(model([w("a", [4])], ["weights.bin", "weights.bin"]));
    expect(await refusal(twice)).toMatch(/names one shard twice/);
  });

  it("holds the sizes of shards against the manifest before reading them", async () => {
    expect(await refusal(zip(model([w("a", [3])])))).toMatch(
      /take 12 bytes, but its shards .* hold 8: cut short/,
    );
    expect(await refusal(zip(model([w("a", [1])])))).toMatch(
      /take 4 bytes, but its shards .* hold 8: not its own/,
    );
    expect(await refusal(zip(model([w("a", [2 ** 40])])))).toMatch(/take 4398046511104 bytes, but .* hold 8/);
    expect(await refusal(zip(model([w("a", [2 ** 40, 2 ** 40])])))).toMatch(/impossible shape/);
    const text = zip(model([w("a", [1]), w("s", [9], "string")]));
    expect(await refusal(text)).toMatch(/tensor "s" is string, which Thaw does not read/);
    const skipped = weights.read(text, { skipUnsupported: true });
    await expect(skipped).rejects.toThrow(/the weights of its shards is cut short/);
  });

  it("refuses weights that are described wrongly", async () => {
    const of = (...list: unknown[]) => refusal(zip(model(list)));
    expect(await of({ shape: [2], dtype: "float32" })).toMatch(/a weight without a name/);
    expect(await of({ name: "a", dtype: "float32" })).toMatch(/tensor "a" has no shape/);
    expect(await of({ name: "a", shape: [-2], dtype: "float32" })).toMatch(/tensor "a" has no shape/);
    expect(await of({ name: "a", shape: [2] })).toMatch(/tensor "a" has no dtype/);
    expect(await of(w("a", [1]), w("a", [1]))).toMatch(/two tensors called "a"/);
    expect(await of(w("a", [1], "complex64"))).toMatch(/tensor "a" is complex64, which Thaw does not read/);
    const quantised = (quantization: object, dtype = "float32") =>
      of({ ...w("a", [8], dtype), quantization });
    expect(await quantised({ dtype: "uint4" })).toMatch(
      /quantised as "uint4"; known are float16, uint8 and uint16/,
    );
    expect(await quantised({ dtype: "uint8", scale: 1 })).toMatch(/quantised without scale and min/);
    expect(await quantised({ dtype: "uint8", scale: 1, min: 0 }, "bool")).toMatch(/is quantised bool/);
    expect(await refusal(zip(text({ weightsManifest: {} })))).toMatch(/no weightsManifest that is a list/);
    expect(await refusal(zip(text({ weightsManifest: [{}] })))).toMatch(/entry without paths and weights/);
    expect(await refusal(zip(text([])))).toMatch(/its model\.json is no JSON object/);
  });

  it("names the exports of Teachable Machine that it does not read", async () => {
    const none = new Uint8Array(4);
    expect(await refusal(zipSync({ "model/saved_model.pb": none }))).toMatch(/a TensorFlow SavedModel/);
    expect(await refusal(zipSync({ "model.tflite": none }))).toMatch(/a TensorFlow Lite model/);
  });

  it("takes labels from metadata.json only where it is Teachable Machine's", async () => {
    const metadata = (value: object) => ({ "weights.bin": floats(1, 2), "metadata.json": text(value) });
    const json = model([w("a", [2])]);
    const own = { packageName: "@teachablemachine/image", labels: ["a", 2] };
    expect(await refusal(zip(json, metadata(own)))).toMatch(/labels that are no list of texts/);
    const other = await weights.readCheckpoint(zip(json, metadata({ labels: { 0: "a" } })));
    expect(other).toMatchObject({ format: "tfjs", model: { labels: null, preprocessing: null } });
    const unknown = metadata({ ...own, labels: ["a"], packageName: "@teachablemachine/pose" });
    const pose = await weights.readCheckpoint(zip(json, unknown));
    expect(pose).toMatchObject({
      format: "teachable-machine",
      model: { labels: ["a"], preprocessing: null },
    });
  });
});
