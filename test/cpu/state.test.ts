// State in program order, whatever was flushed when: who read a parameter before it was written sees what was there
// then, who shares its memory follows it, and backward refuses only what it would compute from changed contents.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Storage } from "../../src/graph/leaf.ts";
import { close, compile, init, nn, optim, type Tensor, tensor } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu" }));
afterAll(close);

const param = (...v: number[]) => new nn.Parameter([v.length], Float32Array.from(v));
const read = async (t: Tensor | null) => [...(await (t as Tensor).data())];

describe("a parameter that no flush has used yet", () => {
  it("is written after what was recorded from it", async () => {
    const p = param(1, 2);
    const before = p.mul(2);
    nn.init.constant(p, 5);
    expect(await read(before)).toEqual([2, 4]);
    expect(await read(p.mul(2))).toEqual([10, 10]);
  });

  it("is loaded from tensors before what comes next: host data, or an optimizer that moves it", async () => {
    const lin = () => new nn.Linear(1, 1, { bias: false });
    const [a, b] = [lin(), lin()];
    for (const l of [a, b]) l.loadStateDict(new Map([["weight", tensor([[7]])]]));
    nn.init.constant(a.weight, 3);
    new optim.SGD(b.parameters(), { lr: 1 });
    expect(await read(a.weight)).toEqual([3]);
    expect(await read(b.weight)).toEqual([7]);
  });

  it("cannot be differentiated through once it was written", () => {
    const [p, q] = [param(1), param(2)];
    const y = p.mul(q);
    nn.init.constant(q, 5);
    expect(() => y.backward()).toThrow(/was changed after mul used it/);
  });
});

describe("memory that an optimizer moves", () => {
  it("takes detached tensors with it", async () => {
    const p = param(5);
    await p.data();
    const [one, two] = [p.detach(), p.detach().detach()];
    const opt = new optim.SGD([p], { lr: 1 });
    expect(await read(one)).toEqual([5]);
    p.sum().backward();
    await opt.step();
    expect([await read(one), await read(two)]).toEqual([[4], [4]]);
  });

  it("does not hide a change from a backward that began before", async () => {
    const p = param(5);
    const early = p.square();
    const opt = new optim.SGD([p], { lr: 1 });
    p.sum().backward();
    await opt.step();
    expect(() => early.backward()).toThrow(/was changed after square used it/);
  });

  it("alone is no change", async () => {
    const p = param(5);
    const early = p.square();
    new optim.SGD([p], { lr: 1 });
    new optim.SGD([p, param(1)], { lr: 1 });
    early.backward();
    expect(await read(p.grad)).toEqual([10]);
  });
});

describe("backward after a step", () => {
  it("of other parameters in the same flat storage goes on", async () => {
    const [p, q] = [param(2), param(3)];
    const opt = new optim.SGD([p, q], { lr: 0.5 });
    const [lp, lq] = [p.square(), q.square()];
    lp.backward();
    await opt.step();
    opt.zeroGrad();
    lq.backward();
    await opt.step();
    expect([await read(p), await read(q)]).toEqual([[0], [0]]);
  });

  it("goes on where the gradient does not ask for the changed values", async () => {
    const p = param(2);
    const opt = new optim.SGD([p], { lr: 0.5 });
    const [now, later] = [p.square(), p.mul(3).sum()];
    now.backward();
    await opt.step();
    p.zeroGrad();
    later.backward();
    expect(await read(p.grad)).toEqual([3]);
  });

  it("is refused where it does, also after a failed compiled step", async () => {
    const p = param(2);
    const opt = new optim.SGD([p], { lr: 0.5 });
    const [now, later, kept] = [p.square(), p.square(), p.square()];
    const failing = compile(() => {
      p.sum().backward();
      void opt.step();
      throw new Error("stop");
    });
    expect(failing).toThrow("stop");
    kept.backward();
    expect(await read(p.grad)).toEqual([4]);
    p.zeroGrad();
    now.backward();
    await opt.step();
    expect(() => later.backward()).toThrow(/was changed after square used it/);
  });
});

it("changes of a storage are told apart by slice", () => {
  const s = new Storage("s", "f32", 100);
  const slice = (offset: number, n: number) => ({ storage: s, offset, shape: [n], dtype: "f32" as const });
  const changed = (version: number) =>
    Array.from({ length: 10 }, (_, i) => (s.changedAfter(slice(10 * i, 10), version) ? "x" : "."));
  s.change(slice(0, 100));
  const all = s.version;
  s.change(slice(20, 30));
  expect(changed(all).join("")).toBe("..xxx.....");
  const middle = s.version;
  s.change(slice(40, 20));
  s.change(slice(30, 5));
  expect(changed(all).join("")).toBe("..xxxx....");
  expect(changed(middle).join("")).toBe("...xxx....");
  expect(changed(0).join("")).toBe("xxxxxxxxxx");
  s.revert(middle);
  s.change(slice(90, 10));
  expect(changed(middle).join("")).toBe(".........x");
});
