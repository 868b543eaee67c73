// Laziness: what a flush computes, how often, and what stays readable.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { internedCount } from "../../src/graph/node.ts";
import { close, concat, nn, noGrad, ones, optim, type Tensor, tensor } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import { batch, collectGarbage, open, plansOf, smallNet, snapshot, stats, wave } from "../lib/engine.ts";

beforeAll(() => open({ seed: 5 }));
afterAll(close);

describe("building", () => {
  it("raises shape errors at the line that builds, naming op and shapes", () => {
    expect(() => ones([2, 3]).matmul(ones([2, 3]))).toThrow(
      /matmul: the inner extents 3 and 2 differ \(a: f32\[2,3\], b: f32\[2,3\]\)/,
    );
    expect(() => nn.functional.conv2d(ones([8, 64, 5, 5]), ones([12, 32, 3, 3]))).toThrow(
      "conv2d: x has 64 channels but w expects 32 (x: f32[8,64,5,5], w: f32[12,32,3,3], groups 1)",
    );
    expect(() => ones([2, 3]).add(ones([4]))).toThrow(/do not broadcast/);
  });

  it("interns equal applications within a trace and forgets them at the flush", async () => {
    const x = wave([4, 4]);
    const a = x.exp().variable.value;
    expect(x.exp().variable.value).toBe(a);
    expect(x.detach().exp().variable.value).toBe(a);
    expect(noGrad(() => x.exp()).variable.value).toBe(a);
    expect(internedCount()).toBeGreaterThan(0);
    await x.exp().data();
    expect(internedCount()).toBe(0);
  });
});

describe("one flush", () => {
  it("reading logits, loss and gradients one by one computes once, draws dropout once, moves statistics once", async () => {
    const model = smallNet(0.5);
    const { x, y } = batch();
    const logits = model.forward(x);
    const loss = nn.functional.crossEntropy(logits, y);
    loss.backward();
    const before = runtime().random.step;
    const first = await logits.data();
    const dispatched = (await stats()).dispatches;
    const value = await loss.item();
    const grads = [];
    for (const p of model.parameters()) grads.push(await (p.grad as Tensor).data());
    expect((await stats()).dispatches).toBe(dispatched);
    expect(runtime().random.step).toBe(before + 1);
    expect(await logits.data()).toEqual(first);
    expect(await loss.item()).toBe(value);
    const state = await snapshot(model);
    expect(state.get("1.num_batches_tracked")).toEqual([1]);
    // running_mean after exactly one update from zero is momentum times the batch mean.
    const conv = (noGrad(() => model[0].forward(x)) as Tensor).mean([0, 2, 3]).mul(0.1);
    const want = await conv.data();
    state.get("1.running_mean")?.forEach((v, i) => {
      expect(v).toBeCloseTo(want[i], 6);
    });
  });

  it("a loss read before backward keeps what backward needs", async () => {
    const model = smallNet(0.5);
    const { x, y } = batch();
    const loss = nn.functional.crossEntropy(model.forward(x), y);
    const value = await loss.item();
    const drawn = runtime().random.step;
    const state = await snapshot(model);
    loss.backward();
    for (const p of model.parameters())
      expect((await (p.grad as Tensor).data()).some((v) => v !== 0)).toBe(true);
    expect(runtime().random.step).toBe(drawn);
    expect(await loss.item()).toBe(value);
    expect(await snapshot(model)).toEqual(state);
  });

  it("gives the same gradients whether or not the loss was read first", async () => {
    const grads = async (readFirst: boolean) => {
      const w = new nn.Linear(4, 3);
      w.loadStateDict(
        new Map([
          [
            "weight",
            { shape: [3, 4], dtype: "f32", data: Float32Array.from({ length: 12 }, (_, i) => Math.cos(i)) },
          ],
          ["bias", { shape: [3], dtype: "f32", data: new Float32Array(3) }],
        ]),
      );
      const loss = w
        .forward(wave([5, 4]))
        .tanh()
        .square()
        .mean();
      if (readFirst) await loss.item();
      loss.backward();
      return (w.weight.grad as Tensor).data();
    };
    expect(await grads(true)).toEqual(await grads(false));
  });

  it("evaluated tensors go on being used, across flushes, as often as wanted", async () => {
    const a = wave([3, 3]).exp();
    const first = await a.data();
    const b = a.add(1);
    await b.data();
    const c = concat([a, b], 0).sum();
    const want = [...first].reduce((s, v) => s + 2 * v + 1, 0);
    expect(await c.item()).toBeCloseTo(want, 3);
    expect(await a.data()).toEqual(first);
  });

  it("a result survives later runs of the plan that made it", async () => {
    const run = (k: number) => wave([70, 10]).mul(k).exp();
    const kept = [];
    for (let k = 0; k < 5; k++) {
      const t = run(0.1);
      await t.data();
      kept.push(t);
    }
    const values = await Promise.all(kept.map((t) => t.data()));
    const again = await run(0.1).data();
    for (const v of values) expect(v).toEqual(again);
  });

  it("hundreds of unread small results are all still there", async () => {
    const kept: Tensor[] = [];
    for (let k = 0; k < 600; k++) {
      kept.push(tensor(Float32Array.of(k)).add(0.5));
      if (k % 7 === 0) await kept[k].data();
    }
    for (let k = 0; k < 600; k += 13) expect(await kept[k].item()).toBe(k + 0.5);
  });

  it("a tensor made inside a module and not returned says how to keep it", async () => {
    class Leaky extends nn.Module {
      inner: Tensor | null = null;
      forward(x: Tensor): Tensor {
        this.inner = x.exp();
        return this.inner.sum();
      }
    }
    const m = new Leaky();
    await (m.forward(wave([4])) as Tensor).item();
    await expect((m.inner as unknown as Tensor).data()).rejects.toThrow(
      /return it from forward, or call retain\(\)/,
    );
  });
});

describe("state", () => {
  it("two forwards in one step see the statistics that the first has moved", async () => {
    const bn = new nn.BatchNorm2d(2, { momentum: 0.5 });
    const x = wave([3, 2, 2, 2]);
    bn.forward(x);
    bn.forward(x.mul(3));
    const mean = bn.runningMean as Tensor;
    const batchMean = await x.mean([0, 2, 3]).data();
    const got = await mean.data();
    got.forEach((v, i) => {
      expect(v).toBeCloseTo(0.5 * (0.5 * batchMean[i]) + 0.5 * 3 * batchMean[i], 5);
    });
    expect(bn.numBatchesTracked?.value).toBe(2);
  });

  it("a reader of the old value comes before the write, one of the new value after it", async () => {
    const lin = new nn.Linear(2, 2, { bias: false });
    const opt = new optim.SGD(lin.parameters(), { lr: 1 });
    const w0 = await lin.weight.data();
    const before = lin.weight.mul(1);
    lin.weight.sum().backward();
    // The step flushes: `before` was built from the old weights, `after` is built from the new ones.
    await opt.step();
    const after = lin.weight.mul(1);
    const [b, a] = [await before.data(), await after.data()];
    expect([...b]).toEqual([...w0]);
    expect([...a]).toEqual([...w0].map((v) => Math.fround(v - 1)));
  });

  it("backward through a parameter that has been changed since throws, as in PyTorch", async () => {
    const lin = new nn.Linear(2, 2);
    const other = new optim.SGD(lin.parameters(), { lr: 1 });
    const x = wave([3, 2]);
    const xs = await x.data();
    // The weight's own gradient hangs on x alone, x's on the weight.
    const unharmed = lin.forward(x).sum();
    const through = wave([3, 2]);
    through.requiresGrad = true;
    const loss = lin.forward(through).sum();
    lin.weight.square().sum().backward();
    await other.step();
    expect(() => loss.backward()).toThrow(/was changed/);
    other.zeroGrad();
    unharmed.backward();
    const sums = [0, 1].map((c) => [0, 2, 4].reduce((n, r) => n + xs[r + c], 0));
    expect([...(await (lin.weight.grad as Tensor).data())].map((v) => v.toFixed(4))).toEqual(
      [...sums, ...sums].map((v) => v.toFixed(4)),
    );
  });

  it("a saved gradient keeps its values when the next backward overwrites them", async () => {
    const lin = new nn.Linear(3, 1, { bias: false });
    lin
      .forward(wave([4, 3]))
      .sum()
      .backward();
    const saved = lin.weight.grad as Tensor;
    const values = await saved.data();
    lin.weight.zeroGrad();
    expect(lin.weight.grad).toBeNull();
    lin
      .forward(wave([4, 3], 2).mul(10))
      .sum()
      .backward();
    const next = await (lin.weight.grad as Tensor).data();
    expect(next).not.toEqual(values);
    expect(await saved.data()).toEqual(values);
  });
});

describe("randomness", () => {
  it("two dropouts on one tensor differ; forward and backward share a mask; a new step draws anew", async () => {
    const x = ones([64]);
    x.requiresGrad = true;
    const a = nn.functional.dropout(x, 0.5);
    const b = nn.functional.dropout(x, 0.5);
    a.sum().backward();
    const [va, vb, g] = [await a.data(), await b.data(), await (x.grad as Tensor).data()];
    expect(va).not.toEqual(vb);
    expect(g).toEqual(va);
    expect([...new Set(va)].sort()).toEqual([0, 2]);
    expect(await nn.functional.dropout(ones([64]), 0.5).data()).not.toEqual(va);
  });
});

describe("plain loops", () => {
  it("10,000 steps leave the heap, the buffers and the plans as they are", { timeout: 300_000 }, async () => {
    const lin = new nn.Linear(4, 2);
    const opt = new optim.SGD(lin.parameters(), { lr: 1e-4, momentum: 0.9 });
    const x = wave([3, 4]);
    const y = tensor(Int32Array.of(0, 1, 0));
    const step = async () => {
      const loss = nn.functional.crossEntropy(lin.forward(x), y);
      opt.zeroGrad();
      loss.backward();
      await opt.step();
    };
    for (let i = 0; i < 300; i++) await step();
    await collectGarbage();
    const [before, heap] = [await stats(), process.memoryUsage().heapUsed];
    for (let i = 0; i < 10_000; i++) await step();
    await collectGarbage();
    const [after, heapAfter] = [await stats(), process.memoryUsage().heapUsed];
    expect(after.bindGroups).toBe(before.bindGroups);
    expect(after.plans).toBe(before.plans);
    expect(after.bufferBytes).toBe(before.bufferBytes);
    expect(heapAfter - heap, `heap ${heap} → ${heapAfter}`).toBeLessThan(4e6);
  });

  it("collecting garbage between steps changes nothing", async () => {
    const run = async (gc: boolean) => {
      const model = smallNet(0);
      model.loadStateDict(
        new Map(
          [...model.namedState()].map(([n, p]) => [
            n,
            {
              shape: "shape" in p ? p.shape : [],
              dtype: "f32",
              data:
                "numel" in p
                  ? Float32Array.from({ length: p.numel }, (_, i) =>
                      n.includes("var") ? 1 : Math.sin(i + n.length),
                    )
                  : [0],
            },
          ]),
        ),
      );
      const opt = new optim.Adam(model.parameters(), { lr: 1e-2 });
      const { x, y } = batch();
      const losses = [];
      for (let i = 0; i < 4; i++) {
        const loss = nn.functional.crossEntropy(model.forward(x), y);
        opt.zeroGrad();
        if (gc) await collectGarbage();
        loss.backward();
        if (gc) await collectGarbage();
        await opt.step();
        if (gc) await collectGarbage();
        losses.push(await loss.item());
      }
      return losses;
    };
    expect(await run(true)).toEqual(await run(false));
  });

  it("un-awaited steps are queued and none is lost", async () => {
    const lin = new nn.Linear(1, 1, { bias: false });
    const opt = new optim.SGD(lin.parameters(), { lr: 1 });
    const w0 = (await lin.weight.data())[0];
    const done = [];
    for (let i = 0; i < 50; i++) {
      opt.zeroGrad();
      lin.weight.sum().backward();
      done.push(opt.step());
    }
    await Promise.all(done);
    expect((await lin.weight.data())[0]).toBeCloseTo(w0 - 50, 3);
  });

  it("an identical second step finds its plan by key", async () => {
    const lin = new nn.Linear(6, 2);
    const step = async () => {
      const loss = lin
        .forward(wave([2, 6]))
        .square()
        .mean();
      loss.backward();
      await loss.item();
      lin.zeroGrad();
    };
    await step();
    expect(await plansOf(step)).toEqual([]);
  });
});
