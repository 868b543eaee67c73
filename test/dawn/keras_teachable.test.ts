// A real Teachable Machine export gives its own answers: features, probabilities and logits of four photographs as
// PyTorch computed them from its files, to 1e-5 of the largest |logit|. And its backbone trains, which Teachable Machine
// itself cannot do: a step with everything open moves the first convolution and lowers the loss.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { normalizePictures } from "../../src/data/index.ts";
import { close, init, models, nn, noGrad, optim, type Tensor, tensor } from "../../src/index.ts";
import { applyPolicy } from "../../src/train/policy.ts";
import { exportFiles, folder, goldenPictures, here, npy } from "../lib/teachable.ts";
import { testOptions } from "../lib/test_options.ts";

beforeAll(async () => {
  await init(testOptions());
});
afterAll(close);

const load = () => models.keras.teachableMachine(exportFiles());
const largest = (v: ArrayLike<number>) => Array.from(v).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
const apart = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return largest(Array.from(a, (v, i) => v - b[i]));
};

describe.skipIf(!here)(here ? "a Teachable Machine export" : `(not run: no ${folder})`, () => {
  it("gives its golden features, probabilities and logits", async () => {
    const { model, preprocessing } = load();
    const x = normalizePictures(tensor(await goldenPictures(), [4, 224, 224, 3]), preprocessing);
    const maps = noGrad(() => model.trunk.forward(x));
    const features = nn.functional.adaptiveAvgPool2d(maps, 1).flatten(1);
    const logits = model.forward(x);
    const wanted = npy(`${folder}/golden/features.npy`);
    const off = apart(await features.data(), wanted.data) / largest(wanted.data);
    const top = largest(await logits.data());
    const p = npy(`${folder}/golden/probabilities.npy`);
    const offP = apart(await logits.softmax(1).data(), p.data);
    // Logits up to a constant a row are the logarithms of the probabilities, each of which is known to 2⁻²⁴ of itself.
    const offLog = apart(await logits.logSoftmax(1).data(), Float64Array.from(p.data, Math.log)) / top;
    console.log(
      `features ${off.toExponential(1)}, probabilities ${offP.toExponential(1)}, logits ${offLog.toExponential(1)}`,
    );
    expect(off).toBeLessThan(1e-5);
    expect(offP).toBeLessThan(1e-5);
    expect(offLog).toBeLessThan(1e-5);
  });

  it("knows its head, labels, blocks and preprocessing", () => {
    const { model, head, classes, preprocessing } = load();
    expect(head).toBe("mlp:100");
    expect(classes).toHaveLength(44);
    expect(classes[1]).toBe("Maize Common Rust");
    expect(model.architecture).toBe("keras.mobilenetV2_0.35");
    expect(model.trunk.length).toBe(19);
    expect(preprocessing).toEqual({
      resize: 224,
      crop: 224,
      interpolation: "bilinear",
      mean: [0.5, 0.5, 0.5],
      std: [0.5, 0.5, 0.5],
    });
    const open = applyPolicy(model, { freeze: ["trunk"], unfrozenBlocks: 1 });
    expect(open.trainable).toEqual([
      "features.Conv_1.Conv_1.weight",
      "features.Conv_1.Conv_1_bn.weight",
      "features.Conv_1.Conv_1_bn.bias",
      "classifier.0.weight",
      "classifier.0.bias",
      "classifier.2.weight",
      "classifier.2.bias",
    ]);
  });

  it("goes on from there with its backbone unfrozen", async () => {
    const { model, preprocessing } = load();
    const pictures = (await goldenPictures()).filter((_, i) => i < 2 * 224 * 224 * 3);
    const x = normalizePictures(tensor(pictures, [2, 224, 224, 3]), preprocessing);
    const y = tensor(Int32Array.of(3, 20));
    model.train();
    const first = model.stateDict().get("features.Conv1.Conv1.weight") as Tensor;
    const before = await first.data();
    const opt = new optim.SGD(model.parameters(), { lr: 1e-3 });
    const losses: number[] = [];
    for (let i = 0; i < 2; i++) {
      const loss = nn.functional.crossEntropy(model.forward(x), y);
      opt.zeroGrad();
      loss.backward();
      await opt.step();
      losses.push(await loss.item());
    }
    expect(losses[1]).toBeLessThan(losses[0]);
    expect(apart(await first.data(), before)).toBeGreaterThan(0);
  });
});
