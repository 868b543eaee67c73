// Whole networks as TensorFlow.js layers models, loaded by tf.loadLayersModel over HTTP as a page does, on its CPU
// backend: it gives what Thaw's float64 interpreter gives. Networks: every layer and operation that layers can say.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import { close, exportTfjs, init, models, nn, type Tensor, tensor, tfjsFiles } from "../../src/index.ts";
import { writeTensor } from "../../src/tensor/parameter.ts";
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

let server: Server;
let files = new Map<string, Uint8Array>();
let url = "";
beforeAll(async () => {
  await init({ device: "cpu", seed: 3 });
  await tf.setBackend("cpu");
  server = createServer((request, response) => {
    const found = files.get((request.url ?? "").slice(1));
    response.writeHead(found ? 200 : 404, { "content-type": "application/octet-stream" });
    response.end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.json`;
});
afterAll(async () => {
  server.close();
  await close();
});

/** [n, c, h, w] → [n, h, w, c]; anything else as it is. */
function channelsLast(x: Float32Array, shape: readonly number[]): tf.Tensor {
  if (shape.length !== 4) return tf.tensor(x, [...shape]);
  return tf.tidy(() => tf.tensor4d(x, shape as [number, number, number, number]).transpose([0, 2, 3, 1]));
}

async function runTfjs(made: Map<string, Uint8Array>, x: Float32Array, shape: readonly number[]) {
  files = made;
  const model = await tf.loadLayersModel(url);
  const input = channelsLast(x, shape);
  const y = model.predict(input) as tf.Tensor;
  const out = { shape: y.shape, data: Array.from(await y.data()), metadata: model.getUserDefinedMetadata() };
  model.dispose();
  tf.dispose([input, y]);
  return out;
}

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

  it("densenet121 at an odd size, its weights in shards of 4 MiB, from the disk", async () => {
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
    const weights = [...net.parameters(), ...[...net.namedBuffers()].map(([, b]) => b)];
    expect(half.get("group1-shard1of1.bin")?.length).toBe(2 * weights.reduce((n, t) => n + t.numel, 0));
    for (const t of weights)
      writeTensor(
        t,
        Float32Array.from(await t.data(), (v) => halfToFloat(floatToHalf(v))),
      );
    const theirs = await runTfjs(half, x, shape);
    expectClose(theirs.data, (await ours(net, x, shape)).data);
    expect(() => expectClose(theirs.data, before.data)).toThrow();
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
