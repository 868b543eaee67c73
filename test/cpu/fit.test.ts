// The training loop on the float64 interpreter: accumulation equals a large batch, clipping, early stopping, the best
// weights, and going on after an abort, for whatever source of batches.

import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { close, init, manualSeed, nn, optim, tensor, train } from "../../src/index.ts";

beforeEach(async () => {
  await init({ device: "cpu" });
  manualSeed(3);
});
afterAll(close);

class Net extends nn.Module {
  lin = new nn.Linear(4, 3);
  drop: nn.Dropout;
  constructor(p = 0.25) {
    super();
    this.drop = new nn.Dropout(p);
  }
  forward(x: ReturnType<typeof tensor>) {
    return this.lin.forward(this.drop.forward(x));
  }
}

/** Samples whose class is the largest of their first three numbers. */
function source(count: number, batchSize: number, seed = 0): train.BatchSource {
  const rows = Array.from({ length: count }, (_, i) =>
    [0, 1, 2, 3].map((k) => Math.sin(seed + 7 * i + 3 * k * (i + 1))),
  );
  const label = (r: number[]) => [0, 1, 2].reduce((best, c) => (r[c] > r[best] ? c : best), 0);
  return {
    length: count,
    steps: Math.ceil(count / batchSize),
    async *epoch(epoch, start = 0) {
      for (let at = start; at < count; at += batchSize) {
        const part = Array.from(
          { length: Math.min(batchSize, count - at) },
          (_, i) => rows[(at + i + epoch) % count],
        );
        const x = tensor(Float32Array.from(part.flat()), [part.length, 4]);
        yield { x, labels: Int32Array.from(part, label), next: at + part.length };
      }
    },
  };
}

const values = async (m: nn.Module) => {
  const all: number[] = [];
  for (const p of m.parameters()) all.push(...((await p.data()) as Float32Array));
  return all;
};
const sgd = (m: nn.Module, lr = 0.1) => new optim.SGD(m.parameters(), { lr, momentum: 0.9 });

describe("fit", () => {
  test("accumulated batches take the steps of the large batch, ragged last ones too", async () => {
    const run = async (batchSize: number, accumulate: number) => {
      manualSeed(3);
      const m = new Net(0);
      const r = await train.fit(m, source(22, batchSize), { epochs: 2, optimizer: sgd(m), accumulate });
      return { w: await values(m), steps: r.history.at(-1)?.step };
    };
    const [large, small] = [await run(8, 1), await run(2, 4)];
    expect(small.steps).toBe(large.steps);
    for (const [i, w] of small.w.entries()) expect(w).toBeCloseTo(large.w[i], 6);
    const other = await run(2, 1);
    expect(Math.max(...other.w.map((w, i) => Math.abs(w - large.w[i])))).toBeGreaterThan(1e-3);
  });

  test("tells of batches whose losses are known, of the last one at the end only", async () => {
    const m = new Net();
    const own = source(16, 2);
    let given = 0;
    const slow: train.BatchSource = {
      ...own,
      async *epoch(epoch) {
        for await (const batch of own.epoch(epoch)) {
          await new Promise((done) => setTimeout(done, 90));
          given++;
          yield batch;
        }
      },
    };
    const told: (readonly [number, number])[] = [];
    const onEvent = (e: train.FitEvent) => e.event === "step" && told.push([e.batch, given]);
    await train.fit(m, slow, { epochs: 1, optimizer: sgd(m), onEvent });
    expect(told.length).toBeGreaterThan(1);
    expect(told.at(-1)).toEqual([8, 8]);
    for (const [batch, after] of told.slice(0, -1)) expect(batch).toBe(after - 2);
  });

  test("gradients are clipped to the norm", async () => {
    const m = new Net();
    const before = await values(m);
    await train.fit(m, source(8, 8), {
      epochs: 1,
      optimizer: new optim.SGD(m.parameters(), { lr: 1 }),
      clipNorm: 1e-3,
      restoreBest: false,
    });
    const after = await values(m);
    expect(Math.hypot(...after.map((w, i) => w - before[i]))).toBeCloseTo(1e-3, 6);
  });

  test("stops early after so many epochs without an improvement, and puts the best weights back", async () => {
    const m = new Net();
    const val = source(9, 9, 5);
    // At this rate the loss swings: some epoch is best, later ones are worse.
    const r = await train.fit(m, source(12, 4), { epochs: 60, optimizer: sgd(m, 3), val, patience: 3 });
    expect(r.end).toBe("early");
    expect(r.history).toHaveLength(r.bestEpoch + 3);
    const losses = r.history.map((h) => h.val?.loss as number);
    expect(losses[r.bestEpoch - 1]).toBe(Math.min(...losses));
    const again = await train.evaluate(m, val);
    expect(again.loss).toBeCloseTo(Math.min(...losses), 6);
    await expect(train.fit(m, source(4, 4), { epochs: 1, optimizer: sgd(m), patience: 2 })).rejects.toThrow(
      /patience needs validation/,
    );
  });

  test("aborted in mid-epoch and resumed it takes the same steps, dropout included", async () => {
    const whole = new Net();
    const options = (m: nn.Module) => ({
      epochs: 3,
      optimizer: sgd(m),
      val: source(5, 5, 2),
      checkpointSeconds: 0,
    });
    const straight = await train.fit(whole, source(12, 3), options(whole));
    manualSeed(3);
    const first = new Net();
    const store = train.memoryStore();
    const controller = new AbortController();
    let batches = 0;
    const counted: train.BatchSource = {
      ...source(12, 3),
      async *epoch(epoch, start) {
        for await (const b of source(12, 3).epoch(epoch, start)) {
          yield b;
          if (++batches === 6) controller.abort();
        }
      },
    };
    const broken = await train.fit(first, counted, { ...options(first), store, signal: controller.signal });
    expect(broken.end).toBe("aborted");
    expect((await store.load("last"))?.state.progress).toMatchObject({ epoch: 1, batch: 2, step: 6 });
    manualSeed(99);
    const second = new Net();
    const resumed = await train.fit(second, source(12, 3), { ...options(second), store, resume: true });
    // The interpreter's float64 weights become float32 in a checkpoint; on a GPU the bits are equal (dawn/cli.test.ts).
    const expected = await values(whole);
    for (const [i, w] of (await values(second)).entries()) expect(w).toBeCloseTo(expected[i], 5);
    expect(resumed.history.map((r) => r.step)).toEqual(straight.history.map((r) => r.step));
    for (const [i, r] of resumed.history.entries()) {
      expect(r.train.loss).toBeCloseTo(straight.history[i].train.loss, 5);
      expect(r.train.accuracy).toBe(straight.history[i].train.accuracy);
    }
  });

  test("a loss that is no number stops it, naming the batch and the last good checkpoint", async () => {
    const m = new Net();
    const own = source(12, 3);
    const broken: train.BatchSource = {
      ...own,
      async *epoch(epoch, start) {
        for await (const b of own.epoch(epoch, start))
          yield epoch === 1 && b.next === 6 ? { ...b, x: b.x.mul(Number.NaN) } : b;
      },
    };
    await expect(train.fit(m, broken, { epochs: 3, optimizer: sgd(m) })).rejects.toThrow(
      /loss became NaN in epoch 2, batch 2: training stopped, a learning rate below 0\.1 may help; the last good checkpoint is of the end of epoch 1/,
    );
    const other = new Net();
    await expect(train.fit(other, own, { epochs: 3, optimizer: sgd(other, 1e38) })).rejects.toThrow(
      /became (NaN|-?Infinity).*the last good checkpoint is of/,
    );
  });

  test("a checkpoint of another network or another set of parameters is refused", async () => {
    const m = new Net();
    const store = train.memoryStore();
    await train.fit(m, source(4, 4), { epochs: 1, optimizer: sgd(m), store });
    const other = new Net();
    other.lin.weight.requiresGrad = false;
    const optimizer = new optim.SGD([other.lin.bias as nn.Parameter], { lr: 0.1 });
    await expect(
      train.fit(other, source(4, 4), { epochs: 2, optimizer, store, resume: true }),
    ).rejects.toThrow(/the checkpoint trains 2 parameters, this run 1/);
    await expect(
      train.fit(m, source(4, 4), {
        epochs: 2,
        optimizer: new optim.Adam(m.parameters()),
        store,
        resume: true,
      }),
    ).rejects.toThrow(/trained with SGD, not Adam/);
  });
});
