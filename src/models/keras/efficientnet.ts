// EfficientNet-B0 (Tan and Le 2019) as keras.applications has it: pixels from 0 to 255 are scaled and normalised inside
// the network, paddings are TensorFlow's, batch norms have eps 1e-3.

import { checkOptions, checkWord } from "../../core/options.ts";
import * as nn from "../../nn/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { IMAGENET, type Layer, type Preprocessing } from "../classifier.ts";
import { build, KERAS_OPTIONS, type KerasModel, type KerasOptions } from "./classifier.ts";
import { fanOutScaled } from "./init.ts";
import { depthwise, Normalization, Rescaling, SameConv2d } from "./layers.ts";

/** Options of keras.efficientnetB0. */
export interface EfficientNetOptions extends KerasOptions {
  /**
   * "imagenet" (default): the layers of `EfficientNetB0(weights="imagenet")`, which divides by the square root of
   * ImageNet's deviations once more, as its published files hold deviations where variances belong
   * (tensorflow/tensorflow#49930). "none": those of `weights=None`, for files of networks trained from scratch.
   */
  readonly rescale?: "imagenet" | "none";
}

/** Bytes as they are: the network itself scales them. */
export const BYTES: Preprocessing = {
  resize: 256,
  crop: 224,
  interpolation: "bilinear",
  mean: [0, 0, 0],
  std: [1 / 255, 1 / 255, 1 / 255],
};

/** [kernel, repeats, filters, expansion, stride] of the seven stages. */
const STAGES = [
  [3, 1, 16, 1, 1],
  [3, 2, 24, 6, 2],
  [5, 2, 40, 6, 2],
  [3, 3, 80, 6, 2],
  [5, 3, 112, 6, 1],
  [5, 4, 192, 6, 2],
  [3, 1, 320, 6, 1],
] as const;

const STEM = 32;
const WIDTH = 1280;
/** Dropout before the classes, and the last block's chance of being dropped. */
const DROPOUT = 0.2;

/** Keras' default momentum 0.99, the weight of the old statistics, is PyTorch's 0.01. */
const norm = (channels: number) => new nn.BatchNorm2d(channels, { eps: 1e-3, momentum: 1 - 0.99 });

interface BlockShape {
  readonly name: string;
  readonly kernel: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly expansion: number;
  readonly stride: number;
  /** Chance that a picture's whole branch is dropped in training. */
  readonly drop: number;
}

/** Maps times a weight for each channel, which two small convolutions tell from their means. */
class SqueezeExcitation extends nn.Module {
  constructor(block: string, channels: number, squeezed: number) {
    super();
    Object.assign(this, {
      [`${block}_se_reduce`]: new SameConv2d(channels, squeezed, 1, { bias: true }),
      [`${block}_se_expand`]: new SameConv2d(squeezed, channels, 1, { bias: true }),
    });
  }

  forward(x: Tensor): Tensor {
    const [reduce, expand] = this.children as SameConv2d[];
    const means = nn.functional.adaptiveAvgPool2d(x, 1);
    return x.mul(expand.forward(reduce.forward(means).silu()).sigmoid());
  }
}

/** An inverted residual block; its branch is added where channels and size stay. */
class Block extends nn.Sequential {
  readonly adds: boolean;
  readonly drop: number;

  constructor(s: BlockShape) {
    super(layersOf(s));
    this.adds = s.stride === 1 && s.inputs === s.outputs;
    this.drop = s.drop;
  }

  override forward(x: Tensor): Tensor {
    const y = super.forward(x);
    // Keras' Dropout with the noise shape [N, 1, 1, 1].
    return this.adds ? nn.functional.stochasticDepth(y, this.drop, "row", this.training).add(x) : y;
  }
}

function layersOf({ name, kernel, inputs, outputs, expansion, stride }: BlockShape): Record<string, Layer> {
  const inner = inputs * expansion;
  const expand: Record<string, Layer> =
    expansion === 1
      ? {}
      : {
          [`${name}_expand_conv`]: new SameConv2d(inputs, inner, 1),
          [`${name}_expand_bn`]: norm(inner),
          [`${name}_expand_activation`]: new nn.SiLU(),
        };
  return {
    ...expand,
    [`${name}_dwconv`]: depthwise(inner, kernel, stride),
    [`${name}_bn`]: norm(inner),
    [`${name}_activation`]: new nn.SiLU(),
    [`${name}_se`]: new SqueezeExcitation(name, inner, Math.floor(inputs / 4)),
    [`${name}_project_conv`]: new SameConv2d(inner, outputs, 1),
    [`${name}_project_bn`]: norm(outputs),
  };
}

function stem(rescale: "imagenet" | "none"): nn.Sequential {
  const { mean, std } = IMAGENET;
  const published = rescale === "imagenet";
  const scaled: Record<string, Layer> = published
    ? { rescaling_1: new Rescaling(std.map((s) => 1 / Math.sqrt(s))) }
    : {};
  return new nn.Sequential({
    rescaling: new Rescaling(1 / 255),
    normalization: published ? new Normalization(mean, std) : new Normalization([0, 0, 0], [1, 1, 1]),
    ...scaled,
    stem_conv: new SameConv2d(3, STEM, 3, { stride: 2 }),
    stem_bn: norm(STEM),
    stem_activation: new nn.SiLU(),
  });
}

function trunk(rescale: "imagenet" | "none"): nn.Sequential {
  const blocks: Record<string, Layer> = { stem: stem(rescale) };
  const total = STAGES.reduce((n, [, repeats]) => n + repeats, 0);
  let inputs = STEM;
  let index = 0;
  STAGES.forEach(([kernel, repeats, outputs, expansion, stride], s) => {
    for (let j = 0; j < repeats; j++) {
      const name = `block${s + 1}${"abcd"[j]}`;
      const drop = (DROPOUT * index++) / total;
      const step = j === 0 ? stride : 1;
      blocks[name] = new Block({ name, kernel, inputs, outputs, expansion, stride: step, drop });
      inputs = outputs;
    }
  });
  blocks.top = new nn.Sequential({
    top_conv: new SameConv2d(inputs, WIDTH, 1),
    top_bn: norm(WIDTH),
    top_activation: new nn.SiLU(),
  });
  return new nn.Sequential(blocks);
}

/**
 * keras.applications.EfficientNetB0: 5,288,548 trainable parameters with 1000 classes. Pictures as RGB from 0 to 255.
 * Throws a UsageError for options that there are not.
 */
export function efficientnetB0(options: EfficientNetOptions = {}): KerasModel {
  const architecture = "keras.efficientnetB0";
  checkOptions(architecture, options, [...KERAS_OPTIONS, "rescale"]);
  const { rescale = "imagenet" } = options;
  checkWord(architecture, "rescale", rescale, ["imagenet", "none"]);
  const top = (classes: number) =>
    new nn.Sequential({ top_dropout: new nn.Dropout(DROPOUT), predictions: new nn.Linear(WIDTH, classes) });
  const parts = () => ({
    architecture,
    preprocessing: BYTES,
    features: trunk(rescale),
    width: WIDTH,
    top,
    init: fanOutScaled,
  });
  return build(parts, architecture, options, ["rescale"]);
}
