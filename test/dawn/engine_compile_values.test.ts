// compile(): arguments, returned values and how many recordings are kept.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, compile, nn, noGrad, type Tensor, tensor } from "../../src/index.ts";
import { gpuBackend, open, stats, wave } from "../lib/engine.ts";

beforeAll(() => open());
afterAll(close);

const list = async (t: Tensor) => [...(await t.data())];

describe("arguments", () => {
  it("tensors inside arrays and objects are given anew at every call", async () => {
    const f = compile((xs: Tensor[], o: { w: Tensor; k: number }) => xs[0].add(xs[1]).mul(o.w).mul(o.k));
    for (const k of [1, 2, 3]) {
      const out = f([tensor([k]), tensor([10 * k])], { w: tensor([2]), k: 1 });
      expect(await list(out)).toEqual([22 * k]);
    }
    expect(f.traces).toBe(1);
    expect(await list(f([tensor([1]), tensor([1])], { w: tensor([1]), k: 5 }))).toEqual([10]);
    expect(f.traces).toBe(2);
  });

  it("what two calls could not be told apart by is refused", () => {
    class Pair {
      v = 1;
    }
    const f = compile((_a: Tensor, b: unknown) => _a.mul(b === undefined ? 1 : 2));
    const wrong: [unknown, string][] = [
      [() => 1, "function"],
      [new Map(), "Map"],
      [new Set(), "Set"],
      [new Pair(), "Pair"],
      [Float32Array.of(1), "Float32Array"],
      [1n, "bigint"],
      [Symbol("a"), "symbol"],
      [new nn.ReLU(), "ReLU"],
    ];
    for (const [value, name] of wrong) {
      expect(() => f(tensor([1]), value)).toThrow(`argument 1 must be`);
      expect(() => f(tensor([1]), [{ a: value }])).toThrow(`argument 1[0].a must be`);
      expect(() => f(tensor([1]), value)).toThrow(`got ${name};`);
    }
    const ring: unknown[] = [];
    ring.push(ring);
    expect(() => f(tensor([1]), ring)).toThrow(/contains itself/);
    const grad = tensor([1]);
    grad.requiresGrad = true;
    expect(() => f(tensor([1]), [grad])).toThrow(/argument 1\[0\] requires a gradient/);
  });

  it("both zeros, null, undefined and text are different values", async () => {
    const f = compile((k: unknown) => tensor([Object.is(k, -0) ? 1 : k === 0 ? 2 : k === null ? 3 : 4]));
    const values = [];
    for (const k of [0, -0, null, "null", undefined]) values.push((await list(f(k)))[0]);
    expect(values).toEqual([2, 1, 3, 4, 4]);
    expect(f.traces).toBe(5);
    const x = tensor([1, -1]);
    expect(await list(x.mul(0))).toEqual([0, -0]);
    const [zero, minus] = [x.mul(0), x.mul(-0)];
    expect(await list(zero)).toEqual([0, -0]);
    expect(await list(minus)).toEqual([-0, 0]);
  });

  it("noGrad around the call is part of what is recorded", async () => {
    const p = new nn.Parameter([1], Float32Array.of(3));
    const f = compile(() => {
      p.zeroGrad();
      const loss = p.square().sum();
      if (loss.requiresGrad) loss.backward();
      return loss;
    });
    noGrad(() => f());
    expect(p.grad).toBeNull();
    f();
    expect(await list(p.grad as Tensor)).toEqual([6]);
    expect(f.traces).toBe(2);
  });
});

describe("returned values", () => {
  it("arguments, parts of them, captured tensors and tensors of host data", async () => {
    const captured = tensor([7]);
    const f = compile((x: Tensor, o: { y: Tensor }) => [x, o.y, x.detach(), captured, tensor([9]), x.add(1)]);
    for (const k of [1, 2]) {
      const x = tensor([k]);
      const out = f(x, { y: tensor([10 * k]) });
      expect(out[0]).toBe(x);
      expect(out[3]).toBe(captured);
      expect((await Promise.all(out.map(list))).flat()).toEqual([k, 10 * k, k, 7, 9, k + 1]);
    }
    expect(f.traces).toBe(1);
  });

  it("maps are rebuilt; tensors in other objects are refused", async () => {
    const f = compile((x: Tensor) => new Map([["m", x.mul(2)]]));
    for (const k of [1, 5]) expect(await list(f(tensor([k])).get("m") as Tensor)).toEqual([2 * k]);
    class Out {
      readonly y: Tensor;
      constructor(y: Tensor) {
        this.y = y;
      }
    }
    expect(() => compile((x: Tensor) => [new Out(x.mul(2))])(tensor([1]))).toThrow(/inside of Out/);
    expect(() => compile((x: Tensor) => new Set([x.mul(2)]))(tensor([1]))).toThrow(/inside of Set/);
    // The failed recording leaves nothing behind.
    expect(await list(tensor([1]).add(1))).toEqual([2]);
  });
});

it("keeps the 32 recordings used last, and frees the others' memory", async () => {
  const f = compile((x: Tensor, k: number) => x.mul(k).reshape(64, 64));
  const x = wave([64 * 64]);
  const first = f(x, 0);
  const want = await list(f(x, 1));
  for (let k = 2; k < 32; k++) f(x, k);
  expect(await list(f(x, 1))).toEqual(want);
  const before = { ...(await stats()), plans: (await gpuBackend()).plans.length };
  for (let k = 32; k < 60; k++) f(x, k);
  const after = { ...(await stats()), plans: (await gpuBackend()).plans.length };
  expect(after.plans).toBe(before.plans);
  expect(after.bufferBytes).toBeLessThanOrEqual(before.bufferBytes + 2 ** 16);
  // Results of a dropped recording can still be read.
  expect((await list(first)).every((v) => v === 0)).toBe(true);
  const traces = f.traces;
  expect(await list(f(x, 1))).toEqual(want);
  expect(f.traces).toBe(traces);
  f(x, 0);
  expect(f.traces).toBe(traces + 1);
});
