// MobileNetV2 (Sandler et al. 2018) with torchvision's names, shapes, defaults and initial values, at any width.

import { checkNumber } from "../core/options.ts";
import * as nn from "../nn/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { build, checkProbability, type ModelOptions } from "./build.ts";
import { FeaturesClassifier, IMAGENET, type Layer, ownHead, type Preprocessing } from "./classifier.ts";
import { convNorm, heConvolutions, makeDivisible } from "./conv_norm.ts";
import { isTimm, mobilenetFromTimm } from "./foreign_names.ts";

/** Expansion, channels, blocks, stride of the first block. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

/** 1×1 wider, 3×3 depthwise, 1×1 narrower without activation; added to its input where the sizes agree. */
class InvertedResidual extends nn.Module {
  conv: nn.Sequential;
  readonly residual: boolean;

  constructor(inputs: number, outputs: number, stride: number, expansion: number) {
    super();
    const hidden = inputs * expansion;
    const layers: Layer[] = [
      convNorm(hidden, hidden, { stride, groups: hidden, activation: new nn.ReLU6() }),
      new nn.Conv2d(hidden, outputs, 1, { bias: false }),
      new nn.BatchNorm2d(outputs),
    ];
    if (expansion !== 1) layers.unshift(convNorm(inputs, hidden, { kernel: 1, activation: new nn.ReLU6() }));
    this.conv = new nn.Sequential(...layers);
    this.residual = stride === 1 && inputs === outputs;
  }

  forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    return this.residual ? x.add(y) : y;
  }
}

export interface MobileNetConfig {
  /** Channels in every layer times this, rounded to a multiple of 8. Default 1. */
  readonly widthMult?: number;
  /** Default 1000. */
  readonly numClasses?: number;
  /** Before the last layer. Default 0.2. */
  readonly dropout?: number;
}

export class MobileNetV2 extends FeaturesClassifier {
  readonly architecture: string;
  readonly preprocessing: Preprocessing = IMAGENET;
  readonly numFeatures: number;
  features: nn.Sequential;
  classifier: Layer;

  constructor(architecture: string, config: MobileNetConfig) {
    super();
    const { numClasses = 1000, widthMult = 1, dropout = 0.2 } = config;
    this.architecture = architecture;
    let width = makeDivisible(32 * widthMult);
    const layers: Layer[] = [convNorm(3, width, { stride: 2, activation: new nn.ReLU6() })];
    for (const [expansion, channels, count, first] of STAGES) {
      const outputs = makeDivisible(channels * widthMult);
      for (let i = 0; i < count; i++) {
        layers.push(new InvertedResidual(width, outputs, i === 0 ? first : 1, expansion));
        width = outputs;
      }
    }
    // Narrow networks keep the full width of the last layer.
    this.numFeatures = makeDivisible(1280 * Math.max(1, widthMult));
    layers.push(convNorm(width, this.numFeatures, { kernel: 1, activation: new nn.ReLU6() }));
    this.features = new nn.Sequential(...layers);
    const last = new nn.Linear(this.numFeatures, numClasses);
    this.classifier = new nn.Sequential(new nn.Dropout(dropout), last);
    heConvolutions(this);
    nn.init.normal(last.weight, 0, 0.01);
    if (last.bias) nn.init.zeros(last.bias);
    ownHead(this);
  }

  /** timm's names, where all are timm's. */
  override renameKey(name: string, all: ReadonlySet<string>): string {
    return isTimm(all) ? mobilenetFromTimm(name) : name;
  }

  /** x [N, 3, H, W] → logits [N, classes]; any H and W. */
  forward(x: Tensor): Tensor {
    const maps = this.features.forward(x);
    return this.classifier.forward(nn.functional.adaptiveAvgPool2d(maps, 1).flatten(1));
  }
}

export interface MobileNetOptions extends ModelOptions {
  /** Channels in every layer times this, above 0, rounded to a multiple of 8. Default 1. */
  readonly widthMult?: number;
  /** Dropout before the last layer, from 0 to 1. Default 0.2. */
  readonly dropout?: number;
}

/** MobileNetV2: 3,504,872 parameters with 1000 classes at width 1. */
export function mobilenet_v2(options: MobileNetOptions = {}): MobileNetV2 {
  return build("mobilenet_v2", options, ["widthMult", "dropout"], (numClasses) => {
    const { widthMult = 1, dropout } = options;
    checkNumber("mobilenet_v2", "widthMult", widthMult, { min: 0, above: true });
    checkProbability("mobilenet_v2", "dropout", dropout);
    return new MobileNetV2("mobilenet_v2", { widthMult, numClasses, dropout });
  });
}
