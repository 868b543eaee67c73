// freeze() and unfreeze(): what a frozen batch norm does, with train() after it and without.
import { afterAll, beforeAll, expect, it } from "vitest";
import { close, freeze, init, nn, optim, type Tensor, tensor, unfreeze } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu", seed: 1 }));
afterAll(close);

const model = () => new nn.Sequential(new nn.Conv2d(1, 2, 1), new nn.BatchNorm2d(2), new nn.Conv2d(2, 1, 1));

async function step(m: nn.Sequential): Promise<void> {
  const opt = new optim.SGD(m.parameters(), { lr: 0.1, weightDecay: 0.1 });
  const loss = (m.forward(tensor(Float32Array.of(1, 2, 4, 8), [2, 1, 1, 2])) as Tensor).square().sum();
  loss.backward();
  await opt.step();
}

/** State-dict names whose contents `f` changes. */
async function changed(m: nn.Sequential, f: () => Promise<void>): Promise<string[]> {
  const read = async () =>
    new Map(await Promise.all([...m.stateDict()].map(async ([k, t]) => [k, `${await t.data()}`] as const)));
  const before = await read();
  await f();
  return [...(await read())].flatMap(([k, v]) => (v === before.get(k) ? [] : [k]));
}

const STATISTICS = ["1.running_mean", "1.running_var", "1.num_batches_tracked"];
const HEAD = ["2.weight", "2.bias"];

it("puts batch norms on their running statistics at once, and train() leaves them there", async () => {
  const m = model();
  freeze(m.slice(0, 2));
  expect((m[1] as nn.BatchNorm2d).training).toBe(false);
  expect(await changed(m, () => step(m))).toEqual(HEAD);
  m.train();
  expect(await changed(m, () => step(m))).toEqual(HEAD);
  m.eval().train();
  expect(await changed(m, () => step(m))).toEqual(HEAD);
});

it('with batchNorm: "batch" freezes parameters alone, as requiresGrad = false does', async () => {
  const m = model();
  freeze(m.slice(0, 2), { batchNorm: "batch" });
  expect((await changed(m, () => step(m))).sort()).toEqual([...STATISTICS, ...HEAD].sort());
  const own = model();
  for (const p of own.slice(0, 2).parameters()) p.requiresGrad = false;
  expect((await changed(own, () => step(own))).sort()).toEqual([...STATISTICS, ...HEAD].sort());
});

it("unfreeze() lets everything train again, in the mode that the module is in", async () => {
  const m = model();
  freeze(m);
  unfreeze(m);
  expect(await changed(m, () => step(m))).toEqual([...m.stateDict().keys()]);
  const still = model().eval();
  freeze(still);
  unfreeze(still);
  expect((still[1] as nn.BatchNorm2d).training).toBe(false);
});

it("refuses a choice that there is not", () => {
  expect(() => freeze(model(), { batchNorm: "none" as never })).toThrow(
    'freeze: batchNorm must be "running" or "batch", got "none"',
  );
});

it("by pattern: names, wildcards, ranges; batch norms follow when all of theirs is frozen", async () => {
  const m = model();
  freeze(m, { only: ["0", "1.weight"] });
  expect(m.parameters().map((p) => p.requiresGrad)).toEqual([false, false, false, true, true, true]);
  // Its bias trains, so it normalises by the batch.
  expect((m[1] as nn.BatchNorm2d).training).toBe(true);
  freeze(m, { only: ["1.b*"] });
  expect((m[1] as nn.BatchNorm2d).training).toBe(false);
  expect(await changed(m.train(), () => step(m))).toEqual(HEAD);
  unfreeze(m, { only: ["[1:2]"] });
  expect(m.parameters().map((p) => p.requiresGrad)).toEqual([false, false, true, true, true, true]);
  expect((m[1] as nn.BatchNorm2d).training).toBe(true);
  expect(() => freeze(m, { only: ["1.wieght"] })).toThrow(
    "matching 1.wieght fits no parameter of Sequential; did you mean 1.weight?",
  );
  const text = "1" as unknown as string[];
  expect(() => unfreeze(m, { only: text })).toThrow('unfreeze: only must be a list of patterns, got "1"');
});

it("matching gives parameters for an optimizer's groups, each once and in the module's order", () => {
  const m = model();
  const [w, b] = m[2].parameters();
  expect(nn.matching(m, "2.bias", "2.*", "2")).toEqual([w, b]);
  const groups = [{ params: nn.matching(m, "[:-1]"), lr: 1e-4 }, { params: nn.matching(m, "2") }];
  const opt = new optim.SGD(groups, { lr: 0.1 });
  expect(opt.paramGroups.map((g) => [g.params.length, g.lr])).toEqual([
    [4, 1e-4],
    [2, 0.1],
  ]);
  expect(() => nn.matching(m, "7[:2]")).toThrow("matching 7[:2]: Sequential has no module 7");
});
