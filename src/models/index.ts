// models: architectures by name, spelled as torchvision's (densenet_mini is the project's own;
// keras.… are Keras' variants).

import { nearest, UsageError } from "../core/error.ts";
import type { Classifier } from "./classifier.ts";
import {
  type DenseNetOptions,
  densenet_mini,
  densenet121,
  densenet161,
  densenet169,
  densenet201,
} from "./densenet.ts";
import {
  type EfficientNetOptions,
  efficientnet_b0,
  efficientnet_b1,
  efficientnet_b2,
  efficientnet_b3,
} from "./efficientnet.ts";
import * as keras from "./keras/index.ts";
import { type MobileNetOptions, mobilenet_v2 } from "./mobilenet.ts";
import { type ResNetOptions, resnet18, resnet34, resnet50 } from "./resnet.ts";
import { type SqueezeNetOptions, squeezenet1_0, squeezenet1_1 } from "./squeezenet.ts";
import {
  type VggOptions,
  vgg11,
  vgg11_bn,
  vgg13,
  vgg13_bn,
  vgg16,
  vgg16_bn,
  vgg19,
  vgg19_bn,
} from "./vgg.ts";

export type { ModelOptions } from "./build.ts";
export {
  type Classifier,
  freshName,
  IMAGENET,
  lastLayer,
  type Preprocessing,
  replaceLast,
} from "./classifier.ts";
export * from "./densenet.ts";
export * from "./efficientnet.ts";
export * from "./mobilenet.ts";
export * from "./resnet.ts";
export * from "./squeezenet.ts";
export * from "./vgg.ts";
export { keras };

/** The options of all architectures; one that an architecture does not have is refused by name. */
export type AnyModelOptions = DenseNetOptions &
  EfficientNetOptions &
  MobileNetOptions &
  ResNetOptions &
  SqueezeNetOptions &
  VggOptions;

const TABLE: Readonly<Record<string, (options?: AnyModelOptions) => Classifier>> = {
  densenet121,
  densenet161,
  densenet169,
  densenet201,
  densenet_mini,
  efficientnet_b0,
  efficientnet_b1,
  efficientnet_b2,
  efficientnet_b3,
  mobilenet_v2,
  resnet18,
  resnet34,
  resnet50,
  squeezenet1_0,
  squeezenet1_1,
  vgg11,
  vgg11_bn,
  vgg13,
  vgg13_bn,
  vgg16,
  vgg16_bn,
  vgg19,
  vgg19_bn,
  ...keras.TABLE,
};

/** Names of all architectures. */
export function list(): string[] {
  return Object.keys(TABLE);
}

/** Throws a UsageError for an architecture that there is not, suggesting the nearest. */
export function checkName(name: string): void {
  if (Object.hasOwn(TABLE, name)) return;
  const near = nearest(name, list());
  throw new UsageError(
    `there is no model called ${name}${near ? `; did you mean ${near}?` : ` (there are ${list().join(", ")})`}`,
  );
}

/** An architecture by name; an unknown one throws a UsageError that suggests the nearest. */
export function create(name: string, options: AnyModelOptions = {}): Classifier {
  checkName(name);
  return TABLE[name](options);
}
