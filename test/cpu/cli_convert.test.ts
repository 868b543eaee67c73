// thaw convert between formats, as a user runs it: named weights, rounded or not, and whole networks of a run's folder
// or of a weight file. What the files compute is shown in export_onnx, export_tfjs and roundtrip.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, exportTfjs, init, models, weights } from "../../src/index.ts";
import { put, scratch, thaw } from "../lib/cli.ts";
import { inputOf } from "../lib/export_cases.ts";
import { expectClose, ours } from "../lib/export_compare.ts";
import { checkOnnx } from "../lib/onnx_check.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
const at = (name: string) => join(folder.path, name);
const net = () => models.densenet_mini({ numClasses: 3 });
const classes = ["blue", "green", "red"];
let model: ReturnType<typeof net>;

/** As much of a run's folder as whoever uses it relies on. */
async function makeRun(path: string): Promise<void> {
  await weights.write(join(path, "model.safetensors"), model.stateDict());
  const info = {
    format: 1,
    status: "finished",
    model: { name: "densenet_mini", head: "linear", trainable: 1, parameters: 1 },
    classes,
    preprocessing: { ...model.preprocessing, resize: 40, crop: 32, mean: [0.25, 0.5, 0.75] },
    options: { model: "densenet_mini", seed: 1 },
    data: { folder: "/pictures", fingerprint: "x" },
    metrics: {},
  };
  await put(join(path, "run.json"), JSON.stringify(info));
}

beforeAll(async () => {
  folder = await scratch();
  await init({ device: "cpu", seed: 5 });
  model = net();
  await put(at("run/empty"), "");
  await makeRun(at("run"));
  await weights.write(at("w.pth"), model.stateDict());
});
afterAll(async () => {
  await close();
  await folder.remove();
});

describe("thaw convert of weights", () => {
  test(".safetensors to .pth and back gives the same file", async () => {
    const r = await thaw(["convert", at("run"), at("a.pth"), "--json"]);
    expect(r.lines()).toMatchObject([
      { event: "done", format: "safetensors", bytes: readFileSync(at("a.pth")).length },
    ]);
    expect((await weights.readCheckpoint(at("a.pth"))).format).toBe("pytorch-zip");
    expect((await thaw(["convert", at("a.pth"), at("a.safetensors")])).code).toBe(0);
    const [one, two] = ["run/model.safetensors", "a.safetensors"].map((n) => readFileSync(at(n)));
    expect(Buffer.compare(one, two)).toBe(0);
  });

  test("--dtype f16 rounds real numbers and leaves counters alone", async () => {
    expect((await thaw(["convert", at("run"), at("h.pt"), "--dtype", "f16"])).code).toBe(0);
    const half = await weights.read(at("h.pt"));
    for (const [name, e] of await weights.read(at("run/model.safetensors"))) {
      expect(half.get(name)?.dtype).toBe(e.dtype === "f32" ? "f16" : e.dtype);
      if (e.dtype === "f32")
        expect(half.get(name)?.data).toEqual(Uint16Array.from(e.data as Float32Array, weights.floatToHalf));
    }
    const r = await thaw(["convert", at("run"), at("i.pt"), "--dtype", "int8"]);
    expect([r.code, r.err]).toEqual([2, "thaw: --dtype must be f32 or f16, not int8"]);
  });
});

describe("thaw convert of Keras' names", () => {
  test("under a Keras model's own names and layouts", async () => {
    const from = models.create("keras.mobilenetV2_0.35", { numClasses: 3 });
    await exportTfjs(at("keras"), from, { inputShape: [3, 64, 64] });
    const args = ["convert", at("keras"), at("k.pth"), "--model", "keras.mobilenetV2_0.35", "--json"];
    const r = await thaw(args);
    expect(r.err).toBe("");
    expect(r.lines()).toMatchObject([{ event: "done", format: "tfjs" }]);
    const read = await weights.read(at("k.pth"));
    const own = [...from.stateDict().keys()].filter((name) => !name.endsWith("num_batches_tracked"));
    expect([...read.keys()].sort()).toEqual(own.sort());
    const name = "features.block_1.block_1_depthwise.weight";
    expect(read.get(name)?.data).toEqual(await from.stateDict().get(name)?.data());
  });
});

describe("thaw convert of whole networks", () => {
  test("a run's folder to ONNX: its classes, its preprocessing, its answers", async () => {
    const r = await thaw(["convert", at("run"), at("run.onnx"), "--json"]);
    const bytes = readFileSync(at("run.onnx"));
    expect(r.lines()).toEqual([
      {
        event: "done",
        in: at("run"),
        out: at("run.onnx"),
        format: "onnx",
        model: "densenet_mini",
        classes: 3,
        input: [3, 32, 32],
        parameters: model.parameters().reduce((n, p) => n + p.numel, 0),
        bytes: bytes.length,
      },
    ]);
    const { metadata } = checkOnnx(bytes);
    expect(JSON.parse(metadata.get("classes") ?? "")).toEqual(classes);
    expect(JSON.parse(metadata.get("preprocessing") ?? "")).toMatchObject({
      crop: 32,
      mean: [0.25, 0.5, 0.75],
    });
    const session = await ort.InferenceSession.create(bytes);
    const shape = [2, 3, 32, 32];
    const x = inputOf({ inputShape: [3, 32, 32] }, 2);
    const { logits } = await session.run({ input: new ort.Tensor("float32", x, shape) });
    expectClose(logits.data as Float32Array, (await ours(model, x, shape)).data);
  });

  test("a weight file and its architecture, which has as many classes as the file", async () => {
    await put(at("labels.txt"), "a\r\nb b\nc\n");
    const more = ["--image-size", "48", "--softmax", "--dtype", "f16", "--classes", at("labels.txt")];
    const r = await thaw(["convert", at("w.pth"), at("w.onnx"), "--model", "densenet_mini", ...more]);
    expect(r.err).toBe("");
    const file = checkOnnx(readFileSync(at("w.onnx")));
    expect(file.outputs).toEqual(["probabilities"]);
    expect(file.metadata.get("classes")).toBe('["a","b b","c"]');
    expect(JSON.parse(file.metadata.get("preprocessing") ?? "")).toMatchObject({ crop: 48, resize: 48 });
    expect(file.tensors.get("features.conv0.weight")?.type).toBe(10);
    expect(file.tensors.get("classifier.bias")?.shape).toEqual([3]);
  });

  test("to TensorFlow.js: model.json with its shards beside it", async () => {
    const r = await thaw(["convert", at("run"), at("web/model.json"), "--json"]);
    const names = readdirSync(at("web")).sort();
    expect(names).toEqual(["group1-shard1of1.bin", "model.json"]);
    const bytes = names.reduce((n, name) => n + readFileSync(at(`web/${name}`)).length, 0);
    expect(r.lines()).toMatchObject([{ event: "done", format: "tfjs", classes: 3, bytes }]);
    const again = await thaw(["convert", at("run"), at("web/model.json")]);
    expect([again.code, again.err]).toEqual([2, `thaw: ${at("web/model.json")} exists; --force replaces it`]);
  });

  const refusals: [string, () => string[], number, RegExp][] = [
    [
      "no architecture",
      () => [at("w.pth"), at("n.onnx")],
      2,
      /name the architecture of .*w\.pth by --model, or give a run/,
    ],
    [
      "another one",
      () => [at("w.pth"), at("n.onnx"), "--model", "densenet121"],
      1,
      /w\.pth does not fit the model/,
    ],
    [
      "one for a run",
      () => [at("run"), at("n.onnx"), "--model", "densenet121"],
      2,
      /--model goes with a weight file/,
    ],
    [
      "softmax of weights",
      () => [at("run"), at("n.pth"), "--softmax"],
      2,
      /--softmax goes with a whole network/,
    ],
    ["another name", () => [at("run"), at("net.json")], 2, /write FOLDER\/model\.json, not/],
    [
      "size 0",
      () => [at("run"), at("n.onnx"), "--image-size", "0"],
      2,
      /--image-size must be .* at least 1, not 0/,
    ],
    ["too small", () => [at("run"), at("n.onnx"), "--image-size", "8"], 1, /does not fit/],
    [
      "no classes",
      () => [at("run"), at("n.onnx"), "--classes", at("none")],
      1,
      /the classes .*none could not be read/,
    ],
    [
      "two classes",
      () => [at("run"), at("n.onnx"), "--classes", at("two.json")],
      2,
      /2 classes for a network with 3 outputs/,
    ],
    ["no run", () => [at("web2"), at("n.onnx")], 1, /web2/],
  ];
  test.each(refusals)("refuses %s", async (_name, args, code, says) => {
    await put(at("two.json"), '["a", "b"]');
    await put(at("web2/x"), "");
    const r = await thaw(["convert", ...args()]);
    expect(r.err).toMatch(says);
    expect(r.err.split("\n")).toHaveLength(1);
    expect(r.code).toBe(code);
  });
});
