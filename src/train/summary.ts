// What a network is made of: each layer's output shape and parameters, found by building its forward pass without
// running it.

import { ShapeError, UsageError } from "../core/error.ts";
import type { Shape } from "../core/shape.ts";
import type { Module } from "../nn/index.ts";
import { runtime } from "../runtime/context.ts";
import { noGrad, zeros } from "../tensor/functions.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Network } from "./steps.ts";

/** One layer: a module without children. */
export interface LayerRow {
  /** Dotted name. */
  readonly layer: string;
  readonly type: string;
  readonly outputShape: Shape;
  /** Numbers of elements. */
  readonly parameters: number;
  readonly trainable: number;
  /** Normalises by its running statistics even in train mode. */
  readonly frozen: boolean;
}

export interface NetworkSummary {
  /** In the order in which the forward pass meets them. */
  readonly layers: readonly LayerRow[];
  readonly parameters: number;
  readonly trainable: number;
  /** Elements of buffers: running means and variances. */
  readonly buffers: number;
}

const size = (list: Iterable<Tensor>) => [...list].reduce((n, t) => n + t.numel, 0);

function rowOf(layer: string, module: Module, outputShape: Shape): LayerRow {
  const own = module.parameters();
  const open = own.filter((p) => p.requiresGrad);
  const type = module.constructor.name;
  return { layer, type, outputShape, parameters: size(own), trainable: size(open), frozen: module.frozen };
}

/** Calls `seen` for each leaf module as a forward pass over x [1, 3, side, side] meets it; nothing is computed. */
function walk(model: Network, side: number, seen: (name: string, m: Module, shape: Shape) => void): void {
  const leaves = [...model.namedModules()].filter(([, m]) => m.children.length === 0);
  const training = model.training;
  for (const [name, m] of leaves) {
    const forward = m.forward.bind(m) as (...inputs: unknown[]) => unknown;
    m.forward = (...inputs: unknown[]) => {
      const out = forward(...inputs);
      if (out instanceof Tensor) seen(name, m, out.shape);
      return out;
    };
  }
  try {
    model.eval();
    // The scope keeps the result from being evaluated with whatever is read next.
    runtime().scope(
      () => void noGrad(() => model.forward(zeros([1, 3, side, side]))),
      () => [],
    );
  } finally {
    for (const [, m] of leaves) Reflect.deleteProperty(m, "forward");
    model.train(training);
  }
}

/** Summary of a network for pictures of that side. Throws UsageError when they are too small for it. */
export function summary(model: Network, side: number): NetworkSummary {
  const layers: LayerRow[] = [];
  checkedWalk(model, side, (name, m, shape) => layers.push(rowOf(name, m, shape)));
  return {
    layers,
    parameters: size(model.parameters()),
    trainable: size(model.parameters().filter((p) => p.requiresGrad)),
    buffers: size([...model.namedBuffers()].map(([, b]) => b)),
  };
}

/** Throws UsageError when pictures of that side are too small for the network. */
export function checkImageSize(model: Network, side: number): void {
  checkedWalk(model, side, () => {});
}

function checkedWalk(model: Network, side: number, seen: Parameters<typeof walk>[2]): void {
  let last = "its input";
  try {
    walk(model, side, (name, m, shape) => {
      last = name;
      seen(name, m, shape);
    });
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new UsageError(
      `image-size ${side} is too small for this network: nothing is left to compute after ${last} (${error.message})`,
    );
  }
}
