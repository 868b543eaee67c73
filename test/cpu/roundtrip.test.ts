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
import { close, init, models, nn, onnxBytes, type Tensor, tfjsFiles, weights } from "../../src/index.ts";
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

/** Milliseconds: VGG has half a gigabyte of weights. */
const LIMIT = 600_000;

describe.skipIf(!torch)(`round trips${noTorch}`, () => {
  describe.each(ARCHITECTURES)("%s", (name, side) => {
    const shape = [2, 3, side, side];
    let model: models.Classifier;
    beforeAll(async () => {
      python("make", name, folder, String(side));
      model = nn.init.skipInit(() => models.create(name, { numClasses: 10 }));
      model.loadStateDict(await weights.read(at("model.pth")));
    }, LIMIT);

    it(
      ".pth and .safetensors load strictly in torchvision and give the same bits, f32 and f16",
      async () => {
        const state = await weights.read(at("model.pth"));
        const files = ["pth", "safetensors"].flatMap((end) => [`full.${end}`, `half.${end}`]);
        for (const file of files)
          await weights.write(at(file), state, file.startsWith("half") ? { dtype: "f16" } : {});
        await weights.write(at("model-state.pth"), model.stateDict());
        const all = [...files, "model-state.pth"];
        const lines = python("check", name, folder, ...all.map(at)).split("\n");
        expect(lines).toEqual(all.map((f) => `${f} ${f.startsWith("half") ? "f16" : "f32"}`));
      },
      LIMIT,
    );

    it(
      "ONNX gives the same logits, f32 and f16, and loads back into Thaw",
      async () => {
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
      },
      LIMIT,
    );

    it(
      "TensorFlow.js gives the same logits, f32 and f16",
      async () => {
        const options = { inputShape: shape.slice(1) };
        const full = await runTfjs(await tfjsFiles(model, options), floats("x.f32"), shape);
        expectClose(full.data, floats("logits.f32"));
        const half = await runTfjs(
          await tfjsFiles(model, { ...options, dtype: "f16" }),
          floats("x.f32"),
          shape,
        );
        expectClose(half.data, floats("logits16.f32"));
      },
      LIMIT,
    );
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

/** Square pictures as [n, 3, side, side], normalised. */
async function pictures(
  files: readonly string[],
  side: number,
  p: models.Preprocessing,
): Promise<Float32Array> {
  const plane = side * side;
  const out = new Float32Array(files.length * 3 * plane);
  for (const [i, file] of files.entries()) {
    const pixels = await sharp(file).removeAlpha().toColourspace("srgb").raw().toBuffer();
    expect(pixels.length).toBe(3 * plane);
    for (let at = 0; at < plane; at++)
      for (let c = 0; c < 3; c++)
        out[(i * 3 + c) * plane + at] = (pixels[at * 3 + c] / 255 - p.mean[c]) / p.std[c];
  }
  return out;
}

const goldenPictures = (p: models.Preprocessing) =>
  pictures(
    ["001", "281", "504", "817"].map((name) => join(data, `weights/golden-images/${name}.png`)),
    224,
    p,
  );

/** ResNet for CIFAR-10 (He et al. 2016) with option A: a shortcut has every other pixel, and zeros as new channels. */
class Block extends nn.Module {
  readonly wider: boolean;
  conv1: nn.Conv2d;
  bn1: nn.BatchNorm2d;
  conv2: nn.Conv2d;
  bn2: nn.BatchNorm2d;

  constructor(inputs: number, width: number) {
    super();
    this.wider = inputs !== width;
    const o = { padding: 1, bias: false };
    this.conv1 = new nn.Conv2d(inputs, width, 3, { ...o, stride: this.wider ? 2 : 1 });
    this.bn1 = new nn.BatchNorm2d(width);
    this.conv2 = new nn.Conv2d(width, width, 3, o);
    this.bn2 = new nn.BatchNorm2d(width);
  }

  forward(x: Tensor): Tensor {
    const y = this.bn2.forward(this.conv2.forward(this.bn1.forward(this.conv1.forward(x)).relu()));
    const half = x.shape[1] / 2;
    const short = this.wider ? nn.functional.avgPool2d(x, 1, { stride: 2 }).pad([0, 0, 0, 0, half, half]) : x;
    return y.add(short).relu();
  }
}

class ResNet20 extends nn.Module {
  conv1 = new nn.Conv2d(3, 16, 3, { padding: 1, bias: false });
  bn1 = new nn.BatchNorm2d(16);
  layer1 = new nn.Sequential(new Block(16, 16), new Block(16, 16), new Block(16, 16));
  layer2 = new nn.Sequential(new Block(16, 32), new Block(32, 32), new Block(32, 32));
  layer3 = new nn.Sequential(new Block(32, 64), new Block(64, 64), new Block(64, 64));
  linear = new nn.Linear(64, 10);

  forward(x: Tensor): Tensor {
    const stem = this.bn1.forward(this.conv1.forward(x)).relu();
    const maps = this.layer3.forward(this.layer2.forward(this.layer1.forward(stem)));
    return this.linear.forward(maps.mean([2, 3]));
  }
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

  const golden = join(data, "checkpoints/golden-resnet20-cifar10");

  it.skipIf(!existsSync(golden))(
    "a network of the user's own (ResNet-20) gives its golden logits",
    async () => {
      const net = nn.init.skipInit(() => new ResNet20());
      net.loadStateDict(await weights.read(join(data, "checkpoints/pytorch-legacy/resnet20-12fca82f.th")));
      const { images, resnet20_logits: rows } = JSON.parse(
        readFileSync(join(golden, "golden.json"), "utf8"),
      ) as {
        images: string[];
        resnet20_logits: number[][];
      };
      const x = await pictures(
        images.map((name) => join(golden, name)),
        32,
        models.IMAGENET,
      );
      const size = [images.length, 3, 32, 32];
      const options = { inputShape: [3, 32, 32] };
      expectClose((await runOnnx(await onnxBytes(net, options), x, size)).data, rows.flat());
      expectClose((await runTfjs(await tfjsFiles(net, options), x, size)).data, rows.flat());
    },
  );
});
