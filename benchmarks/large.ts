// A step whose operands are large: batch norm by batch statistics, pools and elementwise layers, forward and backward, at
// 8×64×56×56. DenseNet-121's own at 64 pixels are so small that a dispatch costs more than what it moves.

import { nn, type Plan, type Tensor, tensor } from "../src/index.ts";
import { planAlone } from "./thaw.ts";

export const LARGE = [8, 64, 56, 56] as const;

function largeStep() {
  const [n, c, h, w] = LARGE;
  const values = Float32Array.from({ length: n * c * h * w }, (_, i) => Math.sin(i));
  const shift = new nn.Parameter([1, c, 1, 1], new Float32Array(c));
  const layers = [new nn.BatchNorm2d(c), new nn.BatchNorm2d(c)];
  const { maxPool2d, avgPool2d } = nn.functional;
  const fn = (input: Tensor): Tensor => {
    const x = input.add(shift);
    const first = layers[0].forward(x).relu();
    const second = layers[1].forward(x).sigmoid().mul(x);
    const pooled = avgPool2d(second, 2).add(maxPool2d(first, 3, { stride: 2, padding: 1 }));
    const loss = pooled.square().mean();
    loss.backward();
    return loss;
  };
  return { fn, args: [tensor(values, LARGE)] as const };
}

/** The plan of that step, made and not run. */
export const largePlan = (): Promise<Plan> => planAlone(largeStep);
