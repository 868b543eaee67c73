// What every image classifier offers beside forward: an ordered trunk of blocks, a head that can be replaced, and how
// pictures must be prepared for it.

import { Conv2d, Linear, Module, Sequential } from "../nn/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Preprocessing } from "../weights/index.ts";

export type { Preprocessing };

/** torchvision's evaluation preset of most architectures. */
export const IMAGENET: Preprocessing = {
  resize: 256,
  crop: 224,
  interpolation: "bilinear",
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** A module of one tensor to one. */
export type Layer = Module & { forward(x: Tensor): Tensor };

/** A network with a trunk and a head, x [N, 3, H, W] → logits [N, classes]. */
export interface Classifier extends Module {
  readonly architecture: string;
  /**
   * Ordered blocks below the head; `--unfrozen-blocks N` counts its children from the end. A view of the same layers
   * where the network has no such module (ResNet) or its layers are no blocks (VGG): assigning to it changes nothing.
   */
  readonly trunk: Sequential;
  /** Property that holds the head, its state-dict prefix. */
  readonly headName: string;
  /** Inputs of the head. */
  readonly numFeatures: number;
  readonly preprocessing: Preprocessing;
  head: Layer;
  /** Fresh layers to put before a head that takes [N, numFeatures], where the network's own head pools by itself. */
  headInput?(): Layer[];
  forward(x: Tensor): Tensor;
}

/** A classifier of `features` and `classifier`, as most are: its trunk is all of `features` unless it says otherwise. */
export abstract class FeaturesClassifier extends Module implements Classifier {
  abstract readonly architecture: string;
  abstract readonly numFeatures: number;
  abstract readonly preprocessing: Preprocessing;
  readonly headName = "classifier";
  abstract features: Sequential;
  abstract classifier: Layer;

  get trunk(): Sequential {
    return this.features;
  }

  get head(): Layer {
    return this.classifier;
  }

  set head(module: Layer) {
    this.classifier = module;
  }

  abstract override forward(x: Tensor): Tensor;
}

/** A view of layers that follow each other in blocks of so many, by name. */
export function blockViews(features: Sequential, sizes: readonly (readonly [string, number])[]): Sequential {
  let at = 0;
  const views = sizes.map(([name, size]) => {
    at += size;
    return [name, features.slice(at - size, at)] as const;
  });
  return new Sequential(Object.fromEntries(views));
}

/** Heads that architectures made themselves. */
const OWN = new WeakSet<Module>();

/** Marks the head as the architecture's own; called at the end of a constructor. */
export function ownHead(model: Classifier): void {
  OWN.add(model.head);
}

type LastLayer = Linear | Conv2d;

/** The layer of the head that makes the logits, its last Linear or Conv2d, with its name in the model. */
export function lastLayer(model: Classifier): { name: string; layer: LastLayer } {
  const found = [...model.head.namedModules(model.headName)].filter(
    (entry): entry is [string, LastLayer] => entry[1] instanceof Linear || entry[1] instanceof Conv2d,
  );
  const last = found.at(-1);
  if (!last) throw new Error(`${model.architecture}: the head ${model.headName} has no Linear or Conv2d`);
  return { name: last[0], layer: last[1] };
}

/** Replaces the last layer by a fresh one of so many classes, with PyTorch's initial weights. */
export function replaceLast(model: Classifier, numClasses: number): void {
  const { name, layer } = lastLayer(model);
  const fresh =
    layer instanceof Linear
      ? new Linear(layer.inFeatures, numClasses)
      : new Conv2d(layer.inChannels, numClasses, layer.kernelSize, layer.options);
  if (name === model.headName) {
    model.head = fresh as Layer;
    OWN.add(model.head);
    return;
  }
  const path = name.split(".");
  const parent = [...model.namedModules()].find(([n]) => n === path.slice(0, -1).join("."))?.[1];
  Object.assign(parent as Module, { [path[path.length - 1]]: fresh });
}

/** Name of what is fresh after a head was replaced: the last layer, or the head, where it is not the architecture's. */
export const freshName = (model: Classifier): string =>
  OWN.has(model.head) ? lastLayer(model).name : model.headName;
