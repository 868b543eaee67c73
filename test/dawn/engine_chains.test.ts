// Chains of elementwise ops give the bits of the single ops, in fewer dispatches: forward, backward, over operands that
// repeat, and where a multiplication meets an addition. What is computed in between is rounded as if it had been stored.
import { afterEach, describe, expect, it } from "vitest";
import type { StateSlice } from "../../src/graph/leaf.ts";
import { close, compile, type InitOptions, init, nn, ones, type Tensor, where } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import { plansOf, wave } from "../lib/engine.ts";
import { has, testOptions } from "../lib/test_options.ts";

afterEach(close);

/** A tensor that wants a gradient. */
function input(shape: readonly number[], phase: number): Tensor {
  const t = wave(shape, phase);
  t.requiresGrad = true;
  return t;
}

const CASES: Record<string, () => Tensor[]> = {
  // 4096 sums of products: a fused multiply-add anywhere shows.
  "products and sums": () => {
    const [a, b, c] = [wave([64, 64]), wave([64, 64], 1), wave([64, 64], 2)];
    return [a.mul(b).add(c), a.mul(b).sub(c.mul(a)), a.mul(0.3).add(b.mul(0.7)).add(0.1)];
  },
  "per channel, per row, last axes, odd sizes": () => {
    const x = wave([3, 5, 4, 4]);
    const y = x
      .mul(wave([5, 1, 1], 1))
      .add(wave([1, 5, 1, 1], 2))
      .sub(wave([3, 1, 1, 1], 3));
    const odd = wave([3, 5, 7])
      .mul(wave([5, 1]))
      .add(wave([7], 1))
      .hardswish();
    return [y.mul(wave([4], 4)).silu(), odd];
  },
  "a loss by hand and its gradients": () => {
    const [x, t] = [input([6, 40], 1), wave([6, 40], 2)];
    const p = x.mul(1.5).tanh().sub(t).abs();
    const loss = where(p.lt(1), p.square().mul(0.5), p.sub(0.5)).mean();
    loss.backward();
    return [loss, x.grad as Tensor];
  },
  "slices of channels": () => {
    const x = wave([2, 8, 4, 4]);
    const [a, b] = [x.slice(1, 0, 4), x.slice(1, 4, 8)];
    return [a.mul(b.sigmoid()).add(a)];
  },
};

async function run(
  make: () => Tensor[],
  options: InitOptions,
): Promise<{ bits: string; dispatches: number }> {
  await init(testOptions({ seed: 3, ...options }));
  let bits = "";
  const plans = await plansOf(async () => {
    for (const t of await compile(make)()) bits += [...new Uint32Array((await t.data()).buffer)].join(",");
  });
  const dispatches = plans.flatMap((p) => [...p.hoisted, ...p.steps]).filter((s) => s.kind === "dispatch");
  return { bits, dispatches: dispatches.length };
}

const OFF = { rewrites: { elementwiseChains: false } };

describe("chains", () => {
  it.each(Object.entries(CASES))("%s: the same bits, fewer dispatches", async (_name, make) => {
    const [on, off] = [await run(make, {}), await run(make, OFF)];
    expect(on.bits).toBe(off.bits);
    if (has("elementwiseChains")) expect(on.dispatches).toBeLessThan(off.dispatches);
  });

  it("state that an effect changes is read before it", async () => {
    await init(testOptions());
    const p = new nn.Buffer([4], Float32Array.of(1, 2, 3, 4));
    const step = compile((x: Tensor) => {
      const before = p.mul(2).add(x);
      runtime().assign(p.variable.state as StateSlice, x.mul(5).variable.value);
      return before.mul(p).neg();
    });
    const after = await step(ones(4));
    expect([...(await after.data())]).toEqual([-15, -25, -35, -45]);
  });
});
