// VGG (Simonyan and Zisserman 2014) with torchvision's names, shapes, defaults and initial values: 11, 13, 16, 19, each
// also with batch norm. The classifier has three dense layers of which the first is most of the network.

import * as nn from "../nn/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { build, checkProbability, type ModelOptions } from "./build.ts";
import {
  blockViews,
  FeaturesClassifier,
  IMAGENET,
  type Layer,
  ownHead,
  type Preprocessing,
} from "./classifier.ts";
import { heConvolutions } from "./conv_norm.ts";

/** Convolutions in each of the five blocks; their widths are the same in all VGGs. */
const BLOCKS = {
  vgg11: [1, 1, 2, 2, 2],
  vgg13: [2, 2, 2, 2, 2],
  vgg16: [2, 2, 3, 3, 3],
  vgg19: [2, 2, 4, 4, 4],
} as const;
const WIDTHS = [64, 128, 256, 512, 512];

/** Height and width of the maps that the classifier takes. */
const SIDE = 7;

export interface VggConfig {
  readonly blocks: readonly number[];
  readonly batchNorm: boolean;
  /** Default 1000. */
  readonly numClasses?: number;
  /** Behind the first two dense layers. Default 0.5. */
  readonly dropout?: number;
}

/** Layers block by block: 3×3 convolutions, each with its ReLU, then a pool that halves. */
function blocksOf({ blocks, batchNorm }: VggConfig): Layer[][] {
  let inputs = 3;
  return blocks.map((count, i) => {
    const layers: Layer[] = [];
    for (let k = 0; k < count; k++) {
      layers.push(new nn.Conv2d(inputs, WIDTHS[i], 3, { padding: 1 }));
      if (batchNorm) layers.push(new nn.BatchNorm2d(WIDTHS[i]));
      layers.push(new nn.ReLU());
      inputs = WIDTHS[i];
    }
    return [...layers, new nn.MaxPool2d(2)];
  });
}

export class VGG extends FeaturesClassifier {
  readonly architecture: string;
  readonly preprocessing: Preprocessing = IMAGENET;
  readonly numFeatures = WIDTHS[4] * SIDE * SIDE;
  /** Layers of each block. */
  readonly blockSizes: readonly number[];
  features: nn.Sequential;
  avgpool = new nn.AdaptiveAvgPool2d([SIDE, SIDE]);
  classifier: Layer;

  constructor(architecture: string, config: VggConfig) {
    super();
    const { numClasses = 1000, dropout = 0.5 } = config;
    this.architecture = architecture;
    const blocks = blocksOf(config);
    this.blockSizes = blocks.map((b) => b.length);
    this.features = new nn.Sequential(...blocks.flat());
    this.classifier = new nn.Sequential(
      new nn.Linear(this.numFeatures, 4096),
      new nn.ReLU(),
      new nn.Dropout(dropout),
      new nn.Linear(4096, 4096),
      new nn.ReLU(),
      new nn.Dropout(dropout),
      new nn.Linear(4096, numClasses),
    );
    heConvolutions(this);
    for (const m of this.modules()) {
      if (!(m instanceof nn.Linear)) continue;
      nn.init.normal(m.weight, 0, 0.01);
      if (m.bias) nn.init.zeros(m.bias);
    }
    ownHead(this);
  }

  /** A view of `features` in its five blocks, block1 to block5, each ending with its pool. */
  override get trunk(): nn.Sequential {
    return blockViews(
      this.features,
      this.blockSizes.map((size, i) => [`block${i + 1}`, size]),
    );
  }

  /** x [N, 3, H, W] → logits [N, classes]; H and W of at least 32. */
  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.avgpool.forward(this.features.forward(x)).flatten(1));
  }
}

export interface VggOptions extends ModelOptions {
  /** Dropout behind the first two dense layers, from 0 to 1. Default 0.5. */
  readonly dropout?: number;
}

function vgg(name: keyof typeof BLOCKS, batchNorm: boolean, options: VggOptions): VGG {
  const architecture = batchNorm ? `${name}_bn` : name;
  return build(architecture, options, ["dropout"], (numClasses) => {
    const { dropout } = options;
    checkProbability(architecture, "dropout", dropout);
    return new VGG(architecture, { blocks: BLOCKS[name], batchNorm, numClasses, dropout });
  });
}

/** VGG-11: 132,863,336 parameters with 1000 classes. */
export const vgg11 = (options: VggOptions = {}): VGG => vgg("vgg11", false, options);

/** VGG-11 with batch norm: 132,868,840 parameters with 1000 classes. */
export const vgg11_bn = (options: VggOptions = {}): VGG => vgg("vgg11", true, options);

/** VGG-13: 133,047,848 parameters with 1000 classes. */
export const vgg13 = (options: VggOptions = {}): VGG => vgg("vgg13", false, options);

/** VGG-13 with batch norm: 133,053,736 parameters with 1000 classes. */
export const vgg13_bn = (options: VggOptions = {}): VGG => vgg("vgg13", true, options);

/** VGG-16: 138,357,544 parameters with 1000 classes. */
export const vgg16 = (options: VggOptions = {}): VGG => vgg("vgg16", false, options);

/** VGG-16 with batch norm: 138,365,992 parameters with 1000 classes. */
export const vgg16_bn = (options: VggOptions = {}): VGG => vgg("vgg16", true, options);

/** VGG-19: 143,667,240 parameters with 1000 classes. */
export const vgg19 = (options: VggOptions = {}): VGG => vgg("vgg19", false, options);

/** VGG-19 with batch norm: 143,678,248 parameters with 1000 classes. */
export const vgg19_bn = (options: VggOptions = {}): VGG => vgg("vgg19", true, options);
