// State of optimizers: what stateDict() gives, loadStateDict() takes; what is of another optimizer is refused whole.
import { afterAll, beforeAll, expect, it } from "vitest";
import { close, init, nn, optim, type Tensor } from "../../src/index.ts";
import { writeTensor } from "../../src/tensor/parameter.ts";

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(close);

type Any = optim.Optimizer<object>;

const start = () => [
  new nn.Parameter([3], Float32Array.of(0.5, -1, 2)),
  new nn.Parameter([1], Float32Array.of(4)),
];

async function steps(opt: Any, p: readonly nn.Parameter[], n: number): Promise<number[][]> {
  for (let i = 0; i < n; i++) {
    opt.zeroGrad();
    p[0].square().sum().add(p[1].square().sum()).backward();
    await opt.step();
  }
  return Promise.all(p.map(async (t) => [...(await t.data())]));
}

const MAKE: Record<string, (p: nn.Parameter[]) => Any> = {
  momentum: (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.3 }),
  adam: (p) => new optim.Adam(p, { lr: 0.1 }),
  adamw: (p) => new optim.AdamW(p, { lr: 0.1 }),
};

it.each(Object.keys(MAKE))("%s goes on with what stateDict() gave another one", async (name) => {
  const [p, q] = [start(), start()];
  const want = await steps(MAKE[name](p), p, 5);
  const first = MAKE[name](q);
  await steps(first, q, 3);
  const second = MAKE[name](q);
  second.loadStateDict(first.stateDict() as never);
  expect(await steps(second, q, 2)).toEqual(want);
});

it("groups in another order lie elsewhere, and each parameter keeps its own moments", async () => {
  const [p, q] = [start(), start()];
  const want = await steps(MAKE.adam(p), p, 5);
  const first = MAKE.adam(q);
  await steps(first, q, 3);
  const second = MAKE.adam([q[1], q[0]]);
  const { groups, params, kind } = first.stateDict();
  second.loadStateDict({ kind, groups, params: [params[1], params[0]] } as never);
  expect(await steps(second, q, 2)).toEqual(want);
});

it("moments may be host data, and a state from before the first step starts over", async () => {
  const p = start();
  const opt = MAKE.adam(p);
  const fresh = opt.stateDict();
  const first = await steps(opt, p, 3);
  const { groups, params } = opt.stateDict();
  const host = await Promise.all(
    params.map(async ({ step, moments }) => ({
      step,
      moments: Object.fromEntries(
        await Promise.all(
          Object.entries(moments).map(
            async ([k, t]) => [k, (await (t as Tensor).data()) as Float32Array] as const,
          ),
        ),
      ),
    })),
  );
  opt.loadStateDict(fresh as never);
  writeTensor(p[0], Float32Array.of(0.5, -1, 2));
  writeTensor(p[1], Float32Array.of(4));
  expect(await steps(opt, p, 3)).toEqual(first);
  await steps(opt, p, 1);
  opt.loadStateDict({ groups, params: host } as never);
  expect(opt.stateDict().params[0].step).toBe(3);
  expect(await (opt.stateDict().params[0].moments as Record<string, Tensor>).m.data()).toEqual(
    host[0].moments.m,
  );
});

it("refuses the state of another optimizer, and then nothing has changed", async () => {
  const p = start();
  const [sgd, adam] = [MAKE.momentum(p), MAKE.adam(start())];
  await steps(sgd, p, 1);
  expect(() => adam.loadStateDict(sgd.stateDict() as never)).toThrow("Adam: the state is of SGD");
  const { groups, params } = sgd.stateDict();
  expect(() => adam.loadStateDict({ groups, params } as never)).toThrow("Adam: there is no option momentum");
  const own = adam.stateDict();
  expect(() => adam.loadStateDict({ groups: own.groups, params } as never)).toThrow(
    "Adam: the state has a moment momentum, there are m, v",
  );
  const wild = { groups: [{ ...own.groups[0], lr: -1 }], params: own.params };
  expect(() => adam.loadStateDict(wild as never)).toThrow("Adam: lr must be a number of at least 0, got -1");
  expect(adam.paramGroups[0]).toMatchObject({ lr: 0.1 });
  expect(() => adam.loadStateDict({ groups: own.groups, params: [] } as never)).toThrow(
    "Adam: the state is of 1 groups and 0 parameters, not 1 and 2",
  );
});
