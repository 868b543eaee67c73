// ResNet (He et al. 2015) with torchvision's names, shapes, defaults and initial values: 18, 34 and 50. In the
// bottlenecks of 50 the 3×3 convolution has the stride ("ResNet V1.5"), as in torchvision.

import { checkFlag } from "../core/options.ts";
import * as nn from "../nn/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { build, type ModelOptions } from "./build.ts";
import { type Classifier, IMAGENET, type Layer, ownHead, type Preprocessing } from "./classifier.ts";
import { heConvolutions } from "./conv_norm.ts";
import { isHuggingFaceResNet, resnetFromHuggingFace } from "./foreign_names.ts";

const conv3x3 = (inputs: number, outputs: number, stride = 1) =>
  new nn.Conv2d(inputs, outputs, 3, { stride, padding: 1, bias: false });

const conv1x1 = (inputs: number, outputs: number, stride = 1) =>
  new nn.Conv2d(inputs, outputs, 1, { stride, bias: false });

/** A block's way around, where its size changes. */
function shortcut(inputs: number, outputs: number, stride: number): nn.Sequential | null {
  if (stride === 1 && inputs === outputs) return null;
  return new nn.Sequential(conv1x1(inputs, outputs, stride), new nn.BatchNorm2d(outputs));
}

/** relu(x' + bn2(conv2(relu(bn1(conv1(x)))))), x' the input or its projection. */
class BasicBlock extends nn.Module {
  static readonly expansion = 1;
  conv1: nn.Conv2d;
  bn1: nn.BatchNorm2d;
  relu = new nn.ReLU();
  conv2: nn.Conv2d;
  bn2: nn.BatchNorm2d;
  downsample: nn.Sequential | null;

  constructor(inputs: number, planes: number, stride: number) {
    super();
    this.conv1 = conv3x3(inputs, planes, stride);
    this.bn1 = new nn.BatchNorm2d(planes);
    this.conv2 = conv3x3(planes, planes);
    this.bn2 = new nn.BatchNorm2d(planes);
    this.downsample = shortcut(inputs, planes, stride);
  }

  /** The batch norm that ends the residual branch. */
  get lastNorm(): nn.BatchNorm2d {
    return this.bn2;
  }

  forward(x: Tensor): Tensor {
    const y = this.relu.forward(this.bn1.forward(this.conv1.forward(x)));
    const out = this.bn2.forward(this.conv2.forward(y));
    return this.relu.forward(out.add(this.downsample ? this.downsample.forward(x) : x));
  }
}

/** The same with a 3×3 convolution between two 1×1 ones; four times as wide outside as inside. */
class Bottleneck extends nn.Module {
  static readonly expansion = 4;
  conv1: nn.Conv2d;
  bn1: nn.BatchNorm2d;
  conv2: nn.Conv2d;
  bn2: nn.BatchNorm2d;
  conv3: nn.Conv2d;
  bn3: nn.BatchNorm2d;
  relu = new nn.ReLU();
  downsample: nn.Sequential | null;

  constructor(inputs: number, planes: number, stride: number) {
    super();
    const outputs = planes * Bottleneck.expansion;
    this.conv1 = conv1x1(inputs, planes);
    this.bn1 = new nn.BatchNorm2d(planes);
    this.conv2 = conv3x3(planes, planes, stride);
    this.bn2 = new nn.BatchNorm2d(planes);
    this.conv3 = conv1x1(planes, outputs);
    this.bn3 = new nn.BatchNorm2d(outputs);
    this.downsample = shortcut(inputs, outputs, stride);
  }

  get lastNorm(): nn.BatchNorm2d {
    return this.bn3;
  }

  forward(x: Tensor): Tensor {
    const y = this.relu.forward(this.bn1.forward(this.conv1.forward(x)));
    const z = this.relu.forward(this.bn2.forward(this.conv2.forward(y)));
    const out = this.bn3.forward(this.conv3.forward(z));
    return this.relu.forward(out.add(this.downsample ? this.downsample.forward(x) : x));
  }
}

export interface ResNetConfig {
  readonly block: "basic" | "bottleneck";
  /** Blocks in each of the four layers. */
  readonly layers: readonly [number, number, number, number];
  /** Default 1000. */
  readonly numClasses?: number;
  /** Default false. */
  readonly zeroInitResidual?: boolean;
}

export class ResNet extends nn.Module implements Classifier {
  readonly architecture: string;
  readonly preprocessing: Preprocessing = IMAGENET;
  readonly headName = "fc";
  readonly numFeatures: number;
  conv1 = new nn.Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false });
  bn1 = new nn.BatchNorm2d(64);
  relu = new nn.ReLU();
  maxpool = new nn.MaxPool2d(3, { stride: 2, padding: 1 });
  layer1: nn.Sequential;
  layer2: nn.Sequential;
  layer3: nn.Sequential;
  layer4: nn.Sequential;
  avgpool = new nn.AdaptiveAvgPool2d(1);
  fc: Layer;

  constructor(architecture: string, config: ResNetConfig) {
    super();
    this.architecture = architecture;
    const { numClasses = 1000, zeroInitResidual = false } = config;
    const Block = config.block === "basic" ? BasicBlock : Bottleneck;
    let inputs = 64;
    const [layer1, layer2, layer3, layer4] = config.layers.map((count, i) => {
      const planes = 64 * 2 ** i;
      const blocks = Array.from({ length: count }, (_, k) => {
        const block = new Block(inputs, planes, k === 0 && i > 0 ? 2 : 1);
        inputs = planes * Block.expansion;
        return block;
      });
      return new nn.Sequential(...blocks);
    });
    this.layer1 = layer1;
    this.layer2 = layer2;
    this.layer3 = layer3;
    this.layer4 = layer4;
    this.numFeatures = inputs;
    this.fc = new nn.Linear(inputs, numClasses);
    heConvolutions(this);
    if (zeroInitResidual)
      for (const m of this.modules())
        if ((m instanceof BasicBlock || m instanceof Bottleneck) && m.lastNorm.weight)
          nn.init.zeros(m.lastNorm.weight);
    ownHead(this);
  }

  /** Hugging Face's names, where all are theirs. */
  override renameKey(name: string, all: ReadonlySet<string>): string {
    return isHuggingFaceResNet(all) ? resnetFromHuggingFace(name) : name;
  }

  /** A view: torchvision's ResNet has no module for it. */
  get trunk(): nn.Sequential {
    const { conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4 } = this;
    return new nn.Sequential({ conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4 });
  }

  get head(): Layer {
    return this.fc;
  }

  set head(module: Layer) {
    this.fc = module;
  }

  /** x [N, 3, H, W] → logits [N, classes]; any H and W. */
  forward(x: Tensor): Tensor {
    let y = this.maxpool.forward(this.relu.forward(this.bn1.forward(this.conv1.forward(x))));
    for (const layer of [this.layer1, this.layer2, this.layer3, this.layer4]) y = layer.forward(y);
    return this.fc.forward(this.avgpool.forward(y).flatten(1));
  }
}

export interface ResNetOptions extends ModelOptions {
  /** Every block begins as the identity: its last batch norm has weight 0 (Goyal et al. 2017). Default false. */
  readonly zeroInitResidual?: boolean;
}

function resnet(architecture: string, config: ResNetConfig, options: ResNetOptions): ResNet {
  return build(architecture, options, ["zeroInitResidual"], (numClasses) => {
    const { zeroInitResidual = false } = options;
    checkFlag(architecture, "zeroInitResidual", zeroInitResidual);
    return new ResNet(architecture, { ...config, numClasses, zeroInitResidual });
  });
}

/** ResNet-18: 11,689,512 parameters with 1000 classes. */
export const resnet18 = (options: ResNetOptions = {}): ResNet =>
  resnet("resnet18", { block: "basic", layers: [2, 2, 2, 2] }, options);

/** ResNet-34: 21,797,672 parameters with 1000 classes. */
export const resnet34 = (options: ResNetOptions = {}): ResNet =>
  resnet("resnet34", { block: "basic", layers: [3, 4, 6, 3] }, options);

/** ResNet-50: 25,557,032 parameters with 1000 classes. */
export const resnet50 = (options: ResNetOptions = {}): ResNet =>
  resnet("resnet50", { block: "bottleneck", layers: [3, 4, 6, 3] }, options);
