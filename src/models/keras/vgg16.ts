// VGG16 (Simonyan and Zisserman 2014) as keras.applications has it: weights of Caffe, so pictures are BGR with the mean
// taken off and not scaled; a flattening top without dropout for pictures of one size.

import { checkNumber, checkOptions } from "../../core/options.ts";
import * as nn from "../../nn/index.ts";
import type { Layer, Preprocessing } from "../classifier.ts";
import { build, KERAS_OPTIONS, type KerasModel, type KerasOptions } from "./classifier.ts";
import { glorot } from "./init.ts";
import { SameConv2d } from "./layers.ts";

/** Options of keras.vgg16. */
export interface VGG16Options extends KerasOptions {
  /** Side of the pictures that the top is for, at least 32. Default 224. */
  readonly imageSize?: number;
}

/** Keras' preprocessing mode "caffe": BGR from 0 to 255 less ImageNet's mean. */
export const CAFFE: Preprocessing = {
  resize: 256,
  crop: 224,
  interpolation: "bilinear",
  mean: [123.68 / 255, 116.779 / 255, 103.939 / 255],
  std: [1 / 255, 1 / 255, 1 / 255],
  order: "bgr",
};

/** Channels and convolutions of the five blocks; each ends in a max pool. */
const BLOCKS = [
  [64, 2],
  [128, 2],
  [256, 3],
  [512, 3],
  [512, 3],
] as const;

function trunk(): nn.Sequential {
  let inputs = 3;
  const blocks = BLOCKS.map(([channels, count], b) => {
    const layers: Record<string, Layer> = {};
    for (let i = 1; i <= count; i++) {
      const name = `block${b + 1}_conv${i}`;
      layers[name] = new SameConv2d(inputs, channels, 3, { bias: true });
      layers[`${name}_relu`] = new nn.ReLU();
      inputs = channels;
    }
    layers[`block${b + 1}_pool`] = new nn.MaxPool2d(2);
    return [`block${b + 1}`, new nn.Sequential(layers)] as const;
  });
  return new nn.Sequential(Object.fromEntries(blocks));
}

const top = (inputs: number) => (numClasses: number) =>
  new nn.Sequential({
    fc1: new nn.Linear(inputs, 4096),
    fc1_relu: new nn.ReLU(),
    fc2: new nn.Linear(4096, 4096),
    fc2_relu: new nn.ReLU(),
    predictions: new nn.Linear(4096, numClasses),
  });

/**
 * keras.applications.VGG16: 138,357,544 parameters with 1000 classes, 14,714,688 without top. Pictures as BGR from 0 to
 * 255 less [103.939, 116.779, 123.68]; with top of one size. Throws a UsageError for options that there are not, or out
 * of range.
 */
export function vgg16(options: VGG16Options = {}): KerasModel {
  const { includeTop = true } = options;
  const architecture = includeTop ? "keras.vgg16" : "keras.vgg16_notop";
  checkOptions(architecture, options, [...KERAS_OPTIONS, "imageSize"]);
  const { imageSize = 224 } = options;
  checkNumber(architecture, "imageSize", imageSize, { whole: true, min: 32 });
  const side = Math.floor(imageSize / 32);
  const sized = imageSize === 224 ? CAFFE : { ...CAFFE, resize: imageSize, crop: imageSize };
  const parts = () => ({
    architecture,
    preprocessing: sized,
    features: trunk(),
    width: 512,
    top: top(512 * side ** 2),
    flatten: side,
    init: glorot,
  });
  return build(parts, architecture, options, ["imageSize"]);
}
