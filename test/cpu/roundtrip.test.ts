// Round trips: torchvision's weights as torch.save writes them → Thaw → each writer → that format's own reader (PyTorch,
// onnxruntime, TensorFlow.js), and the same logits: to the bit in PyTorch, else to 1e-5 of the largest. An f16 file is
// held against the same weights rounded to f16. Then real weights against their golden outputs.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn, onnxBytes, tfjsFiles, weights } from "../../src/index.ts";
import { runOnnx, runTfjs } from "../lib/engines.ts";
import { expectClose } from "../lib/export_compare.ts";
import { checkOnnx } from "../lib/onnx_check.ts";

const SIDE = fileURLToPath(new URL("../fixtures/export/torch_side.py", import.meta.url));
const torch = spawnSync("/usr/bin/python3", ["-c", "import torch, torchvision"]).status === 0;
const noTorch = torch ? "" : " (not run: no torchvision in /usr/bin/python3)";
const python = (...args: string[]) =>
  execFileSync("/usr/bin/python3", [SIDE, ...args], { encoding: "utf8" }).trim();

const folder = mkdtempSync(join(tmpdir(), "thaw-roundtrip-"));
beforeAll(() => init({ device: "cpu" }));
afterAll(async () => {
  await close();
  rmSync(folder, { recursive: true });
});
const at = (name: string) => join(folder, name);
const floats = (name: string) => new Float32Array(new Uint8Array(readFileSync(at(name))).buffer);

/** At a usual side for small pictures, or an odd one. */
const FEW = [
  ["densenet121", 64],
  ["resnet18", 65],
  ["squeezenet1_1", 64],
  ["mobilenet_v2", 65],
  ["efficientnet_b0", 64],
] as const;
const REST = [
  ["resnet50", 64],
  ["squeezenet1_0", 65],
  ["vgg11_bn", 48],
  ["efficientnet_b3", 65],
] as const;
const ARCHITECTURES = process.env.THAW_TEST === "all" ? [...FEW, ...REST] : FEW;

describe.skipIf(!torch)(`round trips${noTorch}`, () => {
  describe.each(ARCHITECTURES)("%s", (name, side) => {
    const shape = [2, 3, side, side];
    let model: models.Classifier;
    beforeAll(async () => {
      python("make", name, folder, String(side));
      model = nn.init.skipInit(() => models.create(name, { numClasses: 10 }));
      model.loadStateDict(await weights.read(at("model.pth")));
    }, 120_000);

    it(".pth and .safetensors load strictly in torchvision and give the same bits, f32 and f16", async () => {
      const state = await weights.read(at("model.pth"));
      const files = ["pth", "safetensors"].flatMap((end) => [`full.${end}`, `half.${end}`]);
      for (const file of files)
        await weights.write(at(file), state, file.startsWith("half") ? { dtype: "f16" } : {});
      await weights.write(at("model-state.pth"), model.stateDict());
      const all = [...files, "model-state.pth"];
      const lines = python("check", name, folder, ...all.map(at)).split("\n");
      expect(lines).toEqual(all.map((f) => `${f} ${f.startsWith("half") ? "f16" : "f32"}`));
    });

    it("ONNX gives the same logits, f32 and f16, and loads back into Thaw", async () => {
      const options = { inputShape: shape.slice(1) };
      const full = await onnxBytes(model, options);
      const { opset, tensors } = checkOnnx(full);
      expect(opset).toBe(17);
      expectClose((await runOnnx(full, floats("x.f32"), shape)).data, floats("logits.f32"));
      const half = await onnxBytes(model, { ...options, dtype: "f16" });
      checkOnnx(half);
      expectClose((await runOnnx(half, floats("x.f32"), shape)).data, floats("logits16.f32"));
      const { missing, unexpected } = nn.init
        .skipInit(() => models.create(name, { numClasses: 10 }))
        .loadStateDict(await weights.read(full));
      expect([missing, unexpected]).toEqual([[], []]);
      expect(tensors.size).toBe((await weights.read(full)).size);
    });

    it("TensorFlow.js gives the same logits, f32 and f16", async () => {
      const options = { inputShape: shape.slice(1) };
      const full = await runTfjs(await tfjsFiles(model, options), floats("x.f32"), shape);
      expectClose(full.data, floats("logits.f32"));
      const half = await runTfjs(
        await tfjsFiles(model, { ...options, dtype: "f16" }),
        floats("x.f32"),
        shape,
      );
      expectClose(half.data, floats("logits16.f32"));
    });
  });
});

const data = process.env.THAW_DATA ?? resolve(fileURLToPath(import.meta.url), "../../../../shared/data");
const real = join(data, "weights/squeezenet1_1-imagenet");
const here = existsSync(real);

/** The float32 numbers of an .npy file. */
function npy(path: string): Float32Array {
  const bytes = readFileSync(path);
  const length = bytes.readUInt16LE(8);
  expect(bytes.subarray(10, 10 + length).toString("latin1")).toMatch(
    /'descr': '<f4', 'fortran_order': False/,
  );
  return new Float32Array(new Uint8Array(bytes.subarray(10 + length)).buffer);
}

/** The golden pictures as [4, 3, 224, 224], normalised. */
async function goldenPictures({ mean, std }: models.Preprocessing): Promise<Float32Array> {
  const out = new Float32Array(4 * 3 * 224 * 224);
  for (const [i, name] of ["001", "281", "504", "817"].entries()) {
    const path = join(data, `weights/golden-images/${name}.png`);
    const pixels = await sharp(path).removeAlpha().raw().toBuffer();
    for (let p = 0; p < 224 * 224; p++)
      for (let c = 0; c < 3; c++)
        out[(i * 3 + c) * 224 * 224 + p] = (pixels[p * 3 + c] / 255 - mean[c]) / std[c];
  }
  return out;
}

describe.skipIf(!here)(`real weights${here ? "" : ` (not run: no ${real})`}`, () => {
  const shape = [4, 3, 224, 224];

  it("SqueezeNet 1.1 of ImageNet as ONNX and as TensorFlow.js gives its golden logits", async () => {
    const model = nn.init.skipInit(() => models.squeezenet1_1());
    model.loadStateDict(await weights.read(join(real, "squeezenet1_1.safetensors")));
    const x = await goldenPictures(model.preprocessing);
    const golden = npy(join(real, "golden/logits.npy"));
    expectClose((await runOnnx(await onnxBytes(model), x, shape)).data, golden);
    expectClose((await runTfjs(await tfjsFiles(model), x, shape)).data, golden);
  });

  const exported = join(data, "weights/teachable-machine-mobilenetv2-0.35");

  it.skipIf(!existsSync(exported))(
    "a Teachable Machine export as ONNX gives its own probabilities",
    async () => {
      const { tensors, model: file } = await weights.readCheckpoint(exported);
      const made = models.keras.teachableMachine({
        topology: file?.config,
        weights: tensors,
        labels: file?.labels ?? [],
      });
      const x = await goldenPictures(made.preprocessing);
      const bytes = await onnxBytes(made.model, {
        classes: made.classes,
        preprocessing: made.preprocessing,
        softmax: true,
      });
      expectClose((await runOnnx(bytes, x, shape)).data, npy(join(exported, "golden/probabilities.npy")));
    },
  );
});
