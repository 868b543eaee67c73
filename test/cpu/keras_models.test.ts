// Keras' models without a device: what TensorFlow.js' comparison cannot see (eps, momentum, published counts), a Flatten's
// order against TensorFlow.js, heads, refusals, dropped branches.
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn, type Tensor, tensor } from "../../src/index.ts";
import { KerasModel } from "../../src/models/keras/classifier.ts";
import { glorot } from "../../src/models/keras/init.ts";
import { SameConv2d, samePadding } from "../../src/models/keras/layers.ts";
import type { StateEntry } from "../../src/nn/index.ts";
import { uniforms } from "../lib/counter.ts";
import { fileOf, NAMINGS } from "../lib/keras_files.ts";
import { channelsFirst } from "../lib/keras_tfjs_run.ts";

const { keras } = models;
const blank = nn.init.skipInit;

beforeAll(async () => {
  await tf.setBackend("cpu");
  await init({ device: "cpu", seed: 5 });
});
afterAll(close);

/** Numbers of trainable and other weights as keras.io states them: 3,538,984 = 3,504,872 + 34,112. */
describe.each([
  ["keras.vgg16", 138_357_544, 0, undefined],
  ["keras.mobilenetV2", 3_504_872, 34_112, { eps: 1e-3, momentum: 1 - 0.999 }],
  // As in a Teachable Machine export: 410,208 without the 1,281,000 of its top.
  ["keras.mobilenetV2_0.35", 1_677_128, 14_080, { eps: 1e-3, momentum: 1 - 0.999 }],
  // Of its 42,023 others one is the count of pictures behind the normalisation, which only adapting needs.
  ["keras.efficientnetB0", 5_288_548, 42_022, { eps: 1e-3, momentum: 1 - 0.99 }],
  ["keras.densenet121", 7_978_856, 83_648, { eps: 1.001e-5, momentum: 1 - 0.99 }],
] as const)("%s", (name, trainable, others, batchNorm) => {
  it("has the published numbers of weights, and Keras' batch norms", () => {
    const model = blank(() => models.create(name));
    expect(model.architecture).toBe(name);
    expect(model.parameters().reduce((n, p) => n + p.numel, 0)).toBe(trainable);
    expect([...model.namedBuffers()].reduce((n, [, b]) => n + b.numel, 0)).toBe(others);
    const norms = model.modules().filter((m) => m instanceof nn.BatchNorm2d);
    expect(norms.length > 0).toBe(batchNorm !== undefined);
    for (const m of norms) expect({ eps: m.eps, momentum: m.momentum }).toEqual(batchNorm);
  });
});

it("pads as TensorFlow does", () => {
  // [extent, kernel, stride] → zeros before and behind; tf.nn.convolution's own formula.
  expect(samePadding(224, 3, 2)).toEqual([0, 1]);
  expect(samePadding(75, 3, 2)).toEqual([1, 1]);
  expect(samePadding(56, 5, 2)).toEqual([1, 2]);
  expect(samePadding(7, 5, 2)).toEqual([2, 2]);
  expect(samePadding(14, 5, 1)).toEqual([2, 2]);
  expect(samePadding(1, 1, 2)).toEqual([0, 0]);
});

it("flattens channels last, as Keras does, before a dense layer", async () => {
  const square = tf.input({ shape: [4, 4, 3] });
  const conv = tf.layers.conv2d({ name: "conv", filters: 5, kernelSize: 3, strides: 2, padding: "same" });
  const flat = tf.layers.flatten().apply(conv.apply(square) as tf.SymbolicTensor);
  const out = tf.layers.dense({ name: "fc1", units: 4 }).apply(flat as tf.SymbolicTensor);
  const theirs = tf.model({ inputs: square, outputs: out as tf.SymbolicTensor });
  const file = new Map<string, StateEntry>(
    theirs.weights.map((w) => [
      w.originalName,
      { shape: w.shape as number[], dtype: "f32", data: w.read().dataSync() as Float32Array },
    ]),
  );
  const parts = {
    architecture: "flat",
    preprocessing: models.IMAGENET,
    features: new nn.Sequential({ conv: new SameConv2d(3, 5, 3, { stride: 2, bias: true }) }),
    width: 5,
    top: (n: number) => new nn.Sequential({ fc1: new nn.Linear(20, n) }),
    flatten: 2,
    init: glorot,
  };
  const model = new KerasModel(parts, { numClasses: 4 });
  model.loadStateDict(file);
  const values = Float32Array.from(uniforms(9, 9, 2 * 4 * 4 * 3));
  const want = (theirs.predict(tf.tensor4d(values, [2, 4, 4, 3])) as tf.Tensor).dataSync();
  const got = await model.forward(tensor(channelsFirst(values, [2, 4, 4, 3]), [2, 3, 4, 4])).data();
  got.forEach((v, i) => {
    expect(v).toBeCloseTo(want[i], 5);
  });
});

/** A small network of each kind of layer. */
const small = () => keras.mobilenetV2({ alpha: 0.1, numClasses: 3 });

describe("heads", () => {
  it("without top give features or maps, with classes a dense layer behind the pool", async () => {
    const x = tensor(new Float32Array(3 * 32 * 32).fill(0.5), [1, 3, 32, 32]);
    const shape = (options: object) =>
      blank(() => keras.mobilenetV2({ alpha: 0.1, includeTop: false, ...options }))
        .eval()
        .forward(x).shape;
    expect(shape({})).toEqual([1, 1280]);
    expect(shape({ pooling: "max" })).toEqual([1, 1280]);
    expect(shape({ pooling: null })).toEqual([1, 1280, 1, 1]);
    expect(shape({ numClasses: 7 })).toEqual([1, 7]);
  });

  it("start afresh with Keras' values where a file has other classes or no top", async () => {
    const file = fileOf(blank(small), NAMINGS["TensorFlow.js"]);
    const five = keras.mobilenetV2({ alpha: 0.1, numClasses: 5, weights: file });
    const head = await five.stateDict().get("classifier.weight")?.data();
    // Glorot: uniform in ±√(6 / 1285), which 6,400 numbers fill to a hundredth.
    const bound = Math.sqrt(6 / 1285);
    const top = Math.max(...(head as Float32Array).map(Math.abs));
    expect(top).toBeLessThanOrEqual(bound);
    expect(top).toBeGreaterThan(0.98 * bound);
    expect(() => keras.mobilenetV2({ alpha: 0.1, weights: file })).toThrow("wrong shape classifier.weight");
    for (const w of ["kernel", "bias"]) file.delete(`predictions/${w}`);
    const fresh = keras.mobilenetV2({ alpha: 0.1, numClasses: 3, weights: file });
    const drawn = (await (fresh.stateDict().get("classifier.weight") as Tensor).data()) as Float32Array;
    expect(Math.max(...drawn)).toBeGreaterThan(0.9 * Math.sqrt(6 / 1283));
  });

  it("refuse what cannot be", () => {
    const call = (options: unknown) => () => keras.mobilenetV2(options as object);
    expect(call({ alhpa: 1 })).toThrow("keras.mobilenetV2: there is no option alhpa; did you mean alpha?");
    expect(call({ alpha: 0 })).toThrow("alpha must be a number above 0, got 0");
    expect(call({ includeTop: 1 })).toThrow("includeTop must be true or false, got 1");
    expect(call({ pooling: "avg" })).toThrow("pooling is of models without top; add includeTop: false");
    expect(call({ includeTop: false, pooling: "sum" })).toThrow('pooling must be "avg" or "max", got "sum"');
    expect(call({ includeTop: false, pooling: null, numClasses: 2 })).toThrow('needs pooling "avg" or "max"');
    expect(call({ weights: "imagenet" })).toThrow(
      "weights must be a state dict; pass await weights.read(file)",
    );
    expect(() => keras.efficientnetB0({ rescale: "no" as "none" })).toThrow(
      'rescale must be "imagenet" or "none"',
    );
    expect(() => keras.vgg16({ imageSize: 16 })).toThrow(
      "imageSize must be a whole number of at least 32, got 16",
    );
    const small = blank(() => keras.vgg16({ imageSize: 64, numClasses: 2 }));
    expect(() => small.forward(tensor(new Float32Array(3 * 32 * 32), [1, 3, 32, 32]))).toThrow(
      "keras.vgg16: its first dense layer is for maps of 2×2, but these pictures give 1×1",
    );
  });
});

describe("EfficientNet", () => {
  it("scales bytes as Keras does with published weights, and by 255 alone without", async () => {
    const x = tensor(Float32Array.of(0, 51, 255), [1, 3, 1, 1]);
    const prepared = (rescale: "imagenet" | "none") => {
      const model = blank(() => keras.efficientnetB0({ rescale, numClasses: 2 }));
      const stem = model.features[0] as nn.Sequential;
      let y: Tensor = x;
      for (const [name, layer] of stem.namedChildren())
        if (/rescaling|normalization/.test(name)) y = (layer as nn.Sequential).forward(y);
      return y.data();
    };
    const want = [(0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225];
    (await prepared("imagenet")).forEach((v, i) => {
      expect(v).toBeCloseTo(want[i], 5);
    });
    expect([...(await prepared("none"))]).toEqual([0, Math.fround(0.2), 1]);
  });

  it("drops whole branches in training, and scales those that it keeps", async () => {
    const model = blank(() => keras.efficientnetB0({ numClasses: 2 })).eval();
    const block = [...model.features].at(-3) as nn.Module & { drop: number; forward(x: Tensor): Tensor };
    expect(block.drop).toBeCloseTo((0.2 * 14) / 16, 12);
    // With no weights but a bias of 1 at its end the branch is 1, whatever comes.
    const bias = [...block.namedParameters()].find(
      ([n]) => n === "block6d_project_bn.bias",
    )?.[1] as nn.Parameter;
    nn.init.ones(bias);
    block.training = true;
    const y = await block.forward(tensor(new Float32Array(200 * 192), [200, 192, 1, 1])).data();
    const rows = Array.from({ length: 200 }, (_, i) => new Set(y.subarray(i * 192, (i + 1) * 192)));
    const kept = Math.fround(1 / (1 - block.drop));
    for (const row of rows) {
      expect(row.size).toBe(1);
      expect([0, kept]).toContain([...row][0]);
    }
    // 35 of 200 with a deviation of 5.4.
    const dropped = rows.filter((r) => r.has(0)).length;
    expect(Math.abs(dropped - 35)).toBeLessThan(22);
  });

  it("starts with Keras' variances", async () => {
    const model = keras.efficientnetB0({ numClasses: 50 });
    const spread = async (name: string) => {
      const w = (await (model.stateDict().get(name) as Tensor).data()) as Float32Array;
      const square = w.reduce((s, v) => s + v * v, 0) / w.length;
      return { std: Math.sqrt(square), top: w.reduce((m, v) => Math.max(m, Math.abs(v)), 0) };
    };
    // Variance 2 / fanOut, cut at two deviations of the normal distribution before the cut.
    const conv = await spread("features.top.top_conv.weight");
    const wanted = Math.sqrt(2 / 1280);
    expect(conv.std / wanted).toBeCloseTo(1, 2);
    expect(conv.top).toBeLessThanOrEqual((2 * wanted) / 0.8796);
    const deep = await spread("features.block6d.block6d_dwconv.weight");
    expect(deep.std / Math.sqrt(2 / 25)).toBeCloseTo(1, 1);
    const dense = await spread("classifier.predictions.weight");
    expect(dense.top).toBeLessThanOrEqual(1 / Math.sqrt(50));
    expect(dense.std / (1 / Math.sqrt(150))).toBeCloseTo(1, 1);
  });
});
