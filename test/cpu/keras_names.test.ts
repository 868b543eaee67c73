// Names and layouts of all kinds of Keras files, for every kind of layer; what of a file fits nothing, or is no f32.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn } from "../../src/index.ts";
import { exportState, type StateEntry } from "../../src/nn/index.ts";
import { entry, fileOf, NAMINGS, type Naming } from "../lib/keras_files.ts";

const { keras } = models;
const blank = nn.init.skipInit;

beforeAll(() => init({ device: "cpu", seed: 5 }));
afterAll(close);

/** A small network of each kind of layer. */
const small = () => keras.mobilenetV2({ alpha: 0.1, numClasses: 3 });

describe("names", () => {
  it.each(Object.entries(NAMINGS))("%s", async (_name, naming) => {
    const model = blank(small);
    const file = fileOf(model, naming);
    const plain = fileOf(model, NAMINGS["TensorFlow.js"]);
    model.loadStateDict(file);
    const got = await exportState(model);
    model.loadStateDict(plain);
    const want = await exportState(model);
    for (const [key, { data }] of want) expect(`${got.get(key)?.data}`, key).toBe(`${data}`);
    // Layouts by hand: [h, w, in, out] → [out, in, h, w], [h, w, channels, 1] → [channels, 1, h, w], [in, out] → [out, in].
    const conv = plain.get("Conv1/kernel") as StateEntry;
    const [h, w, i, o] = [2, 1, 2, 5];
    const [, , inputs, outputs] = conv.shape;
    const at = ((h * 3 + w) * inputs + i) * outputs + o;
    expect(want.get("features.Conv1.Conv1.weight")?.data[((o * inputs + i) * 3 + h) * 3 + w]).toBe(
      conv.data[at],
    );
    const deep = plain.get("block_1_depthwise/depthwise_kernel") as StateEntry;
    const channels = deep.shape[2];
    expect(want.get("features.block_1.block_1_depthwise.weight")?.data[(o * 3 + h) * 3 + w]).toBe(
      deep.data[(h * 3 + w) * channels + o],
    );
    expect(want.get("classifier.weight")?.data[1280 + 7]).toBe(
      (plain.get("predictions/kernel") as StateEntry).data[7 * 3 + 1],
    );
  });

  it("of Keras 1 and of layers that were called conv1/conv", async () => {
    const vgg = () => blank(() => keras.vgg16({ includeTop: false }));
    const naming: Naming = (layer, weight) => `${layer}/${layer}_${weight === "kernel" ? "W" : "b"}_1:0`;
    const old = vgg();
    old.loadStateDict(fileOf(old, naming));
    const now = vgg();
    now.loadStateDict(fileOf(now, NAMINGS["TensorFlow.js"]));
    const [a, b] = [await exportState(old), await exportState(now)];
    for (const name of ["features.block1.block1_conv1.weight", "features.block5.block5_conv3.bias"])
      expect(`${a.get(name)?.data}`).toBe(`${b.get(name)?.data}`);
    const dense = blank(() => keras.densenet121({ numClasses: 2 }));
    const slashed: Naming = (layer, weight) => {
      const own = layer.replace("conv1_", "conv1/").replace("predictions", "fc1000");
      return `${own}/${own}/${weight}:0`;
    };
    const names = fileOf(dense, slashed);
    expect(names.has("conv1/bn/conv1/bn/gamma:0") && names.has("bn/bn/gamma:0")).toBe(true);
    expect(names.has("conv2_block1_0_bn/conv2_block1_0_bn/gamma:0")).toBe(true);
    dense.loadStateDict(names);
    const state = await exportState(dense);
    const same = (key: string, name: string) =>
      expect(`${state.get(key)?.data}`).toBe(`${names.get(name)?.data}`);
    same("features.conv1.conv1_bn.weight", "conv1/bn/conv1/bn/gamma:0");
    same("features.top.bn.weight", "bn/bn/gamma:0");
    same("classifier.bias", "fc1000/fc1000/bias:0");
  });

  it("leave optimizers out, report what fits nothing, and take other dense layers for a head", () => {
    const model = blank(small);
    const file = fileOf(model, NAMINGS["Keras 2, weights only"]);
    file.set("optimizer_weights/Adam/Conv1/kernel/m:0", entry([3, 3, 3, 8]));
    model.loadStateDict(file);
    file.set("extra/extra/gamma:0", entry([4]));
    expect(() => model.loadStateDict(file, { source: "a.h5" })).toThrow(
      "a.h5 does not fit the model: unexpected extra/extra/gamma:0",
    );
    file.delete("extra/extra/gamma:0");
    for (const w of ["kernel", "bias"]) {
      file.delete(`predictions/predictions/${w}:0`);
      file.set(`dense_2/dense_2/${w}:0`, entry(w === "kernel" ? [1280, 5] : [5]));
    }
    expect(() => model.loadStateDict(file)).toThrow(
      "missing classifier.weight, classifier.bias; unexpected classifier.dense_2/dense_2/kernel:0",
    );
    const report = model.loadStateDict(file, { except: ["classifier"] });
    expect(report.loaded).toHaveLength(model.stateDict().size - 2 - 52);
    file.set("again/Conv1/kernel:0", entry([3, 3, 3, 8]));
    expect(() => model.loadStateDict(file, { except: ["classifier"] })).toThrow(
      "two tensors for features.Conv1.Conv1.weight: Conv1/Conv1/kernel:0 and again/Conv1/kernel:0",
    );
  });

  it("of halves and doubles become f32, and EfficientNet's normalisation any shape", async () => {
    const model = blank(() => keras.efficientnetB0({ numClasses: 2 }));
    const file = fileOf(model, NAMINGS["Keras 2, weights only"]);
    const name = "stem_bn/stem_bn/gamma:0";
    file.set(name, { shape: [32], dtype: "f64", data: Float64Array.from({ length: 32 }, (_, i) => i / 3) });
    const kernel = file.get("stem_conv/stem_conv/kernel:0") as StateEntry;
    file.set("stem_conv/stem_conv/kernel:0", {
      ...kernel,
      dtype: "f16",
      data: new Uint16Array(864).fill(0x3e00),
    });
    model.loadStateDict(file);
    const state = await exportState(model);
    expect(state.get("features.stem.stem_bn.weight")?.data[4]).toBe(Math.fround(4 / 3));
    expect(state.get("features.stem.stem_conv.weight")?.data[100]).toBe(1.5);
    const variance = file.get("normalization/normalization/variance:0") as StateEntry;
    expect(`${state.get("features.stem.normalization.variance")?.data}`).toBe(`${variance.data}`);
  });
});
