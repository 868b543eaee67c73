// What every image classifier offers beside forward: an ordered trunk of blocks, a head that can be replaced, and how
// pictures must be prepared for it.

import type { Module, Sequential } from "../nn/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How a picture becomes an input: torchvision's evaluation preset for the architecture. */
export interface Preprocessing {
  /** Short side after resizing, then the side of the centre crop. */
  readonly resize: number;
  readonly crop: number;
  readonly interpolation: "bilinear" | "bicubic";
  /** Of channels in [0, 1], RGB. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

export const IMAGENET: Preprocessing = {
  resize: 256,
  crop: 224,
  interpolation: "bilinear",
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** A network with a trunk and a head, x [N, 3, H, W] → logits [N, classes]. */
export interface Classifier extends Module {
  readonly architecture: string;
  /** Ordered blocks below the head; `--unfrozen-blocks N` counts its children from the end. */
  readonly trunk: Sequential;
  /** Property that holds the head, its state-dict prefix. */
  readonly headName: string;
  /** Inputs of the head. */
  readonly numFeatures: number;
  readonly preprocessing: Preprocessing;
  head: Module & { forward(x: Tensor): Tensor };
  forward(x: Tensor): Tensor;
}
