// What the tests of exported networks share: Thaw's own answer by the float64 interpreter, and how close others must be.
import { expect } from "vitest";
import { noGrad, tensor } from "../../src/index.ts";
import type { Net } from "./export_cases.ts";

/** The network's output in eval mode. */
export async function ours(net: Net, x: Float32Array, shape: readonly number[]) {
  net.eval();
  const y = noGrad(() => net.forward(tensor(x, [...shape])));
  return { shape: [...y.shape], data: Array.from(await y.data()) };
}

/** Every |a - b| is at most `share` of the largest |b|; what is not finite is the same. */
export function expectClose(a: ArrayLike<number>, b: ArrayLike<number>, share = 1e-5): void {
  expect(a.length).toBe(b.length);
  let most = 0;
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    if (!Number.isFinite(a[i]) || !Number.isFinite(b[i])) {
      expect(a[i], `element ${i}`).toBe(b[i]);
      continue;
    }
    most = Math.max(most, Math.abs(b[i]));
    worst = Math.max(worst, Math.abs(a[i] - b[i]));
  }
  expect(most).toBeGreaterThan(0);
  expect(worst / most).toBeLessThanOrEqual(share);
}
