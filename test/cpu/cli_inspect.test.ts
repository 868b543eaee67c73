// thaw weights inspect and thaw convert on files of other frameworks, as a user runs them; and what they stand on: the
// statistics of an array and the guess of an architecture.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { numel } from "../../src/core/shape.ts";
import { guessArchitecture } from "../../src/models/guess.ts";
import { create } from "../../src/models/index.ts";
import { exportState, init } from "../../src/nn/index.ts";
import * as weights from "../../src/weights/index.ts";
import { scratch, thaw } from "../lib/cli.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
beforeAll(async () => {
  folder = await scratch();
});
afterAll(() => folder.remove());
const at = (name: string) => join(folder.path, name);
const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url));

describe("statistics", () => {
  const of = (data: weights.WeightData, dtype: weights.WeightDType) =>
    weights.statistics({ shape: [data.length], dtype, data });

  test("count zeros and what is not finite, and keep the digits of a large mean", () => {
    expect(of(Float32Array.of(1, 0, -3, Number.NaN, Number.POSITIVE_INFINITY), "f32")).toEqual({
      ...{ min: -3, max: 1, mean: -2 / 3, zeros: 1, nonFinite: 2 },
      std: Math.sqrt((25 / 9 + 4 / 9 + 49 / 9) / 3),
    });
    expect(of(Float64Array.of(1e9, 1e9 + 2), "f64")).toMatchObject({ mean: 1e9 + 1, std: 1 });
    expect(of(Uint16Array.of(0x3e00, 0xbe00), "f16")).toMatchObject({ min: -1.5, max: 1.5, mean: 0 });
    expect(of(BigInt64Array.of(-2n, 4n), "i64")).toMatchObject({ min: -2, max: 4, mean: 1, std: 3 });
    const none = { min: null, max: null, mean: null, std: null, zeros: 0, nonFinite: 0 };
    expect(of(new Float32Array(0), "f32")).toEqual(none);
    expect(of(Float32Array.of(Number.NaN), "f32")).toEqual({ ...none, nonFinite: 1 });
  });
});

describe("the guess of an architecture", () => {
  const stateOf = (name: string) => {
    const net = init.skipInit(() => create(name));
    return new Map(
      [...net.namedState()].map(([key, t]) => {
        const shape = "shape" in t ? [...t.shape] : [];
        return [key, { shape, dtype: "f32", data: { length: numel(shape) } }] as const;
      }),
    );
  };

  test.each([
    "densenet121",
    "densenet169",
    "resnet18",
    "resnet34",
    "resnet50",
    "squeezenet1_0",
    "mobilenet_v2",
  ])("tells %s from its relatives", (name) => {
    const guess = guessArchitecture(stateOf(name));
    expect(guess).toMatchObject({ model: name, unexpected: 0 });
    expect(guess?.matched).toBe(guess?.of);
  });

  test("tells VGG with batch norm, and EfficientNets of the same width", () => {
    for (const name of ["vgg13", "vgg13_bn", "efficientnet_b0", "efficientnet_b1"])
      expect(guessArchitecture(stateOf(name))?.model).toBe(name);
  });

  test("sees through containers, a head of other classes and missing parts; says nothing of strangers", () => {
    const wrapped = new Map([...stateOf("resnet18")].map(([k, v]) => [`state_dict/module.${k}`, v]));
    wrapped.set("state_dict/module.fc.weight", { shape: [3, 512], dtype: "f32", data: { length: 3 * 512 } });
    const guess = guessArchitecture(wrapped);
    expect(guess?.model).toBe("resnet18");
    expect((guess?.of ?? 0) - (guess?.matched ?? 0)).toBe(1);
    expect(
      guessArchitecture(new Map([["layer1.0.conv1.weight", wrapped.values().next().value!]])),
    ).toBeNull();
    expect(guessArchitecture(new Map())).toBeNull();
  });
});

describe("thaw weights inspect", () => {
  test("prints arrays, what the file says and what it leaves out", async () => {
    const r = await thaw(["weights", "inspect", fixture("teachable.zip")]);
    expect(r.code).toBe(0);
    expect(r.out).toMatch(/^name +dtype +shape +min +max +mean +std/);
    expect(r.out).toMatch(/\nsteps +i32 +\[3\] +-10 +500 +162 /);
    expect(r.out).toMatch(/\(teachable-machine\): 8 tensors, 24 numbers \(f32, f16, i32, bool\)/);
    expect(r.out).toMatch(/\narchitecture: none that Thaw knows/);
    expect(r.out).toMatch(/\nlayers: Keras Sequential, tfjs-layers 4\.22\.0/);
    expect(r.out).toMatch(/\nlabels \(3\): cat, dog , ä/);
    expect(r.out).toMatch(/\npictures: 96×96, mean 0\.5 0\.5 0\.5/);
    expect(r.out).toMatch(/\nnot read: words is string/);
  });

  test("with --json gives a line for each array and one for the whole", async () => {
    const r = await thaw(["weights", "inspect", fixture("keras2.model.h5"), "--json"]);
    const lines = r.lines();
    expect(lines).toHaveLength(12);
    const [first] = lines;
    expect(first).toMatchObject({
      event: "tensor",
      name: "model_weights/zebra/zebra/kernel:0",
      dtype: "f32",
    });
    expect(first).toMatchObject({ shape: [2, 2, 3, 4], elements: 48, zeros: 0, nonFinite: 0 });
    expect(lines.at(-1)).toMatchObject({
      ...{ event: "done", format: "keras-h5", tensors: 11, topology: "Sequential", kerasVersion: "2.15.0" },
      ...{ guess: null, labels: null, skipped: [], dtypes: ["f32", "i64"] },
    });
  });

  test("names the architecture", async () => {
    const net = create("densenet_mini");
    await weights.write(at("mini.safetensors"), await exportState(net));
    const r = await thaw(["weights", "inspect", at("mini.safetensors")]);
    expect(r.out).toMatch(/\narchitecture: densenet_mini \(all \d+ tensors by name and shape\)/);
  });

  test("is a usage error without a file, and an error for one that is none", async () => {
    const without = await thaw(["weights", "inspect"]);
    expect([without.code, without.err]).toEqual([2, expect.stringMatching(/thaw weights inspect FILE/)]);
    const none = await thaw(["weights", "inspect", at("nothing.h5")]);
    expect([none.code, none.err]).toEqual([1, expect.stringMatching(/nothing\.h5: no such file/)]);
  });
});

describe("thaw convert", () => {
  test.each(["keras2.model.h5", "keras3.keras", "initializers.onnx", "teachable.zip"])(
    "takes %s",
    async (name) => {
      const r = await thaw([
        "convert",
        fixture(name),
        at(`${name}.safetensors`),
        "--skip-unsupported",
        "--json",
      ]);
      expect(r.code, r.err).toBe(0);
      const before = await weights.read(fixture(name), { skipUnsupported: true });
      const after = await weights.read(at(`${name}.safetensors`));
      expect(new Set(after.keys())).toEqual(new Set(before.keys()));
      for (const [key, entry] of before) expect(after.get(key), key).toEqual(entry);
    },
  );

  test("takes the folder of a TensorFlow.js model, and still that of a run", async () => {
    const json = {
      weightsManifest: [{ paths: ["w.bin"], weights: [{ name: "a", shape: [1], dtype: "float32" }] }],
    };
    await mkdir(at("tfjs"));
    await writeFile(at("tfjs/model.json"), JSON.stringify(json));
    await writeFile(at("tfjs/w.bin"), new Uint8Array(Float32Array.of(3).buffer));
    await mkdir(at("run"));
    await weights.write(at("run/model.safetensors"), { b: { shape: [1], data: Float32Array.of(4) } });
    for (const [from, name] of [
      ["tfjs", "a"],
      ["run", "b"],
    ]) {
      expect((await thaw(["convert", at(from), at(`${from}.safetensors`)])).code).toBe(0);
      expect([...(await weights.read(at(`${from}.safetensors`))).keys()]).toEqual([name]);
    }
  });
});
