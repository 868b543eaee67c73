// Stochastic depth: samples are kept or dropped whole, as often as they should be, scaled so that the mean stays; the
// gradient goes through what was kept; and an EfficientNet drops later blocks more often than earlier ones.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn, ones } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu", seed: 11 }));
afterAll(close);

const depth = nn.functional.stochasticDepth;

describe("nn.StochasticDepth", () => {
  it("drops rows with probability p and scales the others by 1/(1-p)", async () => {
    const rows = 2000;
    const out = await new nn.StochasticDepth(0.25, "row").forward(ones([rows, 2, 3])).data();
    let kept = 0;
    for (let n = 0; n < rows; n++) {
      const row = [...out.subarray(n * 6, n * 6 + 6)];
      expect(new Set(row).size).toBe(1);
      expect([0, Math.fround(1 / 0.75)]).toContain(row[0]);
      if (row[0] !== 0) kept++;
    }
    // Five standard deviations of a binomial distribution.
    expect(Math.abs(kept - 0.75 * rows)).toBeLessThan(5 * Math.sqrt(rows * 0.25 * 0.75));
  });

  it("drops the whole batch or nothing in mode batch, anew each time", async () => {
    const layer = new nn.StochasticDepth(0.5, "batch");
    const seen = new Set<number>();
    for (let i = 0; i < 30; i++) {
      const out = await layer.forward(ones([4, 2])).data();
      expect(new Set(out).size).toBe(1);
      seen.add(out[0]);
    }
    expect([...seen].sort()).toEqual([0, 2]);
  });

  it("is the identity in eval mode and with p 0, and nothing with p 1", async () => {
    const x = ones([3, 2]);
    const layer = new nn.StochasticDepth(0.9, "row");
    layer.eval();
    expect(layer.forward(x)).toBe(x);
    expect(depth(x, 0, "row")).toBe(x);
    expect([...(await depth(x, 1, "row").data())]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("lets the gradient through what was kept", async () => {
    const x = new nn.Parameter([50, 3], new Float32Array(150).fill(2));
    const y = depth(x, 0.5, "row");
    y.sum().backward();
    const [out, grad] = [await y.data(), await (x.grad as NonNullable<typeof x.grad>).data()];
    expect(new Set(grad)).toEqual(new Set([0, 2]));
    for (let i = 0; i < 150; i++) expect(out[i]).toBe(2 * grad[i]);
  });
});

it("EfficientNet-B0's blocks are dropped with probabilities from 0 to 0.2·15/16", () => {
  const p = (prob?: number) =>
    nn.init
      .skipInit(() => models.efficientnet_b0({ stochasticDepthProb: prob }))
      .modules()
      .filter((m) => m instanceof nn.StochasticDepth)
      .map((m) => m.p);
  expect(p()).toEqual(Array.from({ length: 16 }, (_, i) => (0.2 * i) / 16));
  expect(new Set(p(0))).toEqual(new Set([0]));
});
