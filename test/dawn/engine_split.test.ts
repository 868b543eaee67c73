// Splitting: the layers, losses and optimizers of PyTorch's fixture under absurdly small limits, so that nearly every
// operand is beyond the binding limit or every grid beyond the device's; and one real size at 1 MiB.
import { afterEach, describe, expect, it } from "vitest";
import { normalizePictures } from "../../src/data/prepare.ts";
import { close, compile, init, nn, noGrad, optim, type Tensor, tensor } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import type { DispatchStep } from "../../src/schedule/plan.ts";
import { plansOf, wave } from "../lib/engine.ts";
import { checkLayer, checkLoss, checkOptimizer, LAYERS, LOSSES, OPTIMIZERS } from "../lib/nn_cases.ts";

afterEach(close);

const dispatches = (steps: readonly { kind: string }[]) =>
  steps.filter((s): s is DispatchStep => s.kind === "dispatch");

describe("bindings of 1 KiB", () => {
  const options = { limits: { maxStorageBufferBindingSize: 1024 } };

  it.each(Object.keys(LAYERS))("%s", async (name) => {
    await init(options);
    const plans = await plansOf(() => checkLayer(name, 5e-6));
    for (const p of plans)
      for (const s of dispatches(p.steps))
        for (const r of Object.values(s.bind))
          expect(r.size, `${s.op} ${r.root.label}`).toBeLessThanOrEqual(1024);
  });

  it.each(Object.keys(LOSSES))("loss %s", async (name) => {
    await init(options);
    await checkLoss(name, 5e-6);
  });

  it.each(Object.keys(OPTIMIZERS))("optimizer %s", async (name) => {
    await init(options);
    await checkOptimizer(name, 2e-5);
  });
});

describe("grids of at most 3 workgroups", () => {
  const options = { limits: { maxComputeWorkgroupsPerDimension: 3 } };

  it.each(Object.keys(LAYERS))("%s", async (name) => {
    await init(options);
    const plans = await plansOf(() => checkLayer(name, 5e-6));
    for (const p of plans)
      for (const s of dispatches(p.steps)) for (const g of s.grid) expect(g, s.op).toBeLessThanOrEqual(3);
  });
});

describe("bindings of 1 MiB", () => {
  it("trains a layer whose weight is larger than a binding as without the limit", async () => {
    const run = async (limit?: number) => {
      await init({ seed: 1, ...(limit ? { limits: { maxStorageBufferBindingSize: limit } } : {}) });
      const model = new nn.Sequential(new nn.Linear(1200, 900), new nn.ReLU(), new nn.Linear(900, 4));
      const opt = new optim.Adam(model.parameters(), { lr: 1e-3 });
      const step = compile((x: Tensor, y: Tensor) => {
        const loss = nn.functional.crossEntropy(model.forward(x) as Tensor, y);
        opt.zeroGrad();
        loss.backward();
        void opt.step();
        return loss;
      });
      const losses = [];
      for (let i = 0; i < 4; i++)
        losses.push(await step(wave([6, 1200], i), tensor(Int32Array.of(0, 1, 2, 3, 0, 1))).item());
      const w = await (model.parameters()[0] as Tensor).data();
      await close();
      return { losses, w };
    };
    const [whole, cut] = [await run(), await run(1 << 20)];
    cut.losses.forEach((v, i) => {
      expect(Math.abs(v - whole.losses[i])).toBeLessThan(1e-5);
    });
    // Adam's first steps follow gradient signs, so single weights may differ; almost none do.
    const far = cut.w.filter((v, i) => Math.abs(v - whole.w[i]) > 1e-5).length;
    expect(far / cut.w.length).toBeLessThan(1e-3);
  });

  it("merges batch statistics of cut pictures by Welford's formula", async () => {
    await init({ limits: { maxStorageBufferBindingSize: 1 << 20 } });
    const bn = new nn.BatchNorm2d(2);
    // Each picture brighter than the one before, so that the parts' means differ.
    const ramp = tensor(
      Float32Array.from({ length: 300 }, (_, i) => i / 100),
      [300, 1, 1, 1],
    );
    const x = wave([300, 2, 32, 32]).add(ramp).add(50);
    const [plan] = await plansOf(async () => {
      await noGrad(() => bn.forward(x) as Tensor)
        .sum()
        .item();
    });
    expect(dispatches(plan.steps).filter((s) => s.op === "channelStats").length).toBeGreaterThan(1);
    const data = await x.data();
    const want = [0, 1].map((c) => {
      const v = [...data].filter((_, i) => Math.floor(i / 1024) % 2 === c);
      const m = v.reduce((a, b) => a + b, 0) / v.length;
      return [m, v.reduce((a, b) => a + (b - m) ** 2, 0) / (v.length - 1)];
    });
    const [mean, variance] = [
      await (bn.runningMean as Tensor).data(),
      await (bn.runningVar as Tensor).data(),
    ];
    want.forEach(([m, v], c) => {
      expect(mean[c]).toBeCloseTo(0.1 * m, 4);
      expect(variance[c]).toBeCloseTo(0.9 + 0.1 * v, 4);
    });
  });

  it("cuts pictures of bytes, whose rows may begin within a word", async () => {
    const mean = [0.5, 0.4, 0.3];
    const bytes = Uint8Array.from({ length: 40 * 75 }, (_, i) => (i * 37) % 256);
    const run = async (limit: number) => {
      await init({ limits: { maxStorageBufferBindingSize: limit } });
      const x = tensor(bytes, [40, 5, 5, 3]);
      return normalizePictures(x, { mean, std: mean }).data();
    };
    expect(await run(1024)).toEqual(await run(1 << 20));
  });

  it("says so when something cannot be cut", async () => {
    await init({ limits: { maxStorageBufferBindingSize: 1024 } });
    // One row of a softmax is the least that can be normalised.
    await expect(wave([1, 2000]).softmax(1).data()).rejects.toThrow(
      /softmax: f32\[1,2000\].*exceeds what this device can bind \(1024 bytes\) or dispatch at once, and cannot be cut further/,
    );
    await runtime().queue.idle();
  });
});
