// compile(): what a recorded step does again, when it records anew, and that a warm one makes nothing.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, compile, freeze, nn, noGrad, optim, type Tensor, tensor, unfreeze } from "../../src/index.ts";
import { exportState } from "../../src/nn/index.ts";
import { batch, open, plansOf, smallNet, snapshot, stats, wave } from "../lib/engine.ts";

beforeAll(() => open({ seed: 5 }));
afterAll(close);

type Model = ReturnType<typeof smallNet>;

/** A model with the weights of another. */
async function twin(m: Model, dropout = 0): Promise<Model> {
  const out = smallNet(dropout);
  out.loadStateDict(await exportState(m));
  return out;
}

function trainer(model: Model, lr = 1e-2) {
  const opt = new optim.Adam(model.parameters(), { lr });
  const step = (x: Tensor, y: Tensor) => {
    const loss = nn.functional.crossEntropy(model.forward(x) as Tensor, y);
    model.zeroGrad();
    loss.backward();
    void opt.step();
    return loss;
  };
  return { opt, step };
}

describe("compile", () => {
  it("does what the plain step does, bit for bit, step after step, statistics and counters included", async () => {
    const a = smallNet(0);
    const b = await twin(a);
    const plain = trainer(a);
    const compiled = trainer(b);
    const fast = compile(compiled.step);
    for (let i = 0; i < 6; i++) {
      const x = wave([5, 2, 6, 6], i);
      const y = tensor(Int32Array.of(i % 3, 1, 2, 0, 1));
      const want = await plain.step(x, y).item();
      expect(await fast(x, y).item()).toBe(want);
    }
    expect(fast.traces).toBe(1);
    expect(await snapshot(b)).toEqual(await snapshot(a));
  });

  it("batch norm without momentum averages over all batches, those of a compiled step too", async () => {
    const bn = new nn.BatchNorm2d(2, { momentum: null });
    const step = compile((x: Tensor) => [bn.forward(x), bn.forward(x.mul(3))]);
    const batches = [1, 2, 3, 4].map((phase) => wave([3, 2, 2, 2], phase));
    for (const x of batches) step(x);
    expect(bn.numBatchesTracked?.value).toBe(8);
    expect(step.traces).toBe(1);
    // The mean of m and 3m is 2m, that of v and 9v is 5v.
    const average = async (f: (x: Tensor) => Tensor) => {
      const all = await Promise.all(batches.map(async (x) => [...(await f(x).data())]));
      return [0, 1].map((c) => all.reduce((sum, v) => sum + v[c] / all.length, 0));
    };
    const mean = await average((x) => x.mean([0, 2, 3]).mul(2));
    const variance = await average((x) => x.var([0, 2, 3]).mul(5));
    for (const c of [0, 1]) {
      expect((await bn.runningMean?.data())?.[c]).toBeCloseTo(mean[c], 6);
      expect((await bn.runningVar?.data())?.[c]).toBeCloseTo(variance[c], 5);
    }
  });

  it("a loop of 1,000 steps makes no buffer and no bind group after the first, and loses no loss", {
    timeout: 200_000,
  }, async () => {
    const lin = new nn.Linear(4, 3);
    const opt = new optim.SGD(lin.parameters(), { lr: 1e-3, momentum: 0.9 });
    const step = compile((x: Tensor, y: Tensor) => {
      const loss = nn.functional.crossEntropy(lin.forward(x), y);
      opt.zeroGrad();
      loss.backward();
      void opt.step();
      return loss;
    });
    const y = tensor(Int32Array.of(0, 1));
    const run = (i: number) => step(wave([2, 4], i % 5), y);
    const losses = [await run(0).item()];
    // The first readback makes its staging buffer.
    const before = await stats();
    const handles: Tensor[] = [];
    for (let i = 1; i <= 1000; i++) {
      handles.push(run(i));
      if (i % 100 === 0) losses.push(await handles[i - 1].item());
    }
    const last = await handles[999].item();
    const after = await stats();
    expect(after.bindGroups).toBe(before.bindGroups);
    expect(after.pipelines).toBe(before.pipelines);
    // One larger staging buffer for saving the ring is made once.
    expect(after.buffers - before.buffers).toBeLessThanOrEqual(1);
    expect(step.traces).toBe(1);
    expect(last).toBeLessThan(losses[0]);
    const early = await handles[5].item();
    expect(Number.isFinite(early)).toBe(true);
  });

  it("uploads new arguments, and follows the learning rate of the moment", async () => {
    const lin = new nn.Linear(1, 1, { bias: false });
    const opt = new optim.SGD(lin.parameters(), { lr: 1 });
    const step = compile((g: Tensor) => {
      opt.zeroGrad();
      lin.weight.mul(g).sum().backward();
      void opt.step();
      return lin.weight.mul(1);
    });
    const w0 = (await lin.weight.data())[0];
    const at = async (g: number) => (await step(tensor([g], [1, 1])).data())[0];
    expect(await at(2)).toBeCloseTo(w0 - 2, 5);
    expect(await at(3)).toBeCloseTo(w0 - 5, 5);
    opt.paramGroups[0].lr = 0.5;
    expect(await at(2)).toBeCloseTo(w0 - 6, 5);
    expect(step.traces).toBe(1);
  });

  it("reading a value while tracing throws, and so does an async step", async () => {
    const unread = compile((x: Tensor) => {
      void x.exp().data();
      return x.exp();
    });
    expect(() => unread(wave([3]))).toThrow(/while the step is being traced/);
    expect(() => compile(async (x: Tensor) => x.exp())(wave([3]))).toThrow(/must not be async/);
  });

  it("draws new dropout at every call", async () => {
    const step = compile((x: Tensor) => nn.functional.dropout(x, 0.5));
    const x = wave([64]).mul(0).add(1);
    const [a, b] = [await step(x).data(), await step(x).data()];
    expect(a).not.toEqual(b);
  });

  it("records again after requiresGrad, train, eval, freeze, a replaced module and a new group, and only then", async () => {
    const model = smallNet(0);
    const { opt, step } = trainer(model);
    const fast = compile(step);
    const { x, y } = batch();
    let traces = 0;
    const expectTrace = async (change: () => void, known = 0) => {
      change();
      await fast(x, y).item();
      traces += 1 - known;
      expect(fast.traces).toBe(traces);
      await fast(x, y).item();
      expect(fast.traces).toBe(traces);
    };
    await expectTrace(() => {});
    await expectTrace(() => {
      (model[0] as nn.Conv2d).weight.requiresGrad = false;
    });
    await expectTrace(() => model.eval());
    await expectTrace(() => model.train(), 1);
    await expectTrace(() => freeze(model[3]));
    await expectTrace(() => unfreeze(model[3]), 1);
    await expectTrace(() => {
      (model[0] as nn.Conv2d).weight.requiresGrad = true;
    }, 1);
    await expectTrace(() => {
      model[9] = new nn.Linear(72, 3);
    });
    await expectTrace(() => opt.addParamGroup({ params: model[9].parameters() }));
  });

  it("another shape is another recording; going back is not", async () => {
    const f = compile((x: Tensor) => x.exp().sum());
    await f(wave([3])).item();
    await f(wave([4])).item();
    await f(wave([3])).item();
    expect(f.traces).toBe(2);
  });

  it("accumulates gradients over calls until they are dropped", async () => {
    const lin = new nn.Linear(3, 1, { bias: false });
    const add = compile((x: Tensor) => {
      const loss = lin.forward(x).sum();
      loss.backward();
      return loss;
    });
    const x = wave([2, 3]);
    await add(x).item();
    const once = await (lin.weight.grad as Tensor).data();
    await add(x).item();
    await add(x).item();
    const thrice = await (lin.weight.grad as Tensor).data();
    thrice.forEach((v, i) => {
      expect(v).toBeCloseTo(3 * once[i], 5);
    });
    lin.zeroGrad();
    expect(lin.weight.grad).toBeNull();
    await add(x).item();
    expect(await (lin.weight.grad as Tensor).data()).toEqual(once);
  });

  it("returns structures as the function does", async () => {
    const f = compile((x: Tensor, k: number) => ({ parts: [x.mul(k), x.add(k)], k, none: null }));
    const x = wave([3]);
    for (const k of [2, 3, 2]) {
      const out = f(x, k);
      expect(out.k).toBe(k);
      expect(out.none).toBeNull();
      const [a, b] = [await out.parts[0].data(), await out.parts[1].data()];
      const v = await x.data();
      v.forEach((e, i) => {
        expect(a[i]).toBeCloseTo(e * k, 5);
        expect(b[i]).toBeCloseTo(e + k, 5);
      });
    }
    expect(f.traces).toBe(2);
  });

  it("large results of earlier calls survive later ones", async () => {
    const f = compile((x: Tensor) => x.exp());
    const outs = [0, 1, 2, 3].map((k) => f(wave([50, 50], k)));
    for (const [k, out] of outs.entries()) {
      const want = await noGrad(() => wave([50, 50], k).exp()).data();
      expect(await out.data()).toEqual(want);
    }
  });

  it("plain and compiled flushes share the device's slots", async () => {
    const model = smallNet(0);
    const { x } = batch();
    const f = compile((v: Tensor) => noGrad(() => model.eval().forward(v) as Tensor));
    await f(x).data();
    const before = (await stats()).slotBytes;
    const plans = await plansOf(async () => noGrad(() => model.forward(x) as Tensor).data());
    expect(plans.length).toBe(1);
    expect((await stats()).slotBytes).toBe(before);
  });

  it("finds its recordings again after train → eval → train and after a freeze that was taken back", async () => {
    const m = smallNet(0.2);
    const { step } = trainer(m);
    const fast = compile(step);
    const { x, y } = batch();
    const epoch = async () => {
      m.train();
      await fast(x, y).item();
      m.eval();
      await noGrad(() => (m.forward(x) as Tensor).data());
    };
    await epoch();
    await epoch();
    await epoch();
    expect(fast.traces).toBe(1);
    m.train();
    freeze(m[0]);
    await fast(x, y).item();
    expect(fast.traces).toBe(2);
    unfreeze(m[0]);
    await fast(x, y).item();
    expect(fast.traces).toBe(2);
  });
});
