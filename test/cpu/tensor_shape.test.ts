// Shapes as people write them: one by one or as an array, empty ones, and what is refused.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, ones, ShapeError, tensor, zeros } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu", seed: 1 }));
afterAll(() => close());

const x = () => tensor([1, 2, 3, 4, 5, 6], [2, 3]);

describe("a shape", () => {
  it("is taken as arguments and as one array", async () => {
    expect(await x().reshape([3, 2]).toArray()).toEqual(await x().reshape(3, 2).toArray());
    expect(await x().permute([1, 0]).toArray()).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
    expect(x().unsqueeze(0).expand([4, -1, 3]).shape).toEqual([4, 2, 3]);
    expect(zeros(2, 3).shape).toEqual([2, 3]);
    expect(ones([2, 3]).shape).toEqual([2, 3]);
    expect(zeros().shape).toEqual([]);
    expect(x().reshape([6]).reshape(-1, 2).shape).toEqual([3, 2]);
    expect(x().sum().reshape([]).shape).toEqual([]);
  });

  it("may have no elements", async () => {
    expect(tensor([]).shape).toEqual([0]);
    expect(tensor([[], []]).shape).toEqual([2, 0]);
    expect(await tensor([], [0, 3]).sum().item()).toBe(0);
  });

  it("that does not fit is refused", () => {
    expect(() => x().reshape([4, 2])).toThrow(ShapeError);
    expect(() => x().permute([0, 0])).toThrow(ShapeError);
    expect(() => x().permute([0])).toThrow(ShapeError);
    expect(() => x().expand([4, 3])).toThrow(ShapeError);
    expect(() => zeros(2, -1)).toThrow(ShapeError);
    expect(() => tensor([[1, 2], [3]])).toThrow(ShapeError);
    expect(() => tensor([[1], 2])).toThrow(ShapeError);
    expect(() => tensor([1, [2]])).toThrow(ShapeError);
  });
});

describe("backward", () => {
  it("takes the gradient alone or among its options", async () => {
    const p = x();
    p.requiresGrad = true;
    p.mul(2).backward(tensor([1, 2, 3, 4, 5, 6], [2, 3]));
    expect(await p.grad?.reshape(-1).toArray()).toEqual([2, 4, 6, 8, 10, 12]);
    p.mul(2).backward({ gradient: ones(2, 3) });
    expect(await p.grad?.reshape(-1).toArray()).toEqual([4, 6, 8, 10, 12, 14]);
    expect(() => p.mul(2).backward()).toThrow(/single value/);
    expect(() => p.mul(2).backward(ones(3, 2))).toThrow(ShapeError);
  });
});
