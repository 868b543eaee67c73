// EfficientNet (Tan and Le 2019) B0 to B3 with torchvision's names, shapes, defaults and initial values: inverted
// residuals with squeeze-excitation, SiLU and stochastic depth; wider and deeper by fixed factors.

import * as nn from "../nn/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { build, checkProbability, type ModelOptions } from "./build.ts";
import { FeaturesClassifier, IMAGENET, type Layer, ownHead, type Preprocessing } from "./classifier.ts";
import { convNorm, heConvolutions, makeDivisible } from "./conv_norm.ts";
import { efficientnetFromTimm, isTimm } from "./foreign_names.ts";

/** Expansion, kernel, stride of the first block, channels, blocks of B0. */
const STAGES = [
  [1, 3, 1, 16, 1],
  [6, 3, 2, 24, 2],
  [6, 5, 2, 40, 2],
  [6, 3, 2, 80, 3],
  [6, 5, 1, 112, 3],
  [6, 5, 2, 192, 4],
  [6, 3, 1, 320, 1],
] as const;

/** x times, per channel, sigmoid(fc2(silu(fc1(mean of x)))) (torchvision.ops.SqueezeExcitation with SiLU). */
class SqueezeExcitation extends nn.Module {
  avgpool = new nn.AdaptiveAvgPool2d(1);
  fc1: nn.Conv2d;
  fc2: nn.Conv2d;
  activation = new nn.SiLU();
  scaleActivation = new nn.Sigmoid();

  constructor(channels: number, squeezed: number) {
    super();
    this.fc1 = new nn.Conv2d(channels, squeezed, 1);
    this.fc2 = new nn.Conv2d(squeezed, channels, 1);
  }

  override memberName(property: string): string {
    return property === "scaleActivation" ? "scale_activation" : property;
  }

  forward(x: Tensor): Tensor {
    const mean = this.avgpool.forward(x);
    const scale = this.fc2.forward(this.activation.forward(this.fc1.forward(mean)));
    return this.scaleActivation.forward(scale).mul(x);
  }
}

interface BlockConfig {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly expansion: number;
  readonly dropProbability: number;
}

/** 1×1 wider, depthwise, squeeze-excitation, 1×1 narrower; added to its input where the sizes agree. */
class MBConv extends nn.Module {
  block: nn.Sequential;
  stochasticDepth: nn.StochasticDepth;
  readonly residual: boolean;

  constructor({ inputs, outputs, kernel, stride, expansion, dropProbability }: BlockConfig) {
    super();
    const hidden = makeDivisible(inputs * expansion);
    const layers: Layer[] = [
      convNorm(hidden, hidden, { kernel, stride, groups: hidden, activation: new nn.SiLU() }),
      new SqueezeExcitation(hidden, Math.max(1, Math.floor(inputs / 4))),
      convNorm(hidden, outputs, { kernel: 1, activation: null }),
    ];
    if (hidden !== inputs) layers.unshift(convNorm(inputs, hidden, { kernel: 1, activation: new nn.SiLU() }));
    this.block = new nn.Sequential(...layers);
    this.stochasticDepth = new nn.StochasticDepth(dropProbability, "row");
    this.residual = stride === 1 && inputs === outputs;
  }

  override memberName(property: string): string {
    return property === "stochasticDepth" ? "stochastic_depth" : property;
  }

  forward(x: Tensor): Tensor {
    const y = this.block.forward(x);
    return this.residual ? this.stochasticDepth.forward(y).add(x) : y;
  }
}

export interface EfficientNetConfig {
  /** Channels, and blocks in each stage, are those of B0 times these. */
  readonly widthMult: number;
  readonly depthMult: number;
  readonly preprocessing: Preprocessing;
  /** Before the last layer. */
  readonly dropout: number;
  /** Of the last block; it grows evenly from 0 at the first. Default 0.2. */
  readonly stochasticDepthProb?: number;
  /** Default 1000. */
  readonly numClasses?: number;
}

/** The seven stages, and the width of the last. */
function stages(config: EfficientNetConfig, stem: number): { layers: nn.Sequential[]; width: number } {
  const { widthMult, depthMult, stochasticDepthProb = 0.2 } = config;
  const counts = STAGES.map(([, , , , count]) => Math.ceil(count * depthMult));
  const total = counts.reduce((a, b) => a + b, 0);
  let width = stem;
  let at = 0;
  const layers = STAGES.map(([expansion, kernel, first, channels], i) => {
    const outputs = makeDivisible(channels * widthMult);
    const blocks = Array.from({ length: counts[i] }, (_, k) => {
      const dropProbability = (stochasticDepthProb * at++) / total;
      const stride = k === 0 ? first : 1;
      const block = new MBConv({ inputs: width, outputs, kernel, stride, expansion, dropProbability });
      width = outputs;
      return block;
    });
    return new nn.Sequential(...blocks);
  });
  return { layers, width };
}

export class EfficientNet extends FeaturesClassifier {
  readonly architecture: string;
  readonly preprocessing: Preprocessing;
  readonly numFeatures: number;
  features: nn.Sequential;
  avgpool = new nn.AdaptiveAvgPool2d(1);
  classifier: Layer;

  constructor(architecture: string, config: EfficientNetConfig) {
    super();
    this.architecture = architecture;
    this.preprocessing = config.preprocessing;
    const stem = makeDivisible(32 * config.widthMult);
    const first = convNorm(3, stem, { stride: 2, activation: new nn.SiLU() });
    const { layers, width } = stages(config, stem);
    this.numFeatures = 4 * width;
    const top = convNorm(width, this.numFeatures, { kernel: 1, activation: new nn.SiLU() });
    this.features = new nn.Sequential(first, ...layers, top);
    const last = new nn.Linear(this.numFeatures, config.numClasses ?? 1000);
    this.classifier = new nn.Sequential(new nn.Dropout(config.dropout), last);
    heConvolutions(this);
    const bound = 1 / Math.sqrt(last.outFeatures);
    nn.init.uniform(last.weight, -bound, bound);
    if (last.bias) nn.init.zeros(last.bias);
    ownHead(this);
  }

  /** timm's names, where all are timm's. */
  override renameKey(name: string, all: ReadonlySet<string>): string {
    return isTimm(all) ? efficientnetFromTimm(name) : name;
  }

  /** x [N, 3, H, W] → logits [N, classes]; any H and W. */
  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.avgpool.forward(this.features.forward(x)).flatten(1));
  }
}

export interface EfficientNetOptions extends ModelOptions {
  /** Dropout before the last layer, from 0 to 1. Default 0.2 (B0, B1) or 0.3 (B2, B3). */
  readonly dropout?: number;
  /** Chance of skipping the last block in training, from 0 to 1; it grows evenly from 0 at the first. Default 0.2. */
  readonly stochasticDepthProb?: number;
}

function efficientnet(
  architecture: string,
  config: EfficientNetConfig,
  options: EfficientNetOptions,
): EfficientNet {
  return build(architecture, options, ["dropout", "stochasticDepthProb"], (numClasses) => {
    const { dropout = config.dropout, stochasticDepthProb } = options;
    checkProbability(architecture, "dropout", dropout);
    checkProbability(architecture, "stochasticDepthProb", stochasticDepthProb);
    return new EfficientNet(architecture, { ...config, numClasses, dropout, stochasticDepthProb });
  });
}

const preset = (resize: number, crop: number): Preprocessing => ({
  ...IMAGENET,
  resize,
  crop,
  interpolation: "bicubic",
});

/** EfficientNet-B0: 5,288,548 parameters with 1000 classes. */
export const efficientnet_b0 = (options: EfficientNetOptions = {}): EfficientNet =>
  efficientnet(
    "efficientnet_b0",
    { widthMult: 1, depthMult: 1, dropout: 0.2, preprocessing: preset(256, 224) },
    options,
  );

/** EfficientNet-B1: 7,794,184 parameters with 1000 classes. */
export const efficientnet_b1 = (options: EfficientNetOptions = {}): EfficientNet =>
  efficientnet(
    "efficientnet_b1",
    { widthMult: 1, depthMult: 1.1, dropout: 0.2, preprocessing: preset(256, 240) },
    options,
  );

/** EfficientNet-B2: 9,109,994 parameters with 1000 classes. */
export const efficientnet_b2 = (options: EfficientNetOptions = {}): EfficientNet =>
  efficientnet(
    "efficientnet_b2",
    { widthMult: 1.1, depthMult: 1.2, dropout: 0.3, preprocessing: preset(288, 288) },
    options,
  );

/** EfficientNet-B3: 12,233,232 parameters with 1000 classes. */
export const efficientnet_b3 = (options: EfficientNetOptions = {}): EfficientNet =>
  efficientnet(
    "efficientnet_b3",
    { widthMult: 1.2, depthMult: 1.4, dropout: 0.3, preprocessing: preset(320, 300) },
    options,
  );
