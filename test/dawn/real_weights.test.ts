// Published weights give the outputs that PyTorch computed with them (golden files beside them; SOURCES.md there says
// what each is): SqueezeNet 1.1 and 1.0 whole, trunks of MobileNetV2 and ResNet-18 whose batch norms were folded into
// biases, and ResNet-20/56 for CIFAR-10, which a user defines with nn. Not run where the files are not.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { normalizePictures, prepare, stackPictures } from "../../src/data/prepare.ts";
import {
  close,
  compile,
  concat,
  data,
  freeze,
  init,
  models,
  nn,
  noGrad,
  type Tensor,
  weights,
  zeros,
} from "../../src/index.ts";
import { isHere, offBy, pictures, readNpy, realPath } from "../lib/real_data.ts";
import { testOptions } from "../lib/test_options.ts";

beforeAll(() => init(testOptions()));
afterAll(close);

const { mean, std } = models.IMAGENET;
const GOLDEN = ["001", "281", "504", "817"].map((n) => realPath("weights", "golden-images", `${n}.png`));
const golden = (folder: string, name: string) =>
  readNpy(realPath("weights", folder, "golden", `${name}.npy`));

/** Means over the maps, [N, C]. */
const pooled = (maps: Tensor) => nn.functional.adaptiveAvgPool2d(maps, 1).flatten(1);

function top1(logits: ArrayLike<number>, row: number, classes: number): number {
  let best = 0;
  for (let c = 1; c < classes; c++) if (logits[row * classes + c] > logits[row * classes + best]) best = c;
  return best;
}

const FOLDER = "squeezenet1_1-imagenet";
describe.skipIf(!isHere("weights", FOLDER))("SqueezeNet 1.1 of ImageNet", () => {
  it("gives its golden features and logits", async () => {
    const dict = await weights.read(realPath("weights", FOLDER, "squeezenet1_1.safetensors"));
    const model = models.squeezenet1_1({ weights: dict }).eval();
    const x = await pictures(GOLDEN, mean, std);
    const features = await noGrad(() => pooled(model.features.forward(x))).data();
    expect(offBy(features, golden(FOLDER, "features").data)).toBeLessThan(1e-5);
    const logits = await noGrad(() => model.forward(x)).data();
    expect(offBy(logits, golden(FOLDER, "logits").data)).toBeLessThan(1e-5);
    expect([0, 1, 2, 3].map((row) => top1(logits, row, 1000))).toEqual([1, 285, 504, 817]);
  });

  it("in half precision gives the logits of the same weights rounded", async () => {
    const half = await weights.read(realPath("weights", FOLDER, "squeezenet1_1.fp16.safetensors"));
    expect(new Set([...half.values()].map((e) => e.dtype))).toEqual(new Set(["f16"]));
    const model = models.squeezenet1_1({ weights: half }).eval();
    const x = await pictures(GOLDEN, mean, std);
    const logits = await noGrad(() => model.forward(x)).data();
    const off = offBy(logits, golden(FOLDER, "logits").data);
    // Rounding 52 tensors to 11 bits: small, and not nothing.
    expect(off).toBeLessThan(5e-3);
    expect(off).toBeGreaterThan(1e-5);
  });
});

/** What torchvision answers to each photograph, by test/fixtures/torchvision/photographs.py. */
const ANSWERS = new URL("../fixtures/torchvision/photographs.json", import.meta.url);
const PHOTOGRAPHS = isHere("weights", FOLDER) && isHere("imagenet-samples");
describe.skipIf(!PHOTOGRAPHS)("SqueezeNet 1.1 on photographs", () => {
  // 450 of them with THAW_TEST=all, else every ninth.
  const every = process.env.THAW_TEST === "all" ? 1 : 9;
  it("answers as torchvision does but for one in a hundred, and is right as often", async () => {
    const answers = Object.entries(JSON.parse(readFileSync(ANSWERS, "utf8")) as Record<string, number>);
    const chosen = answers.filter((_, i) => i % every === 0);
    const dict = await weights.read(realPath("weights", FOLDER, "squeezenet1_1.safetensors"));
    const model = models.squeezenet1_1({ weights: dict }).eval();
    const logits = compile((x: Tensor) =>
      noGrad(() => model.forward(normalizePictures(x, model.preprocessing))),
    );
    let [alike, right] = [0, 0];
    const batch = 10;
    for (let at = 0; at < chosen.length; at += batch) {
      const some = chosen.slice(at, at + batch);
      const decoded = await Promise.all(
        some.map(([name]) => data.decode(realPath("imagenet-samples", name))),
      );
      const bytes = await prepare(decoded, model.preprocessing);
      const out = await logits(stackPictures(bytes, model.preprocessing.crop)).data();
      some.forEach(([name, answer], row) => {
        const own = top1(out, row, 1000);
        if (own === answer) alike++;
        if (own === Number(/\/(\d+)_/.exec(name)?.[1])) right++;
      });
    }
    console.log(`of ${chosen.length} photographs ${alike} as torchvision, ${right} right`);
    expect(alike).toBeGreaterThanOrEqual(Math.ceil(0.99 * chosen.length));
    expect(right / chosen.length).toBeGreaterThan(0.55);
  });
});

const MALARIA = "squeezenet1_0-torchvision-malaria";
describe.skipIf(!isHere("weights", MALARIA))(
  "SqueezeNet 1.0 for malaria, a legacy .pt of two classes",
  () => {
    it("gives its golden features and logits", async () => {
      const dict = await weights.read(realPath("weights", MALARIA, "squeezenet_e10.pt"));
      const model = models.squeezenet1_0({ numClasses: 2, weights: dict }).eval();
      // The network was trained on channels from 0 to 1; its golden outputs were made with ImageNet's mean and std.
      const x = await pictures(GOLDEN, mean, std);
      const features = await noGrad(() => pooled(model.features.forward(x))).data();
      expect(offBy(features, golden(MALARIA, "features").data)).toBeLessThan(1e-5);
      const logits = await noGrad(() => model.forward(x)).data();
      expect(offBy(logits, golden(MALARIA, "logits").data)).toBeLessThan(1e-5);
    });
  },
);

/** A batch norm with a folded bias: mean 0, variance 1 - eps, weight 1, so that it adds the bias alone. */
function folded(name: string, bias: weights.WeightEntry): [string, weights.WeightEntry][] {
  const like = (v: number) => ({ ...bias, data: new Float32Array(bias.data.length).fill(v) });
  return [
    [`${name}.weight`, like(1)],
    [`${name}.bias`, bias],
    [`${name}.running_mean`, like(0)],
    [`${name}.running_var`, like(1 - 1e-5)],
  ];
}

const MOBILE = "mobilenetv2-1.0-torchvision-folded";
describe.skipIf(!isHere("weights", MOBILE))("MobileNetV2's folded trunk", () => {
  it("gives its golden features", async () => {
    const file = await weights.read(realPath("weights", MOBILE, `${MOBILE}.safetensors`));
    const model = nn.init.skipInit(() => models.mobilenet_v2());
    // The file numbers convolutions as ONNX nodes, in the order of the forward pass, which is that of the state dict.
    const convs = [...file.keys()].filter((k) => k.endsWith("_weight"));
    convs.sort((a, b) => Number(/\d+/.exec(a)?.[0]) - Number(/\d+/.exec(b)?.[0]));
    const modules = [...model.features.namedModules()];
    const own = modules.filter(([, m]) => m instanceof nn.Conv2d).map(([n]) => n);
    const norms = modules.filter(([, m]) => m instanceof nn.BatchNorm2d).map(([n]) => n);
    expect([convs.length, norms.length]).toEqual([own.length, own.length]);
    const dict = new Map<string, weights.WeightEntry>();
    convs.forEach((key, i) => {
      dict.set(`${own[i]}.weight`, file.get(key) as weights.WeightEntry);
      const bias = file.get(key.replace("_weight", "_bias")) as weights.WeightEntry;
      for (const [name, entry] of folded(norms[i], bias)) dict.set(name, entry);
    });
    model.features.loadStateDict(dict);
    const x = await pictures(GOLDEN, mean, std);
    const features = await noGrad(() => pooled(model.eval().features.forward(x))).data();
    expect(offBy(features, golden(MOBILE, "features").data)).toBeLessThan(1e-5);
  });
});

const RESNET = "resnet18-trunk-to-layer3-folded";
describe.skipIf(!isHere("weights", RESNET))("ResNet-18's folded trunk, to layer3", () => {
  it("gives its golden features", async () => {
    const file = await weights.read(realPath("weights", RESNET, `${RESNET}.safetensors`));
    const model = nn.init.skipInit(() => models.resnet18());
    const trunk = model.trunk.slice(0, -1);
    const dict = new Map<string, weights.WeightEntry>();
    for (const [name, entry] of file) {
      if (!name.endsWith(".bias")) {
        dict.set(name, entry);
        continue;
      }
      const norm = name.replace(/conv(\d)\.bias$/, "bn$1").replace(/downsample\.0\.bias$/, "downsample.1");
      for (const [key, e] of folded(norm, entry)) dict.set(key, e);
    }
    trunk.loadStateDict(dict);
    const x = await pictures(GOLDEN, mean, std);
    const features = await noGrad(() => pooled(trunk.eval().forward(x))).data();
    expect(offBy(features, golden(RESNET, "features").data)).toBeLessThan(1e-5);
  });
});

// He et al.'s ResNet for CIFAR-10, with shortcuts that have no parameters, in twenty lines of the public nn.
class Block extends nn.Module {
  conv1: nn.Conv2d;
  bn1: nn.BatchNorm2d;
  conv2: nn.Conv2d;
  bn2: nn.BatchNorm2d;
  readonly wider: number;
  constructor(inputs: number, width: number) {
    super();
    this.wider = width - inputs;
    const stride = this.wider > 0 ? 2 : 1;
    this.conv1 = new nn.Conv2d(inputs, width, 3, { stride, padding: 1, bias: false });
    this.bn1 = new nn.BatchNorm2d(width);
    this.conv2 = new nn.Conv2d(width, width, 3, { padding: 1, bias: false });
    this.bn2 = new nn.BatchNorm2d(width);
  }
  forward(x: Tensor): Tensor {
    const y = this.bn2.forward(this.conv2.forward(this.bn1.forward(this.conv1.forward(x)).relu()));
    return y.add(this.wider > 0 ? this.narrowed(x) : x).relu();
  }
  /** Every second pixel, with channels of zeros before and after. */
  narrowed(x: Tensor): Tensor {
    const small = nn.functional.avgPool2d(x, 1, { stride: 2 });
    const [n, , h, w] = small.shape;
    const none = zeros([n, this.wider / 2, h, w]);
    return concat([none, small, none], 1);
  }
}
class CifarResNet extends nn.Module {
  conv1 = new nn.Conv2d(3, 16, 3, { padding: 1, bias: false });
  bn1 = new nn.BatchNorm2d(16);
  layer1: nn.Sequential;
  layer2: nn.Sequential;
  layer3: nn.Sequential;
  linear = new nn.Linear(64, 10);
  constructor(depth: number) {
    super();
    const layer = (inputs: number, width: number) =>
      new nn.Sequential(...Array.from({ length: depth }, (_, i) => new Block(i ? width : inputs, width)));
    this.layer1 = layer(16, 16);
    this.layer2 = layer(16, 32);
    this.layer3 = layer(32, 64);
  }
  forward(x: Tensor): Tensor {
    const y = this.layer1.forward(this.bn1.forward(this.conv1.forward(x)).relu());
    return this.linear.forward(pooled(this.layer3.forward(this.layer2.forward(y))));
  }
}

const CIFAR = ["checkpoints", "golden-resnet20-cifar10"];
describe.skipIf(!isHere(...CIFAR))("ResNet for CIFAR-10 from a very old pickle", () => {
  it.each([
    [20, "resnet20-12fca82f.th", 3],
    [56, "resnet56-4bfd9763.th", 9],
  ] as const)("ResNet-%i gives its golden logits", async (size, file, depth) => {
    const text = readFileSync(realPath(...CIFAR, "golden.json"), "utf8");
    const all = JSON.parse(text) as Record<string, unknown> & { images: string[] };
    const want = (all[`resnet${size}_logits`] as number[][]).flat();
    const model = nn.init.skipInit(() => new CifarResNet(depth));
    model.loadStateDict(await weights.read(realPath("checkpoints", "pytorch-legacy", file)));
    freeze(model);
    const x = await pictures(
      all.images.map((name) => realPath(...CIFAR, name)),
      mean,
      std,
    );
    const logits = await model.forward(x).data();
    // The golden logits are written with five decimals.
    expect(offBy(logits, want)).toBeLessThan(1e-5);
  });
});
