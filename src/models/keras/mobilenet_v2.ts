// MobileNetV2 (Sandler et al. 2018) as keras.applications has it: TensorFlow's padding, batch norms with eps 1e-3, and
// no dropout before the classes. A width multiplier `alpha` scales the channels.

import { checkNumber, checkOptions } from "../../core/options.ts";
import * as nn from "../../nn/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Layer, Preprocessing } from "../classifier.ts";
import { makeDivisible } from "../conv_norm.ts";
import { build, KERAS_OPTIONS, type KerasModel, type KerasOptions } from "./classifier.ts";
import { glorot } from "./init.ts";
import { depthwise, SameConv2d } from "./layers.ts";

/** Options of keras.mobilenetV2. */
export interface MobileNetV2Options extends KerasOptions {
  /** Width multiplier, above 0; published are 0.35, 0.5, 0.75, 1, 1.3 and 1.4. Default 1. */
  readonly alpha?: number;
}

/** Channels from -1 to 1 (Keras' preprocessing mode "tf": RGB / 127.5 - 1). */
export const MINUS_ONE_TO_ONE: Preprocessing = {
  resize: 256,
  crop: 224,
  interpolation: "bilinear",
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
};

/** [filters, stride, expansion] of the seventeen blocks. */
const BLOCKS = [
  [16, 1, 1],
  [24, 2, 6],
  [24, 1, 6],
  [32, 2, 6],
  [32, 1, 6],
  [32, 1, 6],
  [64, 2, 6],
  [64, 1, 6],
  [64, 1, 6],
  [64, 1, 6],
  [96, 1, 6],
  [96, 1, 6],
  [96, 1, 6],
  [160, 2, 6],
  [160, 1, 6],
  [160, 1, 6],
  [320, 1, 6],
] as const;

/** Keras' momentum 0.999 is the weight of the old statistics, PyTorch's that of the new ones. */
const norm = (channels: number) => new nn.BatchNorm2d(channels, { eps: 1e-3, momentum: 1 - 0.999 });

/** Width multipliers of published weights. */
export const ALPHAS = [0.35, 0.5, 0.75, 1, 1.3, 1.4] as const;

/** Channels behind each of the seventeen blocks. */
export const channelsOf = (alpha: number): number[] =>
  BLOCKS.map(([filters]) => makeDivisible(Math.floor(filters * alpha)));

/** Layers one after another; where channels and size stay, the input is added. */
class InvertedResidual extends nn.Sequential {
  readonly adds: boolean;

  constructor(layers: Readonly<Record<string, Layer>>, adds: boolean) {
    super(layers);
    this.adds = adds;
  }

  override forward(x: Tensor): Tensor {
    const y = super.forward(x);
    return this.adds ? x.add(y) : y;
  }
}

function block(index: number, inputs: number, outputs: number): InvertedResidual {
  const [, stride, expansion] = BLOCKS[index];
  const prefix = index === 0 ? "expanded_conv" : `block_${index}`;
  const inner = expansion * inputs;
  const expand: Record<string, Layer> =
    index === 0
      ? {}
      : {
          [`${prefix}_expand`]: new SameConv2d(inputs, inner, 1),
          [`${prefix}_expand_BN`]: norm(inner),
          [`${prefix}_expand_relu`]: new nn.ReLU6(),
        };
  const layers = {
    ...expand,
    [`${prefix}_depthwise`]: depthwise(inner, 3, stride),
    [`${prefix}_depthwise_BN`]: norm(inner),
    [`${prefix}_depthwise_relu`]: new nn.ReLU6(),
    [`${prefix}_project`]: new SameConv2d(inner, outputs, 1),
    [`${prefix}_project_BN`]: norm(outputs),
  };
  return new InvertedResidual(layers, stride === 1 && inputs === outputs);
}

function trunk(alpha: number): { features: nn.Sequential; width: number } {
  const first = makeDivisible(32 * alpha);
  const blocks: Record<string, Layer> = {
    Conv1: new nn.Sequential({
      Conv1: new SameConv2d(3, first, 3, { stride: 2 }),
      bn_Conv1: norm(first),
      Conv1_relu: new nn.ReLU6(),
    }),
  };
  let channels = first;
  channelsOf(alpha).forEach((outputs, i) => {
    blocks[i === 0 ? "expanded_conv" : `block_${i}`] = block(i, channels, outputs);
    channels = outputs;
  });
  const width = alpha > 1 ? makeDivisible(1280 * alpha) : 1280;
  blocks.Conv_1 = new nn.Sequential({
    Conv_1: new SameConv2d(channels, width, 1),
    Conv_1_bn: norm(width),
    out_relu: new nn.ReLU6(),
  });
  return { features: new nn.Sequential(blocks), width };
}

/**
 * keras.applications.MobileNetV2: with alpha 1 and 1000 classes 3,504,872 trainable parameters. Pictures as RGB from -1
 * to 1. Throws a UsageError for options that there are not, or out of range.
 */
export function mobilenetV2(options: MobileNetV2Options = {}): KerasModel {
  const what = "keras.mobilenetV2";
  checkOptions(what, options, [...KERAS_OPTIONS, "alpha"]);
  const { alpha = 1 } = options;
  checkNumber(what, "alpha", alpha, { min: 0, above: true });
  const architecture = alpha === 1 ? what : `${what}_${alpha}`;
  const parts = () => {
    const { features, width } = trunk(alpha);
    const top = (classes: number) => new nn.Linear(width, classes);
    return { architecture, preprocessing: MINUS_ONE_TO_ONE, features, width, top, init: glorot };
  };
  return build(parts, architecture, options, ["alpha"]);
}
