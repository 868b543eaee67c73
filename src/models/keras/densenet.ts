// DenseNet-121 (Huang et al. 2017) as keras.applications has it: torchvision's network but for the eps of its batch
// norms (1.001e-5), the meaning of their momentum, the names and the initial values.

import * as nn from "../../nn/index.ts";
import { concat } from "../../tensor/functions.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { IMAGENET, type Layer } from "../classifier.ts";
import { build, type KerasModel, type KerasOptions } from "./classifier.ts";
import { glorot } from "./init.ts";
import { SameConv2d } from "./layers.ts";

const GROWTH = 32;
const BLOCKS = [6, 12, 24, 16] as const;

/** Keras' default momentum 0.99, the weight of the old statistics, is PyTorch's 0.01. */
const norm = (channels: number) => new nn.BatchNorm2d(channels, { eps: 1.001e-5, momentum: 1 - 0.99 });

/** Layers whose output joins what came before. */
class DenseLayer extends nn.Sequential {
  override forward(x: Tensor): Tensor {
    return concat([x, super.forward(x)], 1);
  }
}

function denseLayer(name: string, inputs: number): DenseLayer {
  return new DenseLayer({
    [`${name}_0_bn`]: norm(inputs),
    [`${name}_0_relu`]: new nn.ReLU(),
    [`${name}_1_conv`]: new SameConv2d(inputs, 4 * GROWTH, 1),
    [`${name}_1_bn`]: norm(4 * GROWTH),
    [`${name}_1_relu`]: new nn.ReLU(),
    [`${name}_2_conv`]: new SameConv2d(4 * GROWTH, GROWTH, 3),
  });
}

function transition(name: string, inputs: number): nn.Sequential {
  return new nn.Sequential({
    [`${name}_bn`]: norm(inputs),
    [`${name}_relu`]: new nn.ReLU(),
    [`${name}_conv`]: new SameConv2d(inputs, inputs / 2, 1),
    [`${name}_pool`]: new nn.AvgPool2d(2),
  });
}

function trunk(): { features: nn.Sequential; width: number } {
  // ZeroPadding2D writes its zeros before the pool where PyTorch counts none; behind a ReLU the largest is the same.
  const blocks: Record<string, Layer> = {
    conv1: new nn.Sequential({
      conv1_conv: new nn.Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false }),
      conv1_bn: norm(64),
      conv1_relu: new nn.ReLU(),
      pool1: new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
    }),
  };
  let width = 64;
  BLOCKS.forEach((count, b) => {
    const name = `conv${b + 2}`;
    const layers: Record<string, Layer> = {};
    for (let i = 1; i <= count; i++) {
      layers[`${name}_block${i}`] = denseLayer(`${name}_block${i}`, width);
      width += GROWTH;
    }
    blocks[name] = new nn.Sequential(layers);
    if (b === BLOCKS.length - 1) return;
    blocks[`pool${b + 2}`] = transition(`pool${b + 2}`, width);
    width /= 2;
  });
  blocks.top = new nn.Sequential({ bn: norm(width), relu: new nn.ReLU() });
  return { features: new nn.Sequential(blocks), width };
}

/**
 * keras.applications.DenseNet121: 7,978,856 trainable parameters with 1000 classes. Pictures as torchvision's: RGB from
 * 0 to 1, normalised by ImageNet's mean and deviation. Throws a UsageError for options that there are not.
 */
export function densenet121(options: KerasOptions = {}): KerasModel {
  const architecture = "keras.densenet121";
  const parts = () => {
    const { features, width } = trunk();
    const top = (classes: number) => new nn.Linear(width, classes);
    return { architecture, preprocessing: IMAGENET, features, width, top, init: glorot };
  };
  return build(parts, architecture, options);
}
