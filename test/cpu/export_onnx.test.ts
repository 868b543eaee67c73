// Whole networks as ONNX: onnxruntime gives what Thaw's float64 interpreter gives, for batches that were not recorded,
// and the file is what ONNX' checker asks for (test/lib/onnx_check.ts). Networks: every layer and operation by itself.
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import { close, init, models, nn, onnxBytes, type Tensor, tensor } from "../../src/index.ts";
import { writeTensor } from "../../src/tensor/parameter.ts";
import { runOnnx } from "../lib/engines.ts";
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
import { checkOnnx } from "../lib/onnx_check.ts";

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(() => close());

async function compare(one: Case, net: Net, batch: number): Promise<void> {
  const bytes = await onnxBytes(net, { inputShape: one.inputShape });
  checkOnnx(bytes);
  const x = inputOf(one, batch);
  const shape = [batch, ...one.inputShape];
  const [theirs, mine] = [await runOnnx(bytes, x, shape), await ours(net, x, shape)];
  expect(theirs.shape).toEqual(mine.shape);
  expectClose(theirs.data, mine.data);
}

describe("ONNX in onnxruntime", () => {
  it.each([...LAYER_CASES, ...UNARY_CASES, ...OTHER_CASES].map((c) => [c.name, c] as const))(
    "%s",
    async (_name, one) => {
      const net = draw(one.net(), 5);
      await compare(one, net, 1);
      await compare(one, net, 5);
    },
  );

  it("densenet121 at an odd size, with its softmax; and densenet_mini", async () => {
    const big = draw(models.densenet121({ numClasses: 10 }), 1);
    // Weights that are drawn without regard to the fan would overflow in 121 layers.
    for (const m of big.modules()) if (m instanceof nn.Conv2d) nn.init.kaimingNormal(m.weight);
    for (const net of [big, models.densenet_mini({ numClasses: 4 })]) {
      const shape = [2, 3, 45, 33];
      const x = inputOf({ inputShape: shape.slice(1) }, 2);
      const logits = await ours(net, x, shape);
      const bytes = await onnxBytes(net, { inputShape: shape.slice(1) });
      checkOnnx(bytes);
      expectClose((await runOnnx(bytes, x, shape)).data as Float32Array, logits.data);
      const p = await runOnnx(await onnxBytes(net, { inputShape: shape.slice(1), softmax: true }), x, shape);
      const sums = Array.from({ length: 2 }, (_, i) =>
        (p.data as Float32Array)
          .subarray((i * p.data.length) / 2, ((i + 1) * p.data.length) / 2)
          .reduce((s, v) => s + v, 0),
      );
      for (const sum of sums) expect(sum).toBeCloseTo(1, 5);
    }
  });

  it("f16: the same as the network with its weights rounded to f16", async () => {
    const one = LAYER_CASES.find((c) => c.name === "inverted residual") as Case;
    const net = draw(one.net(), 5);
    const half = await onnxBytes(net, { inputShape: one.inputShape, dtype: "f16" });
    const types = [...checkOnnx(half).tensors]
      .filter(([name]) => name.startsWith("conv."))
      .map(([, t]) => t.type);
    expect(new Set(types)).toEqual(new Set([10]));
    const x = inputOf(one, 2);
    const shape = [2, ...one.inputShape];
    const before = await ours(net, x, shape);
    for (const t of net.stateDict().values()) {
      if (t.dtype !== "f32") continue;
      writeTensor(
        t,
        Float32Array.from(await t.data(), (v) => halfToFloat(floatToHalf(v))),
      );
    }
    const rounded = await ours(net, x, shape);
    const theirs = (await runOnnx(half, x, shape)).data as Float32Array;
    expectClose(theirs, rounded.data);
    expect(() => expectClose(theirs, before.data)).toThrow();
  });
});

describe("ONNX files", () => {
  it("say the opset, names, classes and preprocessing", async () => {
    const net = models.densenet_mini({ numClasses: 3 });
    const classes = ["ä", "b", "c"];
    const file = checkOnnx(await onnxBytes(net, { classes, softmax: true }));
    expect(file.opset).toBeGreaterThanOrEqual(17);
    expect([file.inputs, file.outputs]).toEqual([["input"], ["probabilities"]]);
    expect(JSON.parse(file.metadata.get("classes") ?? "")).toEqual(classes);
    expect(JSON.parse(file.metadata.get("preprocessing") ?? "")).toEqual(net.preprocessing);
    expect(file.metadata.get("architecture")).toBe("densenet_mini");
    const bytes = await onnxBytes(net);
    const session = await ort.InferenceSession.create(bytes);
    expect(session.inputNames).toEqual(["input"]);
    expect(session.outputNames).toEqual(["logits"]);
  });

  it("hold the state dict under its own names, values untouched", async () => {
    const net = models.densenet_mini({ numClasses: 3 });
    const { tensors } = checkOnnx(await onnxBytes(net));
    const own = [...net.stateDict().keys()].filter((name) => !name.endsWith("num_batches_tracked"));
    expect([...tensors.keys()].sort()).toEqual(own.sort());
    for (const [name, t] of net.stateDict()) {
      if (name.endsWith("num_batches_tracked")) continue;
      const found = tensors.get(name);
      expect(found?.shape, name).toEqual([...t.shape]);
      const raw = found?.raw.slice() as Uint8Array;
      expect(new Float32Array(raw.buffer), name).toEqual(await t.data());
    }
  });

  it("are the same for the same weights, and leave modes as they were", async () => {
    const net = models.densenet_mini();
    net.train();
    net.features[1].eval();
    expect(Buffer.compare(await onnxBytes(net), await onnxBytes(net))).toBe(0);
    expect([net.training, net.features[0].training, net.features[1].training]).toEqual([true, true, false]);
  });
});

describe("ONNX refuses", () => {
  const says = (net: Net, words: RegExp, inputShape = [2, 4, 4], more = {}) =>
    expect(onnxBytes(net, { inputShape, ...more })).rejects.toThrow(words);
  const fn = (f: (x: Tensor) => Tensor) => new Made(f);

  it("what has no counterpart, naming it and where", async () => {
    const norm = new nn.BatchNorm2d(2, { trackRunningStats: false });
    await says(
      new nn.Sequential({ stem: new nn.ReLU(), norm }),
      /channelStats \(in norm\) has no counterpart/,
    );
  });

  it("networks whose graph hangs on the batch's size", async () => {
    await says(
      fn((x) => x.mul(x.shape[0])),
      /mulScalar is made with numbers that hang on the batch's size/,
    );
    await says(
      fn((x) => (x.shape[0] > 2 ? x.neg() : x.abs())),
      /hang on the batch's size/,
    );
    await says(
      fn((x) => x.sum(0)),
      /the network's output is f32\[2,4,4\], not one row for each input/,
    );
    await says(
      fn((x) => x.add(tensor(new Float32Array(x.shape[0] * 32), x.shape))),
      /constant .* has the batch's size/,
    );
  });

  it("options that are wrong or not known, and classes that do not fit", async () => {
    const net = new nn.Sequential(new nn.Flatten(), new nn.Linear(32, 3));
    await expect(onnxBytes(net)).rejects.toThrow(/ONNX: give inputShape/);
    await says(net, /2 classes for a network with 3 outputs/, [2, 4, 4], { classes: ["a", "b"] });
    await says(net, /no option softmaxx; did you mean softmax/, [2, 4, 4], { softmaxx: true });
    await says(net, /dtype must be "f32" or "f16"/, [2, 4, 4], { dtype: "f64" });
    await says(net, /extent of inputShape must be a whole number of at least 1, got 0/, [0, 4, 4]);
  });

  it("weights beyond f16, by name", async () => {
    const net = new nn.Linear(4, 2);
    writeTensor(net.weight, new Float32Array(8).fill(1e6));
    await says(net, /"weight" holds 1000000, which is too large for f16/, [4], { dtype: "f16" });
  });
});
