// The command line on a Teachable Machine export that the test makes with TensorFlow.js: predict gives the network's own
// answers; finetune goes on from it, its head kept with the classes in the folder's order, its backbone open.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { weights } from "../../src/index.ts";
import { colours, scratch, thaw } from "../lib/cli.ts";
import { type Made, make, SIDE, usual, zipped } from "../lib/teachable_made.ts";

/** As somebody typed them: neither in the order of the alphabet nor free of spaces. */
const LABELS = ["red", "blue ", "green"];

let folder: Awaited<ReturnType<typeof scratch>>;
let made: Made;
const at = (...parts: string[]) => join(folder.path, ...parts);

beforeAll(async () => {
  await tf.setBackend("cpu");
  folder = await scratch();
  await colours(at("pictures"), 6);
  made = make(usual());
  await writeFile(at("tm.zip"), zipped(made, LABELS));
});
afterAll(() => folder.remove());

interface Line {
  readonly file: string;
  readonly top: { class: string; p: number }[];
}

/** A picture of the size that the network takes, so that nothing is resampled. */
async function picture(): Promise<{ file: string; theirs: Float32Array }> {
  const bytes = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => (i * 37 + (i >> 5)) % 256);
  const file = at("picture.png");
  await sharp(bytes, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toFile(file);
  const x = tf.tensor4d(Float32Array.from(bytes), [1, SIDE, SIDE, 3]).div(127.5).sub(1);
  return { file, theirs: (made.network.predict(x) as tf.Tensor).dataSync() as Float32Array };
}

async function predicted(run: string, file: string): Promise<Map<string, number>> {
  const r = await thaw(["predict", run, file, "--json"]);
  expect(r.code, r.err).toBe(0);
  const [line] = r.lines() as unknown as Line[];
  return new Map(line.top.map((t) => [t.class.trim(), t.p]));
}

const finetune = (...more: string[]) =>
  thaw(["finetune", at("pictures"), "--weights", at("tm.zip"), "--batch-size", "6", "--json", ...more]);

test("predict gives the export's own answers", async () => {
  const { file, theirs } = await picture();
  const ours = await predicted(at("tm.zip"), file);
  LABELS.forEach((label, i) => {
    expect(ours.get(label.trim())).toBeCloseTo(theirs[i], 5);
  });
});

test("convert writes it for the size of pictures that the export tells", async () => {
  await writeFile(at("tm96.zip"), zipped(made, LABELS, 96));
  const sizes = { "tm.zip": SIDE, "tm96.zip": 96 };
  for (const [file, side] of Object.entries(sizes)) {
    const r = await thaw(["convert", at(file), at(`size${side}`, "model.json"), "--json"]);
    expect(r.code, r.err).toBe(0);
    expect(r.lines()).toMatchObject([{ event: "done", input: [3, side, side] }]);
  }
});

test("finetune --head keep goes on with the head, whatever the order of the labels", async () => {
  const { file, theirs } = await picture();
  const args = ["--head", "keep", "--freeze", "trunk", "--lr", "1e-12", "--epochs", "1", "--out", at("kept")];
  const r = await finetune(...args);
  expect(r.code, r.err).toBe(0);
  const info = JSON.parse(await readFile(at("kept/run.json"), "utf8"));
  expect(info.model).toMatchObject({ name: "keras.mobilenetV2_0.35", head: "mlp:6" });
  expect(info.classes).toEqual(["blue", "green", "red"]);
  expect(info.preprocessing).toMatchObject({ resize: SIDE, crop: SIDE, mean: [0.5, 0.5, 0.5] });
  const ours = await predicted(at("kept"), file);
  LABELS.forEach((label, i) => {
    expect(ours.get(label.trim())).toBeCloseTo(theirs[i], 4);
  });
});

test("finetune opens the backbone", async () => {
  const r = await finetune("--freeze", "none", "--epochs", "1", "--out", at("open"));
  expect(r.code, r.err).toBe(0);
  const [start] = r.lines() as { event: string; trainable: number; parameters: number }[];
  // 396,128 of the backbone without its statistics, and a fresh layer of three classes.
  expect(start).toMatchObject({
    event: "start",
    trainable: 396_128 + 3 * 1281,
    parameters: 396_128 + 3 * 1281,
  });
  const trained = await weights.read(at("open/model.safetensors"));
  const first = trained.get("features.Conv1.Conv1.weight")?.data as Float32Array;
  const before = made.weights.get("Conv1/kernel")?.data as Float32Array;
  expect(first.length).toBe(before.length);
  const sorted = before.slice().sort();
  expect(
    first
      .slice()
      .sort()
      .some((v, i) => v !== sorted[i]),
  ).toBe(true);
});

test("refuses a kept head for other classes, and another architecture", async () => {
  await colours(at("pictures"), 6);
  const other = await scratch();
  try {
    await writeFile(at("other.zip"), zipped(made, ["red", "blue", "yellow"]));
    const kept = await thaw([
      ...["finetune", at("pictures"), "--weights", at("other.zip"), "--head", "keep"],
      ...["--out", join(other.path, "run")],
    ]);
    expect([kept.code, kept.err.trim().split("\n").at(-1)]).toEqual([
      1,
      expect.stringMatching(/knows the classes red, blue, yellow, the pictures are of blue, green, red$/),
    ]);
    const wrong = await finetune("--model", "keras.mobilenetV2", "--out", join(other.path, "run"));
    expect([wrong.code, wrong.err.trim().split("\n").at(-1)]).toEqual([
      1,
      expect.stringMatching(
        /tm\.zip is of keras\.mobilenetV2_0\.35, not of keras\.mobilenetV2; choose that model$/,
      ),
    ]);
  } finally {
    await other.remove();
  }
});
