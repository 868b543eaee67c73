// The parts of training that need no device: metrics against scikit-learn, heads, freezing policies, options, progress.

import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { duration, Output, table } from "../../src/cli/output.ts";
import { close, init, metrics, models, nn, train } from "../../src/index.ts";
import { Pace } from "../../src/train/pace.ts";
import { newRunOptions, resumedOptions } from "../../src/train/run_options.ts";

beforeAll(() => init({ device: "cpu" }));
afterAll(close);

interface Case {
  readonly classes: number;
  readonly labels: number[];
  readonly scores: number[];
  readonly predicted: number[];
  readonly accuracy: number;
  readonly top2: number;
  readonly confusion: number[][];
  readonly precision: number[];
  readonly recall: number[];
  readonly f1: number[];
  readonly support: number[];
  readonly probability: number[];
}

describe("metrics are scikit-learn's", async () => {
  const file = new URL("../fixtures/metrics.json", import.meta.url);
  const cases = JSON.parse(await readFile(file, "utf8")) as Case[];
  test.each(cases)("$classes classes", (c) => {
    const predicted = metrics.predictions(c.scores, c.classes);
    expect([...predicted]).toEqual(c.predicted);
    expect(metrics.accuracy(c.scores, c.labels)).toBeCloseTo(c.accuracy, 12);
    expect(metrics.topK(c.scores, c.labels, 2)).toBeCloseTo(c.top2, 12);
    const confusion = metrics.confusionMatrix(predicted, c.labels, c.classes);
    expect(confusion).toEqual(c.confusion);
    for (const [i, r] of metrics.perClass(confusion).entries()) {
      expect(r.precision ?? 0).toBeCloseTo(c.precision[i], 12);
      expect(r.recall).toBeCloseTo(c.recall[i], 12);
      expect(r.f1 ?? 0).toBeCloseTo(c.f1[i], 12);
      expect(r.support).toBe(c.support[i]);
    }
    const p = metrics.probabilities(c.scores.slice(0, c.classes), c.classes);
    for (const [i, v] of p.entries()) expect(v).toBeCloseTo(c.probability[i], 12);
  });

  test("ties go to the first class, and what is not defined is null", () => {
    expect([...metrics.predictions([1, 1, 0, 2, 2, 2], 3)]).toEqual([0, 0]);
    expect(metrics.topK([1, 1, 0], [1], 1)).toBe(0);
    expect(metrics.topK([1, 1, 0], [1], 2)).toBe(1);
    expect(
      metrics.perClass([
        [1, 0],
        [0, 0],
      ])[1],
    ).toEqual({ precision: null, recall: null, f1: null, support: 0 });
    expect(() => metrics.accuracy([1, 2, 3], [0, 1])).toThrow(/3 scores do not divide among 2 labels/);
  });
});

describe("heads", () => {
  test("linear replaces the last layer only; mlp the whole classifier", () => {
    const model = nn.init.skipInit(() => models.densenet121());
    train.replaceHead(model, "linear", 7);
    const shapes = () => [...model.head.namedParameters()].map(([n, p]) => [n, p.shape]);
    expect(shapes()).toEqual([
      ["weight", [7, 1024]],
      ["bias", [7]],
    ]);
    train.replaceHead(model, "mlp:64,dropout:0.5,16", 3);
    expect(shapes()).toEqual([
      ["0.weight", [64, 1024]],
      ["0.bias", [64]],
      ["3.weight", [16, 64]],
      ["3.bias", [16]],
      ["5.weight", [3, 16]],
      ["5.bias", [3]],
    ]);
  });
  test.each(["", "mlp", "mlp:", "mlp:0", "mlp:1.5", "mlp:dropout:1", "mlp:8,,4", "conv:3"])(
    "%j is refused",
    (spec) => {
      expect(() => train.parseHead(spec)).toThrow(/head/);
    },
  );
});

describe("freezing policies", () => {
  const trainable = (policy: train.FreezePolicy) => {
    const model = nn.init.skipInit(() => models.densenet121());
    const report = train.applyPolicy(model, policy);
    expect(report.trainable).toEqual(
      [...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([n]) => n),
    );
    return { model, names: report.trainable, count: report.trainableCount };
  };
  test("none, all, trunk, and blocks from the end", () => {
    expect(trainable({ freeze: ["none"] }).count).toBe(7_978_856);
    expect(trainable({ freeze: ["all"] }).names).toEqual(["classifier.weight", "classifier.bias"]);
    expect(trainable({ freeze: ["trunk"] }).names).toEqual(trainable({ freeze: ["features"] }).names);
    const open = trainable({ freeze: ["trunk"], unfrozenBlocks: 2 }).names;
    expect(new Set(open.map((n) => n.split(".").slice(0, 2).join(".")))).toEqual(
      new Set(["features.denseblock4", "features.norm5", "classifier.weight", "classifier.bias"]),
    );
  });
  test("patterns and ranges", () => {
    expect(trainable({ freeze: ["*norm*"] }).names.some((n) => n.includes("norm"))).toBe(false);
    expect(trainable({ freeze: ["features.conv0"] }).count).toBe(7_978_856 - 9_408);
    const range = trainable({ freeze: ["features[:-2]"] }).names;
    expect(range).toEqual(trainable({ freeze: ["trunk"], unfrozenBlocks: 2 }).names);
  });
  test("frozen batch norms normalise by running statistics unless told otherwise, through train()", () => {
    const running = trainable({ freeze: ["trunk"] }).model.train();
    const batch = trainable({ freeze: ["trunk"], frozenBatchNorm: "batch" }).model.train();
    const modes = (m: nn.Module) =>
      m
        .modules()
        .filter((x) => x instanceof nn.BatchNorm2d)
        .map((x) => x.training);
    expect(new Set(modes(running))).toEqual(new Set([false]));
    expect(new Set(modes(batch))).toEqual(new Set([true]));
  });
  test.each<[train.FreezePolicy, RegExp]>([
    [{ freeze: ["*"] }, /leaves nothing of densenet121 to train/],
    [{ freeze: ["none", "features"] }, /cannot be combined/],
    [{ freeze: ["features.denseblok1"] }, /did you mean features\.denseblock1\?/],
    [{ freeze: ["none"], unfrozenBlocks: 1 }, /unfrozen-blocks opens blocks of a frozen trunk/],
    [{ freeze: ["trunk"], unfrozenBlocks: 13 }, /has 12 blocks/],
    [{ freeze: [] }, /freeze needs/],
  ])("%j is refused", (policy, says) => {
    expect(() => trainable(policy)).toThrow(says);
  });
});

describe("a run's options", () => {
  test("defaults follow the weights and the optimizer", () => {
    expect(newRunOptions({}, false)).toMatchObject({
      weights: "none",
      freeze: ["none"],
      optimizer: "adam",
      lr: 1e-3,
    });
    expect(newRunOptions({}, true)).toMatchObject({ weights: "imagenet", freeze: ["trunk"] });
    expect(newRunOptions({ unfrozenBlocks: 1 }, false).freeze).toEqual(["trunk"]);
    expect(newRunOptions({ optimizer: "sgd" }, false)).toMatchObject({ lr: 1e-2, momentum: 0.9 });
  });
  test("a resumed run keeps its own", () => {
    const stored = newRunOptions({ lr: 0.5, freeze: ["features.conv0"] }, false);
    expect(resumedOptions({ lr: 0.5 }, stored)).toEqual(stored);
    // The shares were the default, which may be named.
    expect(resumedOptions({ val: 0.2, test: 0.1 }, stored)).toEqual({ ...stored, val: 0.2, test: 0.1 });
    expect(() => resumedOptions({ val: 0.3 }, stored)).toThrow(/val 0.3: the run was begun with the default/);
    expect(() => resumedOptions({ frozenBatchNorm: "batch" }, stored)).toThrow(
      /frozen-bn batch: the run was begun with running/,
    );
    expect(() => resumedOptions({ freeze: ["none"] }, stored)).toThrow(/begun with features\.conv0/);
  });
});

describe("what is shown", () => {
  test("pace and time left", () => {
    let now = 0;
    const pace = new Pace(100, 30, () => now);
    pace.begin(0);
    now = 1000;
    pace.trained(10);
    // 10 images a second: 90 left here, one more epoch of 100, two validations at a third of a step's cost each.
    expect(pace.estimate(10, 1)).toEqual({ imagesPerSecond: 10, secondsLeft: 19 + 2 });
    pace.validated(5);
    expect(pace.estimate(100, 0).secondsLeft).toBe(5);
  });
  test("a bar on a terminal, plain lines elsewhere", () => {
    const err: string[] = [];
    const out: string[] = [];
    let now = 0;
    const stream = (list: string[], isTTY: boolean) => ({
      isTTY,
      columns: 80,
      write: (t: string) => list.push(t),
    });
    const terminal = new Output(false, stream(out, true), stream(err, true), () => now);
    terminal.progress("epoch 1/2", 5, 10, "loss 0.5");
    expect(err.join("")).toBe(`\r\x1b[Kepoch 1/2 ${"█".repeat(12)}${"░".repeat(12)} 5/10  loss 0.5`);
    terminal.result({ a: 1 }, "done");
    expect(err.at(-1)).toBe("\r\x1b[K");
    expect(out).toEqual(["done\n"]);
    const lines: string[] = [];
    const plain = new Output(true, stream(out, false), stream(lines, false), () => now);
    for (now = 0; now < 30_000; now += 500) plain.progress("x", now / 500, 60);
    expect(lines.length).toBe(3);
    // The end is always told, and once.
    now += 10;
    for (let i = 0; i < 3; i++) plain.progress("x", 60, 60);
    plain.progress("y", 1, 5);
    plain.progress("y", 5, 5);
    plain.progress("z", 3, 3);
    expect(lines.slice(3)).toEqual(["x 60/60\n", "y 5/5\n", "z 3/3\n"]);
    plain.result({ a: 1 }, "text");
    expect(out.at(-1)).toBe('{"a":1}\n');
  });
  test("tables and durations", () => {
    expect(
      table(
        ["a", "n"],
        [
          ["x", 1],
          ["yy", 22],
        ],
      ),
    ).toBe("a    n\n──  ──\nx    1\nyy  22");
    expect([5, 65, 3700].map(duration)).toEqual(["5s", "1m05s", "1h01m"]);
  });
});
