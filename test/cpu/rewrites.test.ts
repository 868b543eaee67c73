// Every rewrite: the rewritten graph computes the same in float64, it really rewrites, and its switch turns it off.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NDArray } from "../../src/graph/array.ts";
import type { Cut } from "../../src/graph/cut.ts";
import type { StateSlice } from "../../src/graph/leaf.ts";
import type { Value } from "../../src/graph/node.ts";
import { close, concat, init, nn, noGrad, type Tensor, tensor } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import { REWRITES, type RewriteName, rewrite } from "../../src/schedule/rewrites/index.ts";
import { snapshotRoots, type WorkGraph, workGraph } from "../../src/schedule/work_graph.ts";
import { evaluate, takeCut } from "../lib/cuts.ts";
import { wave } from "../lib/engine.ts";

beforeEach(() => init({ device: "cpu", seed: 2 }));
afterEach(close);

/** A dense layer's chain with the batch norms' state away from its initial values. */
function net(): nn.Sequential {
  const bn = (c: number) => {
    const m = new nn.BatchNorm2d(c);
    const v = (f: (i: number) => number) => ({
      shape: [c],
      dtype: "f32",
      data: Float32Array.from({ length: c }, (_, i) => f(i)),
    });
    m.loadStateDict(
      new Map(
        Object.entries({
          weight: v((i) => 1 + 0.1 * i),
          bias: v((i) => 0.3 - 0.2 * i),
          running_mean: v((i) => 0.1 * i),
          running_var: v((i) => 1 + 0.2 * i),
        }),
      ),
    );
    return m;
  };
  return new nn.Sequential(
    bn(3),
    new nn.ReLU(),
    new nn.Conv2d(3, 4, 1, { bias: false }),
    bn(4),
    new nn.ReLU(),
    new nn.Conv2d(4, 2, 3, { padding: 1 }),
    bn(2),
  );
}

function lossCut(train: boolean, backward: boolean): { cut: Cut; held: unknown[] } {
  const model = net().train(train);
  const x = wave([2, 3, 5, 5]);
  const run = () => (model.forward(x) as Tensor).square().mean();
  const loss = backward ? run() : noGrad(run);
  if (backward) loss.backward();
  return { cut: takeCut(), held: [loss, model] };
}

const graphOf = (cut: Cut): WorkGraph => snapshotRoots(workGraph(cut));
const results = (g: WorkGraph): NDArray[] =>
  evaluate([...g.roots, ...g.effects.map((e) => e.value)] as Value[]);
const count = (g: WorkGraph, op: string) => g.nodes.filter((n) => n.op?.name === op).length;

/** All results equal to a part in 10¹². */
function same(a: readonly NDArray[], b: readonly NDArray[]): void {
  expect(a.length).toBe(b.length);
  a.forEach((x, k) => {
    const top = b[k].data.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-6);
    x.data.forEach((v, i) => {
      expect(Math.abs(v - b[k].data[i]) / top, `result ${k} [${i}]`).toBeLessThan(1e-12);
    });
  });
}

const only = (name: RewriteName) =>
  Object.fromEntries(REWRITES.map((r) => [r, r === name])) as Record<RewriteName, boolean>;

describe("foldBatchNorm", () => {
  it("folds eval batch norms into the convolutions before them", () => {
    const { cut } = lossCut(false, false);
    const plain = graphOf(cut);
    const folded = rewrite(plain, only("foldBatchNorm"));
    expect(count(plain, "normalize")).toBe(3);
    expect(count(folded, "normalize")).toBe(1);
    expect(folded.nodes.filter((n) => n.op?.name === "conv2d" && n.attrs.bias === true).length).toBe(2);
    same(results(folded), results(plain));
  });

  it("leaves a batch norm alone whose convolution trains or whose statistics are the batch's", () => {
    for (const train of [false, true]) {
      const { cut } = lossCut(train, true);
      const g = rewrite(graphOf(cut), only("foldBatchNorm"));
      expect(count(g, "normalize")).toBe(count(graphOf(cut), "normalize"));
    }
  });

  it("leaves a convolution alone that somebody else reads too", () => {
    const conv = new nn.Conv2d(3, 4, 1);
    const bn = new nn.BatchNorm2d(4).eval();
    const out = noGrad(() => {
      const y = conv.forward(wave([1, 3, 4, 4]));
      return [(bn.forward(y) as Tensor).sum(), y.exp().sum()];
    });
    const cut = takeCut();
    expect(count(rewrite(graphOf(cut), only("foldBatchNorm")), "normalize")).toBe(1);
    expect(out.length).toBe(2);
  });
});

describe("normalizeOnLoad", () => {
  it("moves batch norm and ReLU into the loads of forward and weight gradient", () => {
    const { cut } = lossCut(true, true);
    const plain = graphOf(cut);
    const fused = rewrite(plain, only("normalizeOnLoad"));
    expect(count(plain, "normalize")).toBe(3);
    // The last batch norm feeds no convolution.
    expect(count(fused, "normalize")).toBe(1);
    const onLoad = fused.nodes.filter((n) => n.attrs.prologue === "affineRelu").map((n) => n.op?.name);
    expect(onLoad.sort()).toEqual(["conv2d", "conv2d", "conv2dWeight", "conv2dWeight"]);
    same(results(fused), results(plain));
  });

  it("keeps a normalised tensor that somebody reads", () => {
    const bn = new nn.BatchNorm2d(3);
    const conv = new nn.Conv2d(3, 2, 1);
    const held = noGrad(() => {
      const y = bn.forward(wave([2, 3, 4, 4])) as Tensor;
      return [conv.forward(y.retain()), y];
    });
    const cut = takeCut();
    expect(count(rewrite(graphOf(cut), only("normalizeOnLoad")), "normalize")).toBe(1);
    expect(held.length).toBe(2);
  });

  it("switched off, the ReLU stays an operation of its own", async () => {
    await init({ device: "cpu", seed: 2, rewrites: { normalizeOnLoad: false } });
    const { cut } = lossCut(true, true);
    const g = graphOf(cut);
    expect(count(g, "relu")).toBe(2);
    expect(count(g, "reluGrad")).toBe(2);
    const plain = results(g);
    await init({ device: "cpu", seed: 2 });
    const { cut: fused } = lossCut(true, true);
    expect(count(graphOf(fused), "relu")).toBe(0);
    const loss = (list: readonly NDArray[]) => list[0];
    same([loss(results(graphOf(fused)))], [loss(plain)]);
  });
});

describe("sharedStatistics", () => {
  /** A small dense block in train mode: loss and the gradient of its input. */
  function block(): { cut: Cut; held: unknown[] } {
    const layers = [2, 4, 6].map(
      (c) => [new nn.BatchNorm2d(c), new nn.Conv2d(c, 2, 3, { padding: 1, bias: false })] as const,
    );
    let x = wave([3, 2, 4, 4]);
    x.requiresGrad = true;
    const first = x;
    for (const [bn, conv] of layers) x = concat([x, conv.forward((bn.forward(x) as Tensor).relu())], 1);
    const loss = x.square().mean();
    loss.backward();
    return { cut: takeCut(), held: [loss, first, first.grad] };
  }

  it("computes each map's statistics once, and returns their gradients to it in one pass", async () => {
    const shared = graphOf(block().cut);
    // The input and the outputs of the first two layers: the third layer's is normalised by nobody.
    expect(count(shared, "channelStats")).toBe(3);
    expect(count(shared, "statsInput")).toBe(3);
    const got = results(shared);
    await init({ device: "cpu", seed: 2, rewrites: { sharedStatistics: false } });
    const plain = graphOf(block().cut);
    expect(count(plain, "channelStats")).toBe(3);
    expect(plain.nodes.filter((n) => n.op?.name === "channelStats").map((n) => n.inputs[0].shape[1])).toEqual(
      [2, 4, 6],
    );
    const want = results(plain);
    const gradientAndLoss = (list: readonly NDArray[]) =>
      list.filter((a) => a.shape.length === 4 || a.shape.length === 0);
    same(gradientAndLoss(got), gradientAndLoss(want));
  });
});

describe("poolFirst", () => {
  function transition(
    bias: boolean,
    pool: nn.AvgPool2d | nn.AdaptiveAvgPool2d,
  ): { cut: Cut; held: unknown[]; out: Tensor } {
    const conv = new nn.Conv2d(3, 5, 1, { bias });
    const x = wave([2, 3, 6, 6]);
    x.requiresGrad = true;
    const out = new nn.Sequential(conv, pool).forward(x) as Tensor;
    const loss = out.square().mean();
    loss.backward();
    return { cut: takeCut(), held: [x, conv], out: loss };
  }

  it("pools before a 1×1 convolution, bias included; the same results", async () => {
    for (const bias of [false, true]) {
      for (const pool of [() => new nn.AvgPool2d(2), () => new nn.AdaptiveAvgPool2d(1)]) {
        await init({ device: "cpu", seed: 2 });
        const moved = transition(bias, pool());
        const conv = graphOf(moved.cut).nodes.find((n) => n.op?.name === "conv2d");
        expect(conv?.inputs[0].node.op?.name).toBe("avgPool2d");
        const got = results(graphOf(moved.cut));
        await init({ device: "cpu", seed: 2, rewrites: { poolFirst: false } });
        const plain = transition(bias, pool());
        expect(graphOf(plain.cut).nodes.find((n) => n.op?.name === "conv2d")?.inputs[0].node.op).toBeNull();
        same(got, results(graphOf(plain.cut)));
      }
    }
  });

  it("leaves alone what does not commute: padding that counts, another divisor, a wider kernel, an enlarging pool", async () => {
    const pools = [
      new nn.AvgPool2d(2, { padding: 1 }),
      new nn.AvgPool2d(2, { divisorOverride: 3 }),
      new nn.AdaptiveAvgPool2d(9),
    ];
    for (const pool of pools) {
      const { cut } = transition(true, pool);
      const at = graphOf(cut).nodes.find((n) => n.op?.name === "avgPool2d");
      expect(at?.inputs[0].node.op?.name).toBe("conv2d");
    }
    const out = noGrad(() =>
      new nn.Sequential(new nn.Conv2d(3, 4, 3), new nn.AvgPool2d(2)).forward(wave([1, 3, 6, 6])),
    );
    expect(out).toBeDefined();
    expect(graphOf(takeCut()).nodes.find((n) => n.op?.name === "avgPool2d")?.inputs[0].node.op?.name).toBe(
      "conv2d",
    );
  });
});

describe("normalizeBackward", () => {
  /** Two dense layers with their 1×1 convolutions, so that gradients meet; x wants a gradient or not. */
  function layers(train: boolean): { cut: Cut; held: unknown[] } {
    const unit = (c: number) =>
      new nn.Sequential(
        new nn.BatchNorm2d(c),
        new nn.ReLU(),
        new nn.Conv2d(c, 4, 1, { bias: false }),
        new nn.BatchNorm2d(4),
        new nn.ReLU(),
        new nn.Conv2d(4, 2, 3, { padding: 1, bias: false }),
      ).train(train);
    const [a, b] = [unit(3), unit(5)];
    let x = wave([3, 3, 4, 4]);
    x.requiresGrad = true;
    const first = x;
    for (const layer of [a, b]) x = concat([x, layer.forward(x) as Tensor], 1);
    const loss = x.square().mean();
    loss.backward();
    return { cut: takeCut(), held: [loss, first, first.grad, a, b] };
  }

  it("walks once over g and x, adds where a gradient is waiting, and closes inner norms in one pass after the sums", () => {
    const { cut } = layers(true);
    const plain = graphOf(cut);
    const fused = rewrite(plain, only("normalizeBackward"));
    expect([
      count(plain, "normalizeInput"),
      count(plain, "normalizeSums"),
      count(plain, "statsInput"),
    ]).toEqual([4, 4, 4]);
    expect(count(fused, "normalizeInput")).toBe(0);
    // The two outer norms: both walks add to the gradient of the concatenation behind them.
    const walks = fused.nodes.filter((n) => n.op?.name === "normalizePass");
    expect(walks.map((n) => n.attrs.before)).toEqual([true, true]);
    // The outer norms read the same maps: the second adds its statistics' gradients to the first's.
    const finished = fused.nodes.filter((n) => n.op?.name === "normalizeFinish");
    expect(finished.map((n) => n.attrs.before)).toEqual([false, true]);
    // The two inner ones.
    expect([count(fused, "normalizeCorrected"), count(fused, "normalizeSums")]).toEqual([2, 2]);
    // What comes back through shared statistics joins the maps' gradients in one pass each.
    expect(fused.nodes.filter((n) => n.op?.name === "statsInput").map((n) => n.attrs.before)).toEqual([
      true,
      true,
    ]);
    same(results(fused), results(plain));
  });

  it("serves running statistics, and a gradient that somebody else reads too", () => {
    const { cut } = layers(false);
    const plain = graphOf(cut);
    const fused = rewrite(plain, only("normalizeBackward"));
    expect(count(fused, "normalizePass")).toBe(4);
    same(results(fused), results(plain));
    const bn = new nn.BatchNorm2d(3);
    const x = wave([2, 3, 4, 4]);
    x.requiresGrad = true;
    const y = (bn.forward(x) as Tensor).relu();
    y.square().mean().backward();
    const held = [x.grad, x.grad?.mul(2)];
    const own = graphOf(takeCut());
    same(results(rewrite(own, only("normalizeBackward"))), results(own));
    expect(held.length).toBe(2);
  });
});

/** What is made inside and not returned is nobody's afterwards. */
class Inside extends nn.Module {
  forward(make: () => unknown): unknown {
    return make();
  }
}

/** The graph of what `make` returns, without and with the one rewrite; both compute the same. */
function rewritten(name: RewriteName, make: () => unknown): { plain: WorkGraph; g: WorkGraph } {
  const held = new Inside().forward(make);
  const plain = graphOf(takeCut());
  const g = rewrite(plain, only(name));
  same(results(g), results(plain));
  expect(held).toBeDefined();
  return { plain, g };
}

describe("storeEpilogue", () => {
  const stores = (g: WorkGraph) =>
    g.nodes.flatMap((n) => (n.op?.name === "conv2d" ? [(n.attrs.store as string[]).join(" ")] : []));
  const conv = (inC: number, outC: number, k = 1, groups = 1) =>
    new nn.Conv2d(inC, outC, k, { padding: k >> 1, groups });
  const x = () => wave([2, 4, 5, 5]);

  it("adds a residual and applies activations in the convolution's store", () => {
    const { g } = rewritten("storeEpilogue", () =>
      noGrad(() => {
        const a = conv(4, 4, 3).forward(x()).relu();
        const b = conv(4, 4, 3, 4).forward(a).hardswish();
        return [conv(4, 4).forward(b).add(a).relu().sum(), x().add(conv(4, 4).forward(x())).silu()];
      }),
    );
    expect(stores(g)).toEqual(["relu", "hardswish", "add relu", "add silu"]);
    expect(["add", "relu", "hardswish", "silu"].map((op) => count(g, op))).toEqual([0, 0, 0, 0]);
  });

  it("of two convolutions that are added, the later one adds", () => {
    const { g } = rewritten("storeEpilogue", () =>
      noGrad(() =>
        conv(4, 6)
          .forward(x())
          .add(conv(4, 6, 3).forward(x()))
          .relu(),
      ),
    );
    expect(stores(g)).toEqual(["", "add relu"]);
  });

  it("serves training where backward asks for the last value alone", () => {
    const train = (act: (t: Tensor) => Tensor) => () => {
      const layer = conv(4, 4);
      const loss = act(layer.forward(x()) as Tensor)
        .square()
        .mean();
      loss.backward();
      return [loss, layer.weight.grad];
    };
    expect(
      stores(
        rewritten(
          "storeEpilogue",
          train((t) => t.relu()),
        ).g,
      ),
    ).toEqual(["relu"]);
    expect(
      stores(
        rewritten(
          "storeEpilogue",
          train((t) => t.silu()),
        ).g,
      ),
    ).toEqual([""]);
  });

  it("leaves alone what somebody else reads, what repeats, a second addition, and long activations of k×k tiles", () => {
    const left = (make: (y: Tensor, more: Tensor) => unknown, k = 1) =>
      stores(
        rewritten("storeEpilogue", () => noGrad(() => make(conv(4, 4, k).forward(x()) as Tensor, x()))).g,
      );
    expect(left((y) => [y.relu(), y.sum()])).toEqual([""]);
    expect(left((y) => y.add(wave([4, 1, 1])))).toEqual([""]);
    expect(left((y) => y.add(y))).toEqual([""]);
    expect(left((y, more) => y.add(more).add(wave([2, 4, 5, 5], 1)))).toEqual(["add"]);
    expect(left((y) => y.leakyRelu(0.2))).toEqual([""]);
    expect(left((y) => y.silu(), 3)).toEqual([""]);
  });
});

describe("elementwiseChains", () => {
  const chainsOf = (g: WorkGraph) => g.nodes.filter((n) => n.op?.name === "chain");
  const steps = (n: { attrs: Record<string, unknown> }) => (n.attrs.steps as [string][]).map(([op]) => op);

  const chained = (make: () => unknown) => rewritten("elementwiseChains", make);

  it("makes one node of a tree, with operands that repeat, and one of a value that only the tree reads twice", () => {
    const { plain, g } = chained(() => {
      const t = wave([2, 3, 4, 4])
        .mul(wave([3, 1, 1], 1))
        .add(wave([2, 3, 4, 4], 2))
        .exp();
      return t.div(t.add(1)).sum([2, 3]);
    });
    expect(count(plain, "exp")).toBe(1);
    expect(g.nodes.flatMap((n) => n.op?.name ?? [])).toEqual(["chain", "sum"]);
    expect(steps(chainsOf(g)[0])).toEqual(["mul", "add", "exp", "addScalar", "div"]);
    expect(chainsOf(g)[0].inputs.length).toBe(3);
  });

  it("joins gradients to what they are multiplied with", () => {
    const { g } = chained(() => {
      const x = wave([4, 5]);
      x.requiresGrad = true;
      const loss = x
        .tanh()
        .mul(wave([4, 5], 3))
        .square()
        .mean();
      loss.backward();
      return [loss, x.grad];
    });
    expect(chainsOf(g).flatMap(steps)).toContain("tanhGrad");
  });

  it("leaves alone what somebody else reads or keeps, and what has another shape", () => {
    for (const other of [(t: Tensor) => t.sum(), (t: Tensor) => t.retain()]) {
      const { g } = chained(() => {
        const t = wave([3, 4]).exp();
        return [t.add(1), other(t)];
      });
      expect(chainsOf(g)).toEqual([]);
    }
    const { g } = chained(() =>
      wave([4])
        .exp()
        .add(wave([3, 4])),
    );
    expect(chainsOf(g)).toEqual([]);
  });

  it("ends a chain where the shader has no more bindings or scalars, and begins another", () => {
    const sum = chained(() => {
      let t = wave([8]);
      for (let i = 1; i < 9; i++) t = t.add(wave([8], i));
      return t;
    });
    expect(chainsOf(sum.g).map((n) => n.inputs.length)).toEqual([4, 6]);
    const scaled = chained(() => {
      let t = wave([8]);
      for (let i = 1; i < 11; i++) t = t.add(i / 8);
      return t;
    });
    expect(chainsOf(scaled.g).map((n) => steps(n).length)).toEqual([2, 8]);
  });

  it("reads state before an effect that changes it", () => {
    const changed = (early: boolean) => {
      const p = new nn.Buffer([2], Float32Array.of(1, 2));
      const assign = () => runtime().assign(p.variable.state as StateSlice, wave([2], 1).variable.value);
      const before = p.mul(wave([2]));
      if (early) assign();
      const after = before.exp();
      if (!early) assign();
      return after;
    };
    expect(chainsOf(chained(() => changed(true)).g).length).toBe(0);
    expect(chainsOf(chained(() => changed(false)).g).length).toBe(1);
  });

  it("does not pull work on frozen state into what runs every time", () => {
    const { g } = chained(() => {
      const p = new nn.Buffer([2], Float32Array.of(1, 2));
      const folded = p.exp().mul(2);
      return folded.mul(wave([2])).neg();
    });
    expect(chainsOf(g).map(steps)).toEqual([["mul", "neg"]]);
    expect([count(g, "exp"), count(g, "mulScalar")]).toEqual([1, 1]);
  });
});

describe("switches", () => {
  it("an unknown rewrite is refused by name", async () => {
    await expect(init({ device: "cpu", rewrites: { fuseEverything: true } as never })).rejects.toThrow(
      /no rewrite called fuseEverything/,
    );
  });

  it("false turns all of them off", () => {
    const { cut } = lossCut(false, false);
    const g = graphOf(cut);
    expect(rewrite(g, false)).toBe(g);
    expect(tensor([1]).shape).toEqual([1]);
  });
});
