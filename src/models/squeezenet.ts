// SqueezeNet (Iandola et al. 2016) 1.0 and 1.1 with torchvision's names, shapes, defaults and initial values. It has no
// dense layer: a 1×1 convolution makes a map of each class, whose mean is the logit.

import * as nn from "../nn/index.ts";
import { concat } from "../tensor/functions.ts";
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

/** A 1×1 convolution that squeezes, then 1×1 and 3×3 convolutions of it side by side, each as wide. */
class Fire extends nn.Module {
  squeeze: nn.Conv2d;
  squeezeActivation = new nn.ReLU();
  expand1x1: nn.Conv2d;
  expand1x1Activation = new nn.ReLU();
  expand3x3: nn.Conv2d;
  expand3x3Activation = new nn.ReLU();

  constructor(inputs: number, squeezed: number, expanded: number) {
    super();
    this.squeeze = new nn.Conv2d(inputs, squeezed, 1);
    this.expand1x1 = new nn.Conv2d(squeezed, expanded, 1);
    this.expand3x3 = new nn.Conv2d(squeezed, expanded, 3, { padding: 1 });
  }

  /** torchvision's names. */
  override memberName(property: string): string {
    return property.replace("Activation", "_activation");
  }

  forward(x: Tensor): Tensor {
    const y = this.squeezeActivation.forward(this.squeeze.forward(x));
    const one = this.expand1x1Activation.forward(this.expand1x1.forward(y));
    const three = this.expand3x3Activation.forward(this.expand3x3.forward(y));
    return concat([one, three], 1);
  }
}

const pool = () => new nn.MaxPool2d(3, { stride: 2, ceilMode: true });

/** Squeezed and expanded widths of fire2 to fire9; a fire gives twice its expanded width. */
const FIRES = [
  [16, 64],
  [16, 64],
  [32, 128],
  [32, 128],
  [48, 192],
  [48, 192],
  [64, 256],
  [64, 256],
] as const;

interface Version {
  readonly stem: readonly [width: number, kernel: number];
  /** Fires by number that a pool follows. */
  readonly poolAfter: readonly number[];
}

const VERSIONS = {
  "1_0": { stem: [96, 7], poolAfter: [4, 8] },
  "1_1": { stem: [64, 3], poolAfter: [3, 5] },
} as const satisfies Record<string, Version>;

/** Layers block by block: the stem with its pool, then each fire, with the pool that follows it. */
function blocksOf({ stem: [width, kernel], poolAfter }: Version): Record<string, Layer[]> {
  const blocks: Record<string, Layer[]> = {
    stem: [new nn.Conv2d(3, width, kernel, { stride: 2 }), new nn.ReLU(), pool()],
  };
  let inputs: number = width;
  FIRES.forEach(([squeezed, expanded], i) => {
    const fire = new Fire(inputs, squeezed, expanded);
    blocks[`fire${i + 2}`] = poolAfter.includes(i + 2) ? [fire, pool()] : [fire];
    inputs = 2 * expanded;
  });
  return blocks;
}

export interface SqueezeNetConfig {
  readonly version: keyof typeof VERSIONS;
  /** Default 1000. */
  readonly numClasses?: number;
  /** Before the last convolution. Default 0.5. */
  readonly dropout?: number;
}

export class SqueezeNet extends FeaturesClassifier {
  readonly architecture: string;
  readonly preprocessing: Preprocessing = IMAGENET;
  readonly numFeatures = 512;
  /** Number of layers in each block of the trunk. */
  readonly blockSizes: Readonly<Record<string, number>>;
  features: nn.Sequential;
  classifier: Layer;

  constructor(architecture: string, config: SqueezeNetConfig) {
    super();
    const { numClasses = 1000, dropout = 0.5 } = config;
    this.architecture = architecture;
    const blocks = blocksOf(VERSIONS[config.version]);
    this.blockSizes = Object.fromEntries(Object.entries(blocks).map(([name, b]) => [name, b.length]));
    this.features = new nn.Sequential(...Object.values(blocks).flat());
    const last = new nn.Conv2d(512, numClasses, 1);
    this.classifier = new nn.Sequential(
      new nn.Dropout(dropout),
      last,
      new nn.ReLU(),
      new nn.AdaptiveAvgPool2d(1),
    );
    for (const m of this.modules()) {
      if (!(m instanceof nn.Conv2d)) continue;
      if (m === last) nn.init.normal(m.weight, 0, 0.01);
      else nn.init.kaimingUniform(m.weight);
      if (m.bias) nn.init.zeros(m.bias);
    }
    ownHead(this);
  }

  /** A view of `features` in blocks: stem, fire2 … fire9, pools with what they follow. */
  override get trunk(): nn.Sequential {
    return blockViews(this.features, Object.entries(this.blockSizes));
  }

  /** A dense head needs what this one does at its end. */
  headInput(): Layer[] {
    return [new nn.AdaptiveAvgPool2d(1), new nn.Flatten()];
  }

  /** x [N, 3, H, W] → logits [N, classes]; H and W of at least 21 (1.0) or 17 (1.1). */
  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.features.forward(x)).flatten(1);
  }
}

export interface SqueezeNetOptions extends ModelOptions {
  /** Dropout before the last convolution, from 0 to 1. Default 0.5. */
  readonly dropout?: number;
}

function squeezenet(version: keyof typeof VERSIONS, options: SqueezeNetOptions): SqueezeNet {
  const architecture = `squeezenet${version}`;
  return build(architecture, options, ["dropout"], (numClasses) => {
    const { dropout } = options;
    checkProbability(architecture, "dropout", dropout);
    return new SqueezeNet(architecture, { version, numClasses, dropout });
  });
}

/** SqueezeNet 1.0: 1,248,424 parameters with 1000 classes. */
export const squeezenet1_0 = (options: SqueezeNetOptions = {}): SqueezeNet => squeezenet("1_0", options);

/** SqueezeNet 1.1, with 2.4 times less work: 1,235,496 parameters with 1000 classes. */
export const squeezenet1_1 = (options: SqueezeNetOptions = {}): SqueezeNet => squeezenet("1_1", options);
