// The order of reads and writes of state within one flush: whoever read before an assignment sees what was there then.
import { afterAll, beforeAll, expect, it } from "vitest";
import { close, concat, nn, noGrad, optim, type Tensor, tensor } from "../../src/index.ts";
import { dispatchCounts } from "../../src/schedule/plan.ts";
import { open, plansOf, wave } from "../lib/engine.ts";

beforeAll(() => open({ seed: 5 }));
afterAll(close);

const linear = () => new nn.Linear(2, 2, { bias: false });

it("a reader between a value's making and its assignment sees the old state", async () => {
  const lin = linear();
  const w0 = await lin.weight.data();
  const next = wave([2, 2]).exp();
  const old = noGrad(() => lin.weight.add(1));
  lin.loadStateDict(new Map([["weight", next]]));
  const after = noGrad(() => lin.weight.mul(2));
  const want = await next.data();
  expect([...(await old.data())]).toEqual([...w0].map((v) => Math.fround(v + 1)));
  expect([...(await lin.weight.data())]).toEqual([...want]);
  expect([...(await after.data())]).toEqual([...want].map((v) => 2 * v));
});

it("without such a reader the value is computed in the state itself", async () => {
  const lin = linear();
  const [plan] = await plansOf(async () => {
    const next = wave([2, 2]).exp();
    next.variable.internal = true;
    lin.loadStateDict(new Map([["weight", next]]));
    await lin.weight.data();
  });
  expect([...dispatchCounts(plan)]).toEqual([["exp", 1]]);
  expect(plan.steps.filter((s) => s.kind === "copy")).toEqual([]);
});

it("what was recorded from a fresh parameter does not see what is written into it afterwards", async () => {
  const lin = linear();
  const other = linear();
  nn.init.constant(lin.weight, 1);
  const doubled = noGrad(() => lin.weight.mul(2));
  const copy = noGrad(() => lin.weight.clone());
  nn.init.constant(lin.weight, 5);
  nn.init.constant(other.weight, 7);
  expect([...(await doubled.data())]).toEqual([2, 2, 2, 2]);
  expect([...(await copy.data())]).toEqual([1, 1, 1, 1]);
  expect([...(await lin.weight.data())]).toEqual([5, 5, 5, 5]);
  expect([...(await other.weight.data())]).toEqual([7, 7, 7, 7]);
});

it("swapping two states through each other's values is a swap", async () => {
  const [a, b] = [linear(), linear()];
  const [wa, wb] = [await a.weight.data(), await b.weight.data()];
  const [na, nb] = noGrad(() => [a.weight.mul(2), b.weight.mul(2)]);
  a.loadStateDict(new Map([["weight", nb]]));
  b.loadStateDict(new Map([["weight", na]]));
  expect([...(await a.weight.data())]).toEqual([...wb].map((v) => 2 * v));
  expect([...(await b.weight.data())]).toEqual([...wa].map((v) => 2 * v));
});

it("a view of state that is held across a step keeps the values of when it was made", async () => {
  const lin = linear();
  const opt = new optim.SGD(lin.parameters(), { lr: 1 });
  const w0 = await lin.weight.data();
  const view: Tensor = noGrad(() => lin.weight.reshape(4));
  lin.weight.sum().backward();
  await opt.step();
  expect([...(await view.data())]).toEqual([...w0]);
  expect([...(await lin.weight.data())]).toEqual([...w0].map((v) => Math.fround(v - 1)));
});

it("a gradient that is added to in place keeps what somebody reads of it later", async () => {
  const t = tensor([0.5]);
  t.requiresGrad = true;
  const k = wave([2, 6, 4, 4], 3);
  // Made before the rest, so that its gradient is computed after: it reads all of the gradient behind the sum.
  const w = k.mul(t);
  const x = wave([2, 4, 4, 4]);
  x.requiresGrad = true;
  const layer = new nn.Sequential(new nn.BatchNorm2d(4), new nn.ReLU(), new nn.Conv2d(4, 2, 1));
  const out = concat([x, layer.forward(x)], 1).add(w);
  out.square().mean().backward();
  const [got, values, factors] = [await (t.grad as Tensor).item(), await out.data(), await k.data()];
  const want = Array.from(values, (v, i) => (2 * v * factors[i]) / values.length).reduce((a, b) => a + b);
  expect(Math.abs(got - want) / Math.abs(want)).toBeLessThan(1e-4);
});
