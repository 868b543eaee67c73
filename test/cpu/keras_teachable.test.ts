// Teachable Machine's networks made by the test with TensorFlow.js, as its image library makes them: their own answers,
// their labels and heads, and every way in which a topology is not one of theirs.
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, tensor } from "../../src/index.ts";
import { uniforms } from "../lib/counter.ts";
import { channelsFirst } from "../lib/keras_tfjs_run.ts";
import { dense, type Json, type Made, make, SIDE, usual } from "../lib/teachable_made.ts";

const LABELS = ["a cat", "no cat", "a dog"];

let made: Made;
beforeAll(async () => {
  await tf.setBackend("cpu");
  await init({ device: "cpu" });
  made = make(usual());
});
afterAll(close);

const machine = (m: Pick<Made, "topology" | "weights">, labels: readonly string[] = LABELS) =>
  models.keras.teachableMachine({ topology: m.topology, weights: m.weights, labels, source: "tm.zip" });

/** Both sides' answers for two pictures are the same. */
async function sameAnswers(m: Made, labels: readonly string[]): Promise<void> {
  const { model } = machine(m, labels);
  const values = Float32Array.from(uniforms(3, 3, 2 * SIDE * SIDE * 3), (u) => 2 * u - 1);
  const want = (m.network.predict(tf.tensor4d(values, [2, SIDE, SIDE, 3])) as tf.Tensor).dataSync();
  const x = tensor(channelsFirst(values, [2, SIDE, SIDE, 3]), [2, 3, SIDE, SIDE]);
  const got = await model.forward(x).softmax(1).data();
  expect(got.length).toBe(want.length);
  got.forEach((v, i) => {
    expect(v).toBeCloseTo(want[i], 5);
  });
}

describe("a Teachable Machine network", () => {
  it("gives its own answers", async () => {
    await sameAnswers(made, LABELS);
    const { head, classes, preprocessing, model } = machine(made);
    expect({ head, classes, side: preprocessing.crop }).toEqual({
      head: "mlp:6",
      classes: LABELS,
      side: SIDE,
    });
    expect(model.training).toBe(false);
    expect(model.parameters().every((p) => p.requiresGrad)).toBe(true);
  });

  it("may have one dense layer, dropout, or several", async () => {
    const one = make([dense("d", 2, { inputShape: [1280], activation: "softmax" })]);
    expect(machine(one, ["a", "b"]).head).toBe("linear");
    await sameAnswers(one, ["a", "b"]);
    const several = make([
      dense("d1", 5, { inputShape: [1280] }),
      tf.layers.dropout({ rate: 0.25 }),
      dense("d2", 4),
      dense("d3", 2, { activation: "softmax" }),
    ]);
    expect(machine(several, ["a", "b"]).head).toBe("mlp:5,dropout:0.25,4");
    await sameAnswers(several, ["a", "b"]);
  });
});

describe("refuses", () => {
  /** The topology with a layer changed. */
  const changed = (name: string, change: (layer: Json) => void) => {
    const topology = structuredClone(made.topology);
    const visit = (l: Json): void => {
      if (l.config.name === name) change(l);
      for (const inner of l.config.layers ?? []) visit(inner);
    };
    visit(topology);
    return () => machine({ ...made, topology });
  };

  it.each<[string, string, (layer: Json) => void, string]>([
    [
      "another stride",
      "block_1_depthwise",
      (l) => Object.assign(l.config, { strides: [1, 1] }),
      "strides of its layer block_1_depthwise is [1,1], expected 2",
    ],
    [
      "another eps",
      "block_7_project_BN",
      (l) => Object.assign(l.config, { epsilon: 1e-5 }),
      "epsilon of its layer block_7_project_BN is 0.00001, expected 0.001",
    ],
    [
      "a bias",
      "Conv_1",
      (l) => Object.assign(l.config, { use_bias: true }),
      "use_bias of its layer Conv_1 is true, expected false",
    ],
    [
      "other channels",
      "block_16_project",
      (l) => Object.assign(l.config, { filters: 113 }),
      "which no MobileNetV2 of alpha",
    ],
    [
      "another class",
      "block_2_depthwise",
      (l) => Object.assign(l, { class_name: "SeparableConv2D" }),
      'the class of its layer block_2_depthwise is "SeparableConv2D"',
    ],
    [
      "a missing layer",
      "bn_Conv1",
      (l) => Object.assign(l.config, { name: "bn" }),
      "it has no layer bn_Conv1",
    ],
    [
      "another network",
      "out_relu",
      (l) => Object.assign(l.config, { name: "relu" }),
      "tm.zip is no MobileNetV2: it has no layer out_relu",
    ],
    [
      "another head",
      "dense_Dense1",
      (l) => Object.assign(l.config, { activation: "tanh" }),
      "its head has a Dense dense_Dense1 (tanh)",
    ],
  ])("%s", (_what, layer, change, sentence) => {
    expect(changed(layer, change)).toThrow(sentence);
  });

  it("labels of another number, weights that do not fit, and what is no topology", () => {
    expect(() => machine(made, ["a"])).toThrow("tm.zip has 1 labels, but its network has 3 outputs");
    const weights = new Map(made.weights);
    weights.delete("block_3_expand/kernel");
    expect(() => machine({ ...made, weights })).toThrow(
      "tm.zip does not fit the model: missing features.block_3.block_3_expand.weight",
    );
    for (const topology of [null, [], {}, { class_name: "Sequential", config: { layers: [3] } }, "x"])
      expect(() => machine({ ...made, topology: topology as unknown as Json })).toThrow(
        /^tm\.zip (has no|is damaged)/,
      );
    let deep: unknown = made.topology;
    for (let i = 0; i < 20; i++) deep = { class_name: "Sequential", config: { layers: [deep] } };
    expect(() => machine({ ...made, topology: deep as Json })).toThrow("tm.zip is damaged");
  });
});
