// What runs fused gives the bits of the single ops, in fewer dispatches. Chains of elementwise ops: forward, backward,
// over operands that repeat, and where a multiplication meets an addition. Residuals and activations in the stores of
// convolutions: every kernel, residuals that are slices, outputs that lie inside a concat, work that is cut.
import { afterEach, describe, expect, it } from "vitest";
import type { StateSlice } from "../../src/graph/leaf.ts";
import {
  close,
  compile,
  concat,
  type InitOptions,
  init,
  nn,
  ones,
  type Tensor,
  where,
} from "../../src/index.ts";
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

const CHAINS: Record<string, () => Tensor[]> = {
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

/** A batch norm by running statistics that are not the initial ones. */
function frozenNorm(c: number): nn.BatchNorm2d {
  const norm = new nn.BatchNorm2d(c).eval();
  const vector = (f: (i: number) => number) => ({
    shape: [c],
    dtype: "f32",
    data: Float32Array.from({ length: c }, (_, i) => f(i)),
  });
  const state = { running_mean: vector((i) => 0.1 * i), running_var: vector((i) => 1 + 0.2 * i) };
  norm.loadStateDict(new Map(Object.entries(state)), { strict: false });
  return norm;
}

/** Modules are made once, before the step that they give is recorded. */
const STORES: Record<string, () => (x: Tensor) => Tensor[]> = {
  "a residual block with batch norms": () => {
    const conv = () => new nn.Conv2d(8, 8, 3, { padding: 1, bias: false });
    const body = new nn.Sequential(conv(), frozenNorm(8), new nn.ReLU(), conv(), frozenNorm(8));
    return (x) => [(body.forward(x) as Tensor).add(x).relu()];
  },
  "an inverted residual: 1×1, depthwise, 1×1": () => {
    const expand = new nn.Conv2d(8, 20, 1);
    const deep = new nn.Conv2d(20, 20, 3, { padding: 1, groups: 20 });
    const project = new nn.Conv2d(20, 8, 1);
    return (x) => [project.forward(deep.forward(expand.forward(x).hardswish()).silu()).add(x)];
  },
  "planes and rows of odd size, stride 2": () => {
    const one = new nn.Conv2d(8, 9, 1);
    const down = new nn.Conv2d(8, 5, 3, { stride: 2, padding: 1 });
    return (x) => {
      const odd = x.slice(3, 0, 7);
      return [
        one
          .forward(odd)
          .add(wave([2, 9, 8, 7], 1))
          .relu(),
        down
          .forward(x)
          .add(wave([2, 5, 4, 4]))
          .relu(),
      ];
    };
  },
  "a residual that is a slice, an output inside a concat": () => {
    const one = new nn.Conv2d(8, 4, 1);
    return (x) => [
      concat(
        [
          x.exp(),
          one
            .forward(x)
            .add(x.slice(1, 2, 6))
            .relu(),
        ],
        1,
      ).mul(2),
    ];
  },
  "a training step": () => {
    const layers = new nn.Sequential(
      new nn.Conv2d(8, 6, 3),
      new nn.ReLU(),
      new nn.Conv2d(6, 4, 1),
      new nn.ReLU(),
    );
    return (x) => {
      const loss = (layers.forward(x) as Tensor).square().mean();
      layers.zeroGrad();
      loss.backward();
      return [loss, ...layers.parameters().map((p) => p.grad as Tensor)];
    };
  },
};

interface Ran {
  readonly values: readonly Float32Array[];
  readonly bits: string;
  readonly dispatches: number;
}

async function run(build: () => (x: Tensor) => Tensor[], options: InitOptions): Promise<Ran> {
  await init(testOptions({ seed: 3, ...options }));
  const values: Float32Array[] = [];
  const step = build();
  const plans = await plansOf(async () => {
    for (const t of await compile(step)(wave([2, 8, 8, 8], 5))) values.push((await t.data()) as Float32Array);
  });
  const dispatches = plans.flatMap((p) => [...p.hoisted, ...p.steps]).filter((s) => s.kind === "dispatch");
  const bits = values.map((v) => new Uint32Array(v.buffer, v.byteOffset, v.length).join(",")).join("\n");
  return { values, bits, dispatches: dispatches.length };
}

describe("storeEpilogue", () => {
  const off = { rewrites: { storeEpilogue: false } };

  it.each(Object.entries(STORES))("%s: the same bits, fewer dispatches", async (_name, build) => {
    for (const more of [{}, { subgroups: false }]) {
      const [fused, plain] = [await run(build, more), await run(build, { ...more, ...off })];
      expect(fused.bits).toBe(plain.bits);
      if (has("storeEpilogue")) expect(fused.dispatches).toBeLessThan(plain.dispatches);
    }
  });

  const wide = () => {
    const [one, other] = [new nn.Conv2d(8, 40, 1), new nn.Conv2d(8, 40, 1)];
    return (x: Tensor) => [one.forward(x).add(other.forward(x)).relu().slice(1, 0, 4)];
  };
  const grouped = () => {
    const deep = new nn.Conv2d(8, 8, 3, { padding: 1, groups: 4 });
    return (x: Tensor) => [deep.forward(x).add(x).relu()];
  };

  it.each([
    ["pictures", STORES["a residual block with batch norms"], 2048],
    ["output channels", wide, 4096],
    ["groups", grouped, 1536],
  ] as const)("what is added is cut with the work: %s", async (_name, build, limit) => {
    const whole = await run(build, {});
    const cut = await run(build, { limits: { maxStorageBufferBindingSize: limit } });
    expect(cut.dispatches).toBeGreaterThan(whole.dispatches);
    whole.values[0].forEach((v, i) => {
      expect(Math.abs(v - cut.values[0][i]), `element ${i}`).toBeLessThan(1e-5);
    });
  });
});

describe("elementwiseChains", () => {
  const off = { rewrites: { elementwiseChains: false } };

  it.each(Object.entries(CHAINS))("%s: the same bits, fewer dispatches", async (_name, make) => {
    const [fused, plain] = [await run(() => make, {}), await run(() => make, off)];
    expect(fused.bits).toBe(plain.bits);
    if (has("elementwiseChains")) expect(fused.dispatches).toBeLessThan(plain.dispatches);
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
