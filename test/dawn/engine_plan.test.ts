// What plans contain: frozen work left out or hoisted, views instead of copies, slots by liveness, cuts to fit limits.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  close,
  compile,
  concat,
  freeze,
  models,
  nn,
  noGrad,
  optim,
  type Tensor,
  tensor,
} from "../../src/index.ts";
import { exportState } from "../../src/nn/index.ts";
import { planBytes } from "../../src/schedule/memory.ts";
import { dispatchCounts } from "../../src/schedule/plan.ts";
import { printPlan } from "../../src/schedule/print_plan.ts";
import { batch, gpuBackend, open, plansOf, smallNet, snapshot, stats, wave } from "../lib/engine.ts";
import { has } from "../lib/test_options.ts";

beforeAll(() => open({ seed: 5 }));
afterAll(close);

const BACKWARD = /Grad$|Input$|Weight$|^normalize(Sums|Pass|Finish|Corrected)$|^statsInput$/;

describe("frozen parameters", () => {
  it("a frozen trunk has no backward dispatch, whatever it contains", async () => {
    const model = models.densenet121({ numClasses: 4 });
    freeze(model.trunk);
    const opt = new optim.Adam(model.head.parameters());
    const x = wave([2, 3, 40, 40]);
    const y = tensor(Int32Array.of(1, 3));
    const [plan] = await plansOf(async () => {
      const loss = nn.functional.crossEntropy(model.train().forward(x), y);
      loss.backward();
      await opt.step();
    });
    const backward = [...dispatchCounts(plan)].filter(([op]) => BACKWARD.test(op));
    expect(backward).toEqual([["crossEntropyGrad", 1]]);
    // The head's weight gradient is the one product beside its forward (whose parts a GPU's kernel may have to add).
    const products = plan.steps.filter((s) => s.kind === "dispatch" && s.op === "matmul");
    expect(products.filter((s) => s.kind === "dispatch" && s.shader !== "split_sum").length).toBe(2);
    expect(dispatchCounts(plan).get("runningStats")).toBeUndefined();
  });

  it("parameters, and with freeze() running statistics, are bit-identical after training", async () => {
    for (const batchNorm of ["running", "batch"] as const) {
      const model = smallNet(0);
      const trunk = model.slice(0, 7);
      freeze(trunk, { batchNorm });
      const before = await snapshot(model);
      const opt = new optim.AdamW(model.parameters(), { lr: 0.1, weightDecay: 0.1 });
      const { x, y } = batch();
      model.train();
      for (let i = 0; i < 3; i++) {
        const loss = nn.functional.crossEntropy(model.forward(x) as Tensor, y);
        opt.zeroGrad();
        loss.backward();
        await opt.step();
      }
      const after = await snapshot(model);
      for (const [name, values] of before) {
        const head = name.startsWith("9.");
        const statistic = /running|tracked/.test(name);
        const moves = head || (statistic && batchNorm === "batch");
        if (moves) expect(after.get(name), name).not.toEqual(values);
        else expect(after.get(name), name).toEqual(values);
      }
    }
  });

  it("stops below the lowest trainable parameter: earlier layers get no input gradient", async () => {
    const model = smallNet(0);
    for (const p of model.slice(0, 3).parameters()) p.requiresGrad = false;
    const { x, y } = batch();
    const [plan] = await plansOf(async () => {
      const loss = nn.functional.crossEntropy(model.forward(x) as Tensor, y);
      loss.backward();
      await loss.item();
    });
    expect(dispatchCounts(plan).get("conv2dInput")).toBeUndefined();
    expect(dispatchCounts(plan).get("conv2dWeight")).toBeGreaterThan(0);
  });

  it("skips parameters without a gradient, decay included", async () => {
    const used = new nn.Linear(2, 2);
    const unused = new nn.Linear(2, 2);
    const opt = new optim.AdamW([...used.parameters(), ...unused.parameters()], {
      lr: 0.1,
      weightDecay: 0.5,
    });
    const before = await snapshot(unused);
    used
      .forward(wave([3, 2]))
      .sum()
      .backward();
    await opt.step();
    expect(await snapshot(unused)).toEqual(before);
  });
});

describe("hoisting", () => {
  // Without these rewrites an eval forward has nothing to hoist.
  const some = has("hoist") && (has("foldBatchNorm") || has("normalizeOnLoad"));

  it.runIf(some)("work on frozen state runs once, and again when that state has moved", async () => {
    const model = smallNet(0).eval();
    const { x } = batch();
    const f = compile((v: Tensor) => noGrad(() => model.forward(v) as Tensor));
    const [plan] = await plansOf(() => f(x).data());
    expect(plan.hoisted.length).toBeGreaterThan(0);
    const count = async () => {
      const before = (await stats()).dispatches;
      await f(x).data();
      return (await stats()).dispatches - before;
    };
    const steps = plan.steps.filter((s) => s.kind === "dispatch").length;
    expect(await count()).toBe(steps);
    const first = await f(x).data();
    model.loadStateDict(
      new Map(
        [...(await exportState(model))].map(([k, v]) => [
          k,
          k === "1.running_mean"
            ? { ...v, data: Float32Array.from(v.data as Float32Array, (e) => e + 1) }
            : v,
        ]),
      ),
    );
    expect(await count()).toBe(steps + plan.hoisted.filter((s) => s.kind === "dispatch").length);
    expect(await count()).toBe(steps);
    const moved = await f(x).data();
    expect(moved).not.toEqual(first);
    expect(moved).toEqual(await noGrad(() => model.forward(x) as Tensor).data());
  });
});

describe("effects of hoisted values", () => {
  it("happen at every run and in program order, not where they are computed", async () => {
    const p = new nn.Parameter([2], Float32Array.of(2, 3));
    const penalty = compile(() => {
      p.zeroGrad();
      const loss = p.square().sum();
      loss.backward();
      return loss;
    });
    for (let i = 0; i < 3; i++) {
      penalty();
      expect([...(await (p.grad as Tensor).data())]).toEqual([4, 6]);
      p.mul(10).sum().backward();
      expect([...(await (p.grad as Tensor).data())]).toEqual([14, 16]);
    }
    p.zeroGrad();
    p.square().sum().backward();
    const first = (p.grad as Tensor).clone();
    p.zeroGrad();
    p.mul(5).sum().backward();
    expect([...(await first.data())]).toEqual([4, 6]);
    expect([...(await (p.grad as Tensor).data())]).toEqual([5, 5]);
  });
});

describe("flat state", () => {
  it("an optimizer's group lies in one storage, slices at multiples of 256 bytes, and steps in one dispatch", async () => {
    const model = smallNet(0);
    const opt = new optim.Adam(model.parameters());
    const slices = model.parameters().map((p) => p.variable.state as NonNullable<typeof p.variable.state>);
    expect(new Set(slices.map((s) => s.storage)).size).toBe(1);
    for (const s of slices) expect((s.offset * 4) % 256).toBe(0);
    const { x, y } = batch();
    const [plan] = await plansOf(async () => {
      const loss = nn.functional.crossEntropy(model.forward(x) as Tensor, y);
      loss.backward();
      await opt.step();
    });
    expect(dispatchCounts(plan).get("adam")).toBe(1);
    // Gradients are computed where the update reads them: nothing is copied into the flat storage.
    expect(plan.steps.filter((s) => s.kind === "copy")).toEqual([]);
  });

  it("moving parameters into flat state keeps their values and gradients", async () => {
    const model = smallNet(0);
    const { x, y } = batch();
    nn.functional.crossEntropy(model.forward(x) as Tensor, y).backward();
    const before = await snapshot(model);
    const grads = await Promise.all(model.parameters().map((p) => (p.grad as Tensor).data()));
    new optim.SGD(model.parameters());
    expect(await snapshot(model)).toEqual(before);
    expect(await Promise.all(model.parameters().map((p) => (p.grad as Tensor).data()))).toEqual(grads);
  });
});

describe("concat", () => {
  it.runIf(has("channelSliceConcat"))(
    "producers write into the concat: a dense block copies nothing",
    async () => {
      const block = models.densenet121({ numClasses: 2 }).features[4];
      block.eval();
      const [plan] = await plansOf(async () =>
        noGrad(() => block.forward(wave([2, 64, 8, 8]).mul(2))).data(),
      );
      expect(dispatchCounts(plan).get("concat") ?? 0).toBe(0);
    },
  );

  it.runIf(has("channelSliceConcat"))(
    "a leaf, a repeated input and one owned by another concat are copied",
    async () => {
      const x = wave([2, 3, 4, 4]);
      const e = x.exp();
      const leafy = await plansOf(() => concat([x, e], 1).sum().item());
      expect(dispatchCounts(leafy[0]).get("concat")).toBe(1);
      const twice = await plansOf(() => {
        const r = x.sin();
        return concat([r, r], 1).sum().item();
      });
      expect(dispatchCounts(twice[0]).get("concat")).toBe(2);
      const owned = await plansOf(async () => {
        const [a, b] = [x.cos(), x.tanh()];
        const both = concat([concat([a, b], 1), concat([b, a], 1)], 1);
        await both.sum().item();
      });
      expect(dispatchCounts(owned[0]).get("concat")).toBeGreaterThan(0);
    },
  );

  it.runIf(has("channelSliceConcat"))(
    "a prefix list, as torchvision writes it, is a view of the longer concat",
    async () => {
      const [plan] = await plansOf(async () => {
        await noGrad(async () => {
          const [a, b, c] = [wave([2, 3, 4, 4]).exp(), wave([2, 2, 4, 4]).exp(), wave([2, 1, 4, 4]).exp()];
          const y = concat([a, b], 1)
            .relu()
            .sum()
            .add(concat([a, b, c], 1).relu().sum());
          a.variable.internal = true;
          b.variable.internal = true;
          c.variable.internal = true;
          await y.item();
        });
      });
      expect(dispatchCounts(plan).get("concat") ?? 0).toBe(0);
    },
  );

  it("never makes a dispatch read the buffer it writes", async () => {
    const x = wave([2, 3, 4, 4]);
    const a = x.exp();
    const b = a.mul(2);
    const y = concat([a, b, concat([b, a], 1).slice(1, 1, 4)], 1);
    const got = await y.data();
    const va = await a.data();
    expect(got[0]).toBeCloseTo(va[0], 5);
    expect(got[3 * 16]).toBeCloseTo(2 * va[0], 5);
  });
});

describe("the plan", () => {
  it("prints every step with kernel, grid, work and memory, and its totals", async () => {
    const [plan] = await plansOf(() =>
      wave([8, 16])
        .matmul(wave([16, 4]))
        .relu()
        .sum()
        .item(),
    );
    const text = printPlan(plan);
    expect(text).toMatch(/matmul \w+.*\[\d+×\d+×\d+\] 0\.00 MFLOP \d+ B {2}a=leaf:input\+0/);
    expect(text.split("\n").at(-1)).toMatch(/3 dispatches, 0 copies, 0 hoisted/);
    expect(planBytes(plan)).toBeGreaterThan(0);
  });

  it.runIf(has("reuseSlots"))("slots are reused by liveness", async () => {
    const chain = () => {
      let x = wave([1000, 10]);
      for (let i = 0; i < 10; i++) {
        x = x.sin();
        x.variable.internal = true;
      }
      return x.sum().item();
    };
    const [plan] = await plansOf(chain);
    expect(plan.slots.length).toBeLessThanOrEqual(2);
  });

  it("names the device and its limits", async () => {
    const backend = await gpuBackend();
    expect(backend.name.length).toBeGreaterThan(0);
    expect(backend.bindingLimit).toBeGreaterThanOrEqual(1 << 20);
  });
});
