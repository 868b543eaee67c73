// Real checkpoints as people published them, against values read with PyTorch and h5py (expected.json beside them).
// The data lie outside of the repository: ../shared/data, or where THAW_DATA points.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";

const root = process.env.THAW_DATA ?? resolve(fileURLToPath(import.meta.url), "../../../../shared/data");
const checkpoints = join(root, "checkpoints");
const here = existsSync(join(checkpoints, "expected.json"));

interface Expected {
  shape: number[];
  dtype: string;
  first?: number[];
  last?: number;
  sum?: number;
  l2?: number;
  quantized?: boolean;
}

interface File {
  tensors?: Record<string, Expected>;
  reader_error?: string;
  note?: string;
}

const NAMES: Record<string, string> = {
  float64: "f64",
  float32: "f32",
  float16: "f16",
  bfloat16: "bf16",
  int64: "i64",
  int32: "i32",
  int16: "i16",
  int8: "i8",
  uint8: "u8",
  bool: "bool",
};

const all = here
  ? (JSON.parse(readFileSync(join(checkpoints, "expected.json"), "utf8")) as Record<string, File>)
  : {};
const mine = Object.entries(all).filter(([name]) => /^(pytorch|safetensors|keras)/.test(name));
const good = mine.filter(([, file]) => file.tensors);
const bad = mine.filter(([, file]) => !file.tensors);

/** Elements as float64, which holds all of them exactly but for the largest int64. */
function numbers(entry: weights.WeightEntry): Float64Array {
  const source = entry.dtype === "f16" || entry.dtype === "bf16" ? weights.toFloat32(entry) : entry.data;
  return Float64Array.from(source as ArrayLike<number | bigint>, Number);
}

const bytesOf = ({ data }: weights.WeightEntry) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

function compare(name: string, entry: weights.WeightEntry, expected: Expected): void {
  expect(entry.shape, name).toEqual(expected.shape);
  expect(entry.dtype, name).toBe(NAMES[expected.dtype]);
  const x = numbers(entry);
  expect(x.length, name).toBe(expected.shape.reduce((n, d) => n * d, 1));
  if (expected.first === undefined) return;
  expect([...x.subarray(0, 3)], name).toEqual(expected.first);
  expect(x[x.length - 1], name).toBe(expected.last);
  const sum = x.reduce((s, v) => s + v, 0);
  const magnitude = x.reduce((s, v) => s + Math.abs(v), 0);
  // Two orders of summing n float64 numbers differ by at most n·2⁻⁵³·Σ|x| each.
  const slack = 2 * x.length * 2 ** -53;
  expect(Math.abs(sum - (expected.sum as number)), name).toBeLessThanOrEqual(slack * magnitude);
  const l2 = Math.sqrt(x.reduce((s, v) => s + v * v, 0));
  expect(Math.abs(l2 - (expected.l2 as number)), name).toBeLessThanOrEqual((slack + 2 ** -51) * l2);
}

const where = here ? "real checkpoints" : `real checkpoints (not run: no ${checkpoints})`;

describe.skipIf(!here)(`weights: ${where}`, () => {
  it("finds the files", () => {
    expect(good.length).toBeGreaterThan(50);
    expect(bad.length).toBe(2);
  });

  it.each(good)("reads %s as PyTorch and h5py do", async (name, file) => {
    const { tensors, skipped } = await weights.readCheckpoint(join(checkpoints, name), {
      skipUnsupported: true,
    });
    const expected = Object.entries(file.tensors as Record<string, Expected>);
    const quantised = expected.filter(([, e]) => e.quantized).map(([key]) => key);
    expect(skipped.map((s) => s.name)).toEqual(quantised);
    expect([...tensors.keys(), ...quantised].sort()).toEqual(expected.map(([key]) => key).sort());
    for (const [key, e] of expected) if (!e.quantized) compare(key, tensors.get(key)!, e);
  });

  it.each(bad)("refuses %s", async (name, file) => {
    const sentence = file.reader_error
      ? /is a text file of 3 bytes/
      : /is a TorchScript archive .* save model\.state_dict/;
    await expect(weights.read(join(checkpoints, name))).rejects.toThrow(sentence);
    await expect(weights.read(join(checkpoints, name))).rejects.toMatchObject({ name: "DataError" });
  });

  it("refuses quantised tensors by name unless told to skip them", async () => {
    const path = join(checkpoints, "pytorch-zip/lecuong-mobilenetv3small-pneumonia-dynquant.pth");
    await expect(weights.read(path)).rejects.toThrow(
      /tensor "model\.classifier\.0\._packed_params\._packed_params\/0" is quantised \(qint8\)/,
    );
  });

  it("reads the plain values of a training checkpoint", async () => {
    const path = join(checkpoints, "pytorch-zip/maxim-ai85-mnist-qat8.pth.tar");
    const { extras } = await weights.readCheckpoint(path);
    expect(extras.get("epoch")).toBe(194);
    expect(extras.get("arch")).toBe("ai85net5");
    expect(extras.get("extras/best_top1")).toBe(99.3);
  });

  it("reads ONNX initialisers: those of a network exported with the .pt beside it are its weights", async () => {
    const onnx = await weights.read(join(checkpoints, "onnx/yliess86-mnist.onnx"));
    const half = await weights.read(join(checkpoints, "pytorch-zip/yliess86-mnist-fp16.pt"));
    expect([...onnx.keys()]).toEqual([...half.keys()]);
    for (const [name, entry] of onnx) {
      expect(entry.dtype).toBe("f32");
      expect(entry.shape, name).toEqual(half.get(name)!.shape);
      const bits = Uint16Array.from(entry.data as Float32Array, weights.floatToHalf);
      expect(Buffer.compare(Buffer.from(bits.buffer), bytesOf(half.get(name)!)), name).toBe(0);
    }
  });

  it("reads an ONNX file of another writer, and refuses one whose data lie elsewhere", async () => {
    const { tensors, extras } = await weights.readCheckpoint(join(checkpoints, "onnx/wonnx-opt-mnist.onnx"));
    const shapes = [...tensors].map(([name, { dtype, shape }]) => `${name} ${dtype}[${shape}]`);
    expect(shapes.slice(0, 2)).toEqual(["Parameter87 f32[16,8,5,5]", "Parameter5 f32[8,1,5,5]"]);
    expect(extras.get("producer_name")).toBe("CNTK");
    await expect(weights.read(join(checkpoints, "onnx/zuramai-mnist.onnx"))).rejects.toThrow(
      /tensor "conv1\.weight" lies in a file of its own \(external data\), which Thaw does not read/,
    );
  });

  it("tells what Keras files say of their networks", async () => {
    const model = async (name: string) => (await weights.readCheckpoint(join(checkpoints, name))).model;
    const kind = async (name: string) => {
      const m = await model(name);
      return [m?.kerasVersion, m?.config?.["class_name"]];
    };
    expect(await kind("keras-h5/jitensinha98-malaria-keras2.2.4.h5")).toEqual(["2.2.4", "Sequential"]);
    expect(await kind("keras-h5/mdhabibi-malaria-keras2.14.h5")).toEqual(["2.14.0", "Sequential"]);
    expect(await kind("keras-h5/kimthangg-mnist-keras3.5.h5")).toEqual(["3.5.0", "Sequential"]);
    expect(await kind("keras-v3/mdhabibi-malaria-gap-keras2.15.keras")).toEqual(["2.15.0", "Functional"]);
    expect(await kind("keras-v3/gosolna-mnist-keras3.14.keras")).toEqual(["3.14.0", "Sequential"]);
  });

  it("writes a safetensors file of the reference library again byte for byte", async () => {
    for (const name of ["burn-mnist", "burn-multi_layer"]) {
      const bytes = new Uint8Array(readFileSync(join(checkpoints, `safetensors/${name}.safetensors`)));
      const { tensors, metadata } = weights.readSafetensors(bytes);
      const written = weights.writeSafetensors(tensors, { metadata: Object.fromEntries(metadata) });
      expect(Buffer.compare(written, bytes), name).toBe(0);
    }
  });
});

const pretrained = join(root, "weights");
const squeezenet = join(pretrained, "squeezenet1_1-imagenet");
/** The backbone with its batch norms' statistics, Dense 100 with bias, Dense 44 without. */
const TEACHABLE = 410_208 + 1280 * 100 + 100 + 100 * 44;
const hasWeights = existsSync(squeezenet);
const whereWeights = hasWeights ? "pretrained weights" : `pretrained weights (not run: no ${pretrained})`;

describe.skipIf(!hasWeights)(`weights: ${whereWeights}`, () => {
  it.each([
    ["squeezenet1_1-imagenet/squeezenet1_1.safetensors", 52, 1_235_496],
    ["squeezenet1_1-imagenet/squeezenet1_1.fp16.safetensors", 52, 1_235_496],
    ["mobilenetv2-1.0-torchvision-folded/mobilenetv2-1.0-torchvision-folded.safetensors", 105, 2_207_816],
    ["resnet18-trunk-to-layer3-folded/resnet18-trunk-to-layer3-folded.safetensors", 30, 2_780_544],
    ["squeezenet1_0-torchvision-malaria/squeezenet_e10.pt", 52, 736_450],
    ["squeezenet1.1-keras-notop-h5/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5", 50, 722_496],
    ["teachable-machine-mobilenetv2-0.35", 263, TEACHABLE],
  ])("reads %s: %i tensors, %i numbers", async (name, tensors, numbersInAll) => {
    const read = await weights.read(join(pretrained, name));
    expect(read.size).toBe(tensors);
    expect([...read.values()].reduce((n, e) => n + e.data.length, 0)).toBe(numbersInAll);
    for (const entry of read.values()) expect(weights.toFloat32(entry).every(Number.isFinite)).toBe(true);
  });

  it("tells labels, preprocessing and layers of a Teachable Machine export", async () => {
    const folder = join(pretrained, "teachable-machine-mobilenetv2-0.35");
    const { format, model, extras } = await weights.readCheckpoint(join(folder, "model.json"));
    expect(format).toBe("teachable-machine");
    expect(model?.labels).toHaveLength(44);
    expect(model?.labels?.[2]).toBe("Maize Healthy");
    expect(extras.get("labels")).toEqual(model?.labels);
    expect(model?.preprocessing).toEqual({
      ...{ resize: 224, crop: 224, interpolation: "bilinear" },
      ...{ mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
    });
    expect(model?.config?.["class_name"]).toBe("Sequential");
  });

  it("rounds 1.2 million weights to half precision as NumPy did", async () => {
    const full = await weights.read(join(squeezenet, "squeezenet1_1.safetensors"));
    const half = await weights.read(join(squeezenet, "squeezenet1_1.fp16.safetensors"));
    for (const [name, entry] of full) {
      const bits = Uint16Array.from(entry.data as Float32Array, weights.floatToHalf);
      expect(Buffer.compare(Buffer.from(bits.buffer), bytesOf(half.get(name)!)), name).toBe(0);
    }
  });
});
