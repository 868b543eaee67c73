// The step that is profiled, tuned and benchmarked: a network on made-up pictures, which trains as asked.

import { functional, type Module } from "../nn/index.ts";
import type { Optimizer } from "../optim/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { FreezePolicy } from "./policy.ts";

/** What trains in the step: everything, the last two blocks of the trunk and the head, the head; or there is none. */
export const TRAINED = ["all", "last", "head", "none"] as const;
export type Trained = (typeof TRAINED)[number];

/** As a policy of what is frozen. */
export const POLICIES: Readonly<Record<Exclude<Trained, "none">, FreezePolicy>> = {
  all: { freeze: ["none"] },
  last: { freeze: ["trunk"], unfrozenBlocks: 2 },
  head: { freeze: ["trunk"] },
};

/** A wave that fills the range of normalised pictures, [batch, 3, side, side], and labels [batch] spread over the classes. */
export function madeUpBatch(
  batch: number,
  side: number,
  classes = 1000,
): { x: Float32Array<ArrayBuffer>; y: Int32Array<ArrayBuffer> } {
  return {
    x: Float32Array.from({ length: batch * 3 * side * side }, (_, i) => 2 * Math.sin(1.7 * i + (i % 1013))),
    y: Int32Array.from({ length: batch }, (_, i) => (131 * i + 7) % classes),
  };
}

/** One plain step, for compile and planOf: cross-entropy of x's logits, its gradients, the update; gives the loss. */
export function plainStep<H extends object>(
  model: Module & { forward(x: Tensor): Tensor },
  optimizer: Optimizer<H>,
): (x: Tensor, y: Tensor) => Tensor {
  return (x, y) => {
    const loss = functional.crossEntropy(model.forward(x), y);
    optimizer.zeroGrad();
    loss.backward();
    void optimizer.step();
    return loss;
  };
}
