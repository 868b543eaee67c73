// DenseNet (Huang et al. 2017) with torchvision's names, shapes, defaults and initial values: 121, 161, 169, 201, and a
// small one of the project's own. A dense layer is BN-ReLU-conv1×1-BN-ReLU-conv3×3; its output joins all before it.

import { checkNumber } from "../core/options.ts";
import * as nn from "../nn/index.ts";
import { concat } from "../tensor/functions.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { build, type ModelOptions } from "./build.ts";
import { FeaturesClassifier, IMAGENET, type Layer, ownHead, type Preprocessing } from "./classifier.ts";

export interface DenseNetConfig {
  readonly growthRate: number;
  readonly blocks: readonly [number, number, number, number];
  readonly initFeatures: number;
  /** Width of the 1×1 bottleneck in growth rates. */
  readonly bnSize?: number;
  readonly dropRate?: number;
  readonly numClasses?: number;
  /** Default IMAGENET. */
  readonly preprocessing?: Preprocessing;
}

class DenseLayer extends nn.Module {
  norm1: nn.BatchNorm2d;
  relu1 = new nn.ReLU();
  conv1: nn.Conv2d;
  norm2: nn.BatchNorm2d;
  relu2 = new nn.ReLU();
  conv2: nn.Conv2d;
  readonly dropRate: number;

  constructor(inputs: number, growthRate: number, bnSize: number, dropRate: number) {
    super();
    this.norm1 = new nn.BatchNorm2d(inputs);
    this.conv1 = new nn.Conv2d(inputs, bnSize * growthRate, 1, { bias: false });
    this.norm2 = new nn.BatchNorm2d(bnSize * growthRate);
    this.conv2 = new nn.Conv2d(bnSize * growthRate, growthRate, 3, { padding: 1, bias: false });
    this.dropRate = dropRate;
  }

  forward(x: Tensor): Tensor {
    const bottleneck = this.conv1.forward(this.relu1.forward(this.norm1.forward(x)));
    const y = this.conv2.forward(this.relu2.forward(this.norm2.forward(bottleneck)));
    return this.dropRate > 0 ? nn.functional.dropout(y, this.dropRate, this.training) : y;
  }
}

class DenseBlock extends nn.Module {
  constructor(layers: number, inputs: number, config: Required<DenseNetConfig>) {
    super();
    for (let i = 0; i < layers; i++) {
      const layer = new DenseLayer(
        inputs + i * config.growthRate,
        config.growthRate,
        config.bnSize,
        config.dropRate,
      );
      Object.assign(this, { [`denselayer${i + 1}`]: layer });
    }
  }

  /** Each concat takes in the one before it, so that the gradient of all that came before is one tensor, not a list. */
  forward(x: Tensor): Tensor {
    let all = x;
    for (const layer of this.children as DenseLayer[]) all = concat([all, layer.forward(all)], 1);
    return all;
  }
}

class Transition extends nn.Module {
  norm: nn.BatchNorm2d;
  relu = new nn.ReLU();
  conv: nn.Conv2d;
  pool = new nn.AvgPool2d(2);

  constructor(inputs: number, outputs: number) {
    super();
    this.norm = new nn.BatchNorm2d(inputs);
    this.conv = new nn.Conv2d(inputs, outputs, 1, { bias: false });
  }

  forward(x: Tensor): Tensor {
    return this.pool.forward(this.conv.forward(this.relu.forward(this.norm.forward(x))));
  }
}

function trunk(config: Required<DenseNetConfig>): { features: nn.Sequential; width: number } {
  const { initFeatures, growthRate, blocks } = config;
  const layers: Record<string, Layer> = {
    conv0: new nn.Conv2d(3, initFeatures, 7, { stride: 2, padding: 3, bias: false }),
    norm0: new nn.BatchNorm2d(initFeatures),
    relu0: new nn.ReLU(),
    pool0: new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
  };
  let width = initFeatures;
  blocks.forEach((count, i) => {
    layers[`denseblock${i + 1}`] = new DenseBlock(count, width, config);
    width += count * growthRate;
    if (i === blocks.length - 1) return;
    layers[`transition${i + 1}`] = new Transition(width, Math.floor(width / 2));
    width = Math.floor(width / 2);
  });
  layers.norm5 = new nn.BatchNorm2d(width);
  return { features: new nn.Sequential(layers), width };
}

export class DenseNet extends FeaturesClassifier {
  readonly architecture: string;
  readonly preprocessing: Preprocessing;
  readonly numFeatures: number;
  features: nn.Sequential;
  classifier: Layer;

  constructor(architecture: string, config: DenseNetConfig) {
    super();
    const full = { bnSize: 4, dropRate: 0, numClasses: 1000, preprocessing: IMAGENET, ...config };
    checkNumber(architecture, "numClasses", full.numClasses, { whole: true, min: 1 });
    checkNumber(architecture, "dropRate", full.dropRate, { min: 0, max: 1 });
    this.architecture = architecture;
    this.preprocessing = full.preprocessing;
    const { features, width } = trunk(full);
    this.features = features;
    this.numFeatures = width;
    const classifier = new nn.Linear(width, full.numClasses);
    this.classifier = classifier;
    for (const m of this.modules()) if (m instanceof nn.Conv2d) nn.init.kaimingNormal(m.weight);
    if (classifier.bias) nn.init.zeros(classifier.bias);
    ownHead(this);
  }

  /** x [N, 3, H, W] → logits [N, classes]; H and W of at least 29. */
  forward(x: Tensor): Tensor {
    const maps = this.features.forward(x).relu();
    return this.classifier.forward(nn.functional.adaptiveAvgPool2d(maps, 1).flatten(1));
  }

  /** Old checkpoints call a layer's parts norm.1, conv.2; torchvision renames them on load, and so does this. */
  override renameKey(name: string): string {
    return name.replace(/^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.)/, "$1$2");
  }
}

export interface DenseNetOptions extends ModelOptions {
  /** Dropout behind every dense layer, from 0 to 1. Default 0. */
  readonly dropRate?: number;
}

function densenet(architecture: string, config: DenseNetConfig, options: DenseNetOptions): DenseNet {
  const { dropRate } = options;
  return build(
    architecture,
    options,
    ["dropRate"],
    (numClasses) => new DenseNet(architecture, { ...config, numClasses, dropRate: dropRate ?? 0 }),
  );
}

/** DenseNet-121: 7,978,856 parameters with 1000 classes. */
export const densenet121 = (options: DenseNetOptions = {}): DenseNet =>
  densenet("densenet121", { growthRate: 32, blocks: [6, 12, 24, 16], initFeatures: 64 }, options);

/** DenseNet-161: 28,681,000 parameters with 1000 classes. */
export const densenet161 = (options: DenseNetOptions = {}): DenseNet =>
  densenet("densenet161", { growthRate: 48, blocks: [6, 12, 36, 24], initFeatures: 96 }, options);

/** DenseNet-169: 14,149,480 parameters with 1000 classes. */
export const densenet169 = (options: DenseNetOptions = {}): DenseNet =>
  densenet("densenet169", { growthRate: 32, blocks: [6, 12, 32, 32], initFeatures: 64 }, options);

/** DenseNet-201: 20,013,928 parameters with 1000 classes. */
export const densenet201 = (options: DenseNetOptions = {}): DenseNet =>
  densenet("densenet201", { growthRate: 32, blocks: [6, 12, 48, 32], initFeatures: 64 }, options);

/** Pictures of 64×64, channels from -1 to 1. */
const MINI: Preprocessing = {
  resize: 64,
  crop: 64,
  interpolation: "bilinear",
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
};

/**
 * A DenseNet small enough to train in minutes without a graphics card: growth rate 12, four blocks of 3 layers with
 * bottlenecks of 24, pictures of 64×64; 52,061 parameters and the head. The project's own architecture,
 * not torchvision's; weights for it are in weights/.
 */
export const densenet_mini = (options: DenseNetOptions = {}): DenseNet =>
  densenet(
    "densenet_mini",
    { growthRate: 12, blocks: [3, 3, 3, 3], initFeatures: 16, bnSize: 2, preprocessing: MINI },
    options,
  );
