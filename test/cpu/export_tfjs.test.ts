// Whole networks as TensorFlow.js layers models, loaded by tf.loadLayersModel over HTTP as a page does, on its CPU
// backend: it gives what Thaw's float64 interpreter gives. Networks: every layer and operation that layers can say.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import {
  close,
  exportTfjs,
  init,
  models,
  nn,
  type Tensor,
  tensor,
  tfjsFiles,
  weights,
} from "../../src/index.ts";
import { writeTensor } from "../../src/tensor/parameter.ts";
import { runTfjs } from "../lib/engines.ts";
import {
  type Case,
  draw,
  inputOf,
  LAYER_CASES,
  Made,
  type Net,
  OTHER_CASES,
  UNARY_CASES,
} from "../lib/export_cases.ts";
import { expectClose, ours } from "../lib/export_compare.ts";

/** What layers cannot say. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  "sign, floor, ceil": /sign has no counterpart/,
  "exp, sin, cos": /(exp|sin|cos) has no counterpart/,
  "log, sqrt, rsqrt, reciprocal": /(log|sqrt|rsqrt) has no counterpart/,
  powers: /powScalar has no counterpart/,
  "div, maximum, minimum": /div of two values that hang on the input/,
  "comparisons and where": /\w+ has no counterpart|stands where a layer needs an input/,
  "sum, largest, smallest": /sum sums over other axes/,
  argmax: /argmax has no counterpart/,
  "pad with a number": /is no padding of pictures with zeros/,
  "max pool, dilated": /is dilated/,
  "average pool, padding does not count, ceil mode": /fewer elements at the border/,
  "average pool, padding counts, ceil mode": /fewer elements at the border/,
  "batches of products": /expand has no counterpart/,
  "linear over the last axis": /first axis is not the batch alone/,
  "weights that are computed": /first axis is not the batch alone/,
  "expand of the last axis": /sum sums over other axes/,
};

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(() => close());

async function compare(one: Case, net: Net, batch: number): Promise<void> {
  const shape = [batch, ...one.inputShape];
  const x = inputOf(one, batch);
  const theirs = await runTfjs(await tfjsFiles(net, { inputShape: one.inputShape }), x, shape);
  const mine = await ours(net, x, shape);
  expect(theirs.shape).toEqual(mine.shape);
  expectClose(theirs.data, mine.data);
}

const cases = [...LAYER_CASES, ...UNARY_CASES, ...OTHER_CASES];

describe("TensorFlow.js layers", () => {
  it.each(cases.filter((c) => !(c.name in REFUSED)).map((c) => [c.name, c] as const))(
    "%s",
    async (_n, one) => {
      const net = draw(one.net(), 5);
      await compare(one, net, 1);
      await compare(one, net, 5);
    },
  );

  it.each(cases.filter((c) => c.name in REFUSED).map((c) => [c.name, c] as const))(
    "refuses %s",
    async (name, one) => {
      await expect(tfjsFiles(one.net(), { inputShape: one.inputShape })).rejects.toThrow(REFUSED[name]);
    },
  );

  it("densenet121 at an odd size, its weights in shards of 4 MiB, from the disk; what replaces it leaves none of them", async () => {
    const net = draw(models.densenet121({ numClasses: 10 }), 1);
    // Weights that are drawn without regard to the fan would overflow in 121 layers.
    for (const m of net.modules()) if (m instanceof nn.Conv2d) nn.init.kaimingNormal(m.weight);
    const folder = mkdtempSync(join(tmpdir(), "thaw-tfjs-"));
    try {
      await exportTfjs(join(folder, "a/b"), net, { inputShape: [3, 45, 33] });
      const names = readdirSync(join(folder, "a/b"));
      const made = new Map(
        names.map((name) => [name, new Uint8Array(readFileSync(join(folder, "a/b", name)))]),
      );
      const sizes = names.filter((n) => n.endsWith(".bin")).map((n) => made.get(n)?.length ?? 0);
      expect(sizes.length).toBe(7);
      expect(Math.max(...sizes)).toBe(4 * 2 ** 20);
      writeFileSync(join(folder, "a/b/group1-shard1.bin"), "someone else's");
      await exportTfjs(join(folder, "a/b"), models.densenet_mini());
      expect(readdirSync(join(folder, "a/b")).sort()).toEqual([
        "group1-shard1.bin",
        "group1-shard1of1.bin",
        "model.json",
      ]);
      const x = inputOf({ inputShape: [3, 45, 33] }, 2);
      const theirs = await runTfjs(made, x, [2, 3, 45, 33]);
      expectClose(theirs.data, (await ours(net, x, [2, 3, 45, 33])).data);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("says classes and preprocessing, and ends with probabilities where asked", async () => {
    const net = models.densenet_mini({ numClasses: 3 });
    const classes = ["ä", "b", "c"];
    const x = inputOf({ inputShape: [3, 64, 64] }, 2);
    const { data, metadata } = await runTfjs(
      await tfjsFiles(net, { classes, softmax: true }),
      x,
      [2, 3, 64, 64],
    );
    expect(metadata).toEqual({
      architecture: "densenet_mini",
      classes,
      preprocessing: net.preprocessing,
      output: "probabilities",
    });
    const { data: logits } = await ours(net, x, [2, 3, 64, 64]);
    const row = logits.slice(3).map((v) => Math.exp(v));
    const total = row.reduce((s, v) => s + v, 0);
    expectClose(
      data.slice(3),
      row.map((v) => v / total),
    );
  });

  it("f16: the same as the network with its weights rounded to f16", async () => {
    const one = LAYER_CASES.find((c) => c.name === "inverted residual") as Case;
    const net = draw(one.net(), 5);
    const shape = [2, ...one.inputShape];
    const x = inputOf(one, 2);
    const before = await ours(net, x, shape);
    const half = await tfjsFiles(net, { inputShape: one.inputShape, dtype: "f16" });
    const state = [...net.parameters(), ...[...net.namedBuffers()].map(([, b]) => b)];
    expect(half.get("group1-shard1of1.bin")?.length).toBe(2 * state.reduce((n, t) => n + t.numel, 0));
    for (const t of state)
      writeTensor(
        t,
        Float32Array.from(await t.data(), (v) => halfToFloat(floatToHalf(v))),
      );
    const theirs = await runTfjs(half, x, shape);
    expectClose(theirs.data, (await ours(net, x, shape)).data);
    expect(() => expectClose(theirs.data, before.data)).toThrow();
  });
});

describe("a Keras network as TensorFlow.js layers", () => {
  it("has Keras' names, and loads back into Thaw, value for value", async () => {
    const make = () => models.create("keras.mobilenetV2_0.35", { numClasses: 4 });
    const net = draw(make(), 2);
    const folder = mkdtempSync(join(tmpdir(), "thaw-tfjs-"));
    try {
      await exportTfjs(folder, net, { inputShape: [3, 64, 64] });
      const read = await weights.read(folder);
      expect([...read.keys()]).toContain("block_1_depthwise/depthwise_kernel");
      const again = make();
      again.loadStateDict(read);
      for (const [name, t] of net.stateDict())
        expect(await again.stateDict().get(name)?.data(), name).toEqual(await t.data());
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("TensorFlow.js layers refuse", () => {
  const says = (f: (x: Tensor) => Tensor, words: RegExp) =>
    expect(tfjsFiles(new Made(f), { inputShape: [2, 4, 4] })).rejects.toThrow(words);

  it("what they have no words for", async () => {
    await says((x) => x.softmax(2), /runs along axis 2, but layers have only the last one/);
    await says((x) => x.mul(tensor(new Float32Array(16), [4, 4])), /with a constant \[4,4\] has no layer/);
    await says((x) => x.add(x.slice(0, 0, 1)), /slice cuts the batch/);
  });
});
