// Results lie in memory that later runs write again. Nobody may find another run's numbers there: however many results a
// flush has, and whether or not the user still holds what queued, recorded or tracked work will read.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, compile, nn, type Tensor, tensor } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import { collectGarbage, open } from "../lib/engine.ts";

beforeAll(() => open({ seed: 5 }));
afterAll(close);

const filled = (n: number, value: number): Tensor => tensor(new Float32Array(n).fill(value));
const first = async (t: Tensor): Promise<number> => (await t.data())[0];

/** A compiled doubling whose plan is ready, so that nothing holds the queue up but garbage collection. */
async function doubling(n: number) {
  const double = compile((y: Tensor) => y.mul(2));
  await first(double(filled(n, 0)));
  // Collects garbage between the runs queued before and those queued after, of which there are enough for the ring.
  const overwrite = (): void => {
    void runtime().queue.add(collectGarbage);
    for (let i = 0; i < 300; i++) double(filled(n, 100));
  };
  return { double, overwrite };
}

// Both ways of keeping results: through the ring of small ones, and in memory of the plan's own.
describe.each([4, 1000])("results of %i elements stay", (n) => {
  it("for queued work, though the user has let its operand go", async () => {
    const { double, overwrite } = await doubling(n);
    const shift = compile((y: Tensor) => y.add(1));
    const sum = (() => {
      const operand = double(filled(n, 1));
      overwrite();
      return shift(operand);
    })();
    expect(await first(sum)).toBe(3);
  });

  it("for nodes of the running trace that read them", async () => {
    const { double, overwrite } = await doubling(n);
    const sum = (() => {
      const operand = double(filled(n, 1));
      overwrite();
      return operand.add(1);
    })();
    await runtime().queue.idle();
    expect(await first(sum)).toBe(3);
  });

  it("for reads that wait in the queue", async () => {
    const { double, overwrite } = await doubling(n);
    const waiting = (() => {
      const result = double(filled(n, 1));
      overwrite();
      return result.data();
    })();
    expect((await waiting)[0]).toBe(2);
  });

  it("for a compiled step that captured them", async () => {
    const { double, overwrite } = await doubling(n);
    const sum = (() => {
      const captured = double(filled(n, 1));
      overwrite();
      return compile((y: Tensor) => y.add(captured))(filled(n, 10));
    })();
    expect(await first(sum)).toBe(12);
  });

  it("for a tensor that was detached from one that is gone", async () => {
    const { double, overwrite } = await doubling(n);
    const kept = (() => double(filled(n, 1)).detach())();
    overwrite();
    expect(await first(kept)).toBe(2);
  });

  it("for what the first call of a compiled step has returned", async () => {
    const double = compile((y: Tensor) => y.mul(2));
    const kept = double(filled(n, 1));
    void runtime().queue.add(collectGarbage);
    for (let i = 0; i < 300; i++) double(filled(n, 100));
    expect(await first(kept)).toBe(2);
  });
});

it("more small results than the ring holds are all told apart, in a plain flush and a compiled one", async () => {
  const x = tensor([1, 2, 3]);
  const plain = Array.from({ length: 700 }, (_, i) => x.mul(i + 1));
  const values = await Promise.all(plain.map(first));
  expect(values).toEqual(plain.map((_, i) => i + 1));
  const many = compile((y: Tensor) => Array.from({ length: 300 }, (_, i) => y.mul(i + 1)));
  const [one, two] = [many(x), many(tensor([10, 20, 30]))];
  expect(await Promise.all(one.map(first))).toEqual(one.map((_, i) => i + 1));
  expect(await Promise.all(two.map(first))).toEqual(two.map((_, i) => 10 * (i + 1)));
});

it("every gradient's numbers of one step, read together, are what they are when read alone", async () => {
  const layers = Array.from({ length: 60 }, () => new nn.Linear(3, 3));
  const x = tensor([[1, 2, 3]]);
  for (const l of layers) l.forward(x).square().sum().backward();
  const grads = layers.flatMap((l) => l.parameters()).map((p) => p.grad as Tensor);
  const numbers = [
    (g: Tensor) => g.square().sum(),
    (g: Tensor) => g.abs().amax(),
    (g: Tensor) => g.abs().mean(),
  ];
  const tasks = grads.flatMap((g) => numbers.map((f) => () => f(g)));
  const together = await Promise.all(tasks.map((f) => f()).map((t) => t.item()));
  const alone: number[] = [];
  for (const f of tasks) alone.push(await f().item());
  expect(together).toEqual(alone);
});
