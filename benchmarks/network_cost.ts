// The cost model of scaling.ts: multiply-adds of a network's forward pass, from its weights and the size of the picture,
// and what of them must be done again on the way back when the first blocks are frozen.

import type { models } from "../src/index.ts";

/** The height of the maps that a weight's convolution writes; a transition's pool goes first (rewrite "poolFirst"). */
function planes(size: number): (name: string) => number {
  const half = (n: number) => Math.floor((n - 1) / 2) + 1;
  const stem = half(size);
  const blocks = [half(stem)];
  for (let i = 1; i < 4; i++) blocks.push(Math.floor(blocks[i - 1] / 2));
  return (name) => {
    const [, dense, transition] = /denseblock(\d)|transition(\d)/.exec(name) ?? [];
    if (dense) return blocks[Number(dense) - 1];
    if (transition) return blocks[Number(transition)];
    return name.includes("conv0") ? stem : 1;
  };
}

/** Floating-point operations of a forward pass of one picture, by trunk block and, last, the head. */
export function forwardFlops(model: models.DenseNet, size: number): { name: string; flops: number }[] {
  const planeOf = planes(size);
  const blocks = [...model.features.namedChildren()].map(([name]) => ({
    name: `features.${name}`,
    flops: 0,
  }));
  blocks.push({ name: "classifier", flops: 0 });
  for (const [name, p] of model.namedParameters()) {
    if (p.shape.length < 2) continue;
    const block = blocks.find((b) => name === b.name || name.startsWith(`${b.name}.`));
    if (block) block.flops += 2 * p.numel * planeOf(name) ** 2;
  }
  return blocks;
}

/** Of a step: forward once, and backward twice through what is not frozen. */
export function stepFlops(model: models.DenseNet, batch: number, size: number, frozen: number): number {
  const list = forwardFlops(model, size).map((b) => b.flops);
  const sum = (from: number) => list.slice(from).reduce((a, b) => a + b, 0);
  return batch * (sum(0) + 2 * sum(frozen));
}

/** The share of the forward pass that lies in the first `frozen` blocks of the trunk. */
export function frozenShare(model: models.DenseNet, size: number, frozen: number): number {
  const list = forwardFlops(model, size).map((b) => b.flops);
  const sum = (to: number) => list.slice(0, to).reduce((a, b) => a + b, 0);
  return sum(frozen) / sum(list.length);
}
