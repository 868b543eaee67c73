// models.keras: the architectures of keras.applications where their arithmetic differs from torchvision's.

import type { KerasOptions } from "./classifier.ts";
import { densenet121 } from "./densenet.ts";
import { efficientnetB0 } from "./efficientnet.ts";
import { mobilenetV2 } from "./mobilenet_v2.ts";
import { vgg16 } from "./vgg16.ts";

export { KerasModel, type KerasOptions } from "./classifier.ts";
export type { EfficientNetOptions } from "./efficientnet.ts";
export type { MobileNetV2Options } from "./mobilenet_v2.ts";
export {
  type TeachableMachine,
  type TeachableMachineFiles,
  teachableMachine,
} from "./teachable_machine.ts";
export type { VGG16Options } from "./vgg16.ts";
export { densenet121, efficientnetB0, mobilenetV2, vgg16 };

/** The names that `models.create` and the command line know them by. */
export const TABLE = {
  "keras.vgg16": vgg16,
  "keras.vgg16_notop": (options: KerasOptions = {}) =>
    vgg16({ numClasses: 1000, ...options, includeTop: false }),
  "keras.mobilenetV2": mobilenetV2,
  "keras.mobilenetV2_0.35": narrow(0.35),
  "keras.mobilenetV2_0.5": narrow(0.5),
  "keras.mobilenetV2_0.75": narrow(0.75),
  "keras.mobilenetV2_1.3": narrow(1.3),
  "keras.mobilenetV2_1.4": narrow(1.4),
  "keras.efficientnetB0": efficientnetB0,
  "keras.densenet121": densenet121,
} as const;

function narrow(alpha: number) {
  return (options: KerasOptions = {}) => mobilenetV2({ ...options, alpha });
}
