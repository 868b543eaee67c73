// clipGradNorm: the norm of each order over all gradients together, what it scales, and what it refuses.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, nn, type Tensor, tensor } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu" }));
afterAll(close);

/** Leaves whose gradients are [3, -4] and [12], and one without. */
function leaves(): Tensor[] {
  const [a, b, c] = [tensor([1, 1]), tensor([1]), tensor([1])];
  for (const t of [a, b, c]) t.requiresGrad = true;
  a.mul(tensor([3, -4]))
    .sum()
    .add(b.mul(12).sum())
    .backward();
  return [a, b, c];
}

const gradients = async (ts: readonly Tensor[]) => {
  const all = await Promise.all(ts.map(async (t) => (t.grad ? [...(await t.grad.data())] : null)));
  return all.map((g) => g?.map((v) => Number(v.toFixed(5))) ?? null);
};

describe("the norm", () => {
  it.each<[number, number]>([
    [1, 19],
    [2, 13],
    [3, (27 + 64 + 1728) ** (1 / 3)],
    [0.5, (Math.sqrt(3) + 2 + Math.sqrt(12)) ** 2],
    [Infinity, 12],
  ])("of order %d is %d, and the gradients are scaled by it", async (normType, norm) => {
    const ts = leaves();
    const got = await nn.clipGradNorm(ts, 1, { normType }).item();
    expect(got).toBeCloseTo(norm, 4);
    const scaled = (v: number) => Number((v / (norm + 1e-6)).toFixed(5));
    expect(await gradients(ts)).toEqual([[3, -4].map(scaled), [12].map(scaled), null]);
  });

  it("with a maxNorm of Infinity is only measured", async () => {
    const ts = leaves();
    expect(await nn.clipGradNorm(ts, Number.POSITIVE_INFINITY).item()).toBeCloseTo(13, 5);
    expect(await gradients(ts)).toEqual([[3, -4], [12], null]);
  });

  it("below maxNorm leaves the gradients as they are", async () => {
    const ts = leaves();
    nn.clipGradNorm(ts, 20);
    expect(await gradients(ts)).toEqual([[3, -4], [12], null]);
  });

  it("counts a leaf that is named twice once, takes one tensor alone, and is 0 of none", async () => {
    const [a, b, c] = leaves();
    expect(await nn.clipGradNorm([a, a, b], 1).item()).toBe(13);
    expect(await nn.clipGradNorm(leaves()[1], 20).item()).toBe(12);
    expect(await nn.clipGradNorm([c], 1).item()).toBe(0);
  });
});

it("refuses what is no tensor, and limits and orders that are not above 0", () => {
  const clip = (...args: unknown[]) => Reflect.apply(nn.clipGradNorm, null, args);
  expect(() => clip(3, 1)).toThrow("clipGradNorm: takes Tensors with gradients, got 3");
  expect(() => clip([3], 1)).toThrow("clipGradNorm: takes Tensors with gradients, got 3");
  expect(() => clip(leaves(), 0)).toThrow("clipGradNorm: maxNorm must be a number above 0, got 0");
  expect(() => clip(leaves(), 1, 2)).toThrow(
    "clipGradNorm: options must be an object such as { normType: … }",
  );
  expect(() => clip(leaves(), 1, { normType: 0 })).toThrow("normType must be a number above 0, got 0");
});
