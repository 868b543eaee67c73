// Keras' networks against the same networks built of TensorFlow.js' layers on its CPU backend, with the same weights
// given by the file's own names in the file's layouts: maps, logits, loss, gradients, running statistics, at even and odd
// picture sizes, where TensorFlow's paddings differ. Batch norms lie at ±6 (of ReLU6, half as wide at ±3), so that no
// ReLU hangs on rounding (DESIGN §7): on running statistics within 1e-5 of a tensor's norm; in training within 3e-4, or ten
// times what TensorFlow.js is off from itself with pictures that differ in their last places. Whole networks in training,
// and VGG16 with its top, which take minutes, run with THAW_TEST=all.
//
// Frozen batch norms: Keras runs those of a frozen layer on running statistics, TensorFlow.js does not. So the open last
// block is compared with everything on running statistics (`training: false`), which is Keras' way to fine-tune.
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, freeze, init, models, nn, type Tensor, tensor } from "../../src/index.ts";
import { fromKeras } from "../../src/models/keras/names.ts";
import { norm, uniforms } from "../lib/counter.ts";
import type { Twin } from "../lib/keras_tfjs.ts";
import * as twins from "../lib/keras_tfjs.ts";
import {
  channelsFirst,
  counts,
  type FileEntry,
  normalized,
  type Outcome,
  run,
  setWeights,
} from "../lib/keras_tfjs_run.ts";
import { testOptions } from "../lib/test_options.ts";

const SEED = 20261125;
const CLASSES = 10;
/** Of running statistics, where nothing amplifies rounding: the differences are below 3e-6. */
const FROZEN = 1e-5;
/** Of the batch's statistics (DESIGN §7). */
const TRAINING = 3e-4;

beforeAll(async () => {
  await tf.setBackend("cpu");
  await init(testOptions());
});
afterAll(close);

interface Case {
  readonly name: string;
  readonly twin: (h: number, w: number) => Twin;
  readonly model: (side: number) => models.keras.KerasModel;
  readonly weights: { gain: number; bias: number };
  /** What Keras' network makes of pixels itself. */
  readonly prepare?: (x: tf.Tensor4D) => tf.Tensor4D;
  readonly scale: number;
  /** Names of the layers that train besides the head's. */
  readonly last: RegExp;
  readonly block: string;
}

const SIX = { gain: 1, bias: 6 };

const CASES: Record<string, Case> = {
  vgg16_notop: {
    name: "keras.vgg16_notop",
    twin: (h, w) => twins.vgg16(h, w, CLASSES, false),
    model: () => models.keras.vgg16({ numClasses: CLASSES, includeTop: false }),
    weights: SIX,
    scale: 100,
    last: /^(block5|predictions)/,
    block: "block5",
  },
  vgg16: {
    name: "keras.vgg16",
    twin: (h, w) => twins.vgg16(h, w, CLASSES),
    model: (side) => models.keras.vgg16({ numClasses: CLASSES, imageSize: side }),
    weights: SIX,
    scale: 100,
    last: /^(block5|fc|predictions)/,
    block: "block5",
  },
  mobilenetV2: {
    name: "keras.mobilenetV2",
    twin: (h, w) => twins.mobilenetV2(h, w, CLASSES, 0.35),
    model: () => models.keras.mobilenetV2({ alpha: 0.35, numClasses: CLASSES }),
    weights: { gain: 0.5, bias: 3 },
    scale: 1,
    last: /^(Conv_1|predictions)/,
    block: "Conv_1",
  },
  densenet121: {
    name: "keras.densenet121",
    twin: (h, w) => twins.densenet121(h, w, CLASSES),
    model: () => models.keras.densenet121({ numClasses: CLASSES }),
    weights: SIX,
    scale: 2,
    last: /^(bn\/|predictions)/,
    block: "top",
  },
  efficientnetB0: {
    name: "keras.efficientnetB0",
    twin: (h, w) => twins.efficientnetB0(h, w, CLASSES),
    model: () => models.keras.efficientnetB0({ numClasses: CLASSES }),
    weights: { gain: 1, bias: 0 },
    prepare: normalized,
    scale: 255,
    last: /^(top_|predictions)/,
    block: "top",
  },
};

/** Two pictures [2, H, W, 3] of both sides. */
function pictures(c: Case, h: number, w: number): { theirs: tf.Tensor4D; ours: Tensor; y: Int32Array } {
  const u = uniforms(SEED, 900_000, 2 * h * w * 3);
  const values = Float32Array.from(u, (v) => (c.prepare ? v : 2 * v - 1) * c.scale);
  const pixels = tf.tensor4d(values, [2, h, w, 3]);
  return {
    theirs: c.prepare ? c.prepare(pixels) : pixels,
    ours: tensor(channelsFirst(values, [2, h, w, 3]), [2, 3, h, w]),
    y: Int32Array.of(3, 7),
  };
}

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a.length).toBe(b.length);
  return norm(Float64Array.from(a, (v, i) => v - b[i]));
};

/** A step of ours: the same numbers as `run` gives, gradients by state-dict name. */
async function step(model: models.keras.KerasModel, x: Tensor, y: Int32Array) {
  const maps = model.trunk.forward(x);
  const logits = model.head.forward(model.pool(maps));
  const loss = nn.functional.crossEntropy(logits, tensor(y));
  loss.backward();
  const grads = new Map<string, Float32Array>();
  for (const [name, p] of model.namedParameters())
    if (p.grad) grads.set(name, (await p.grad.data()) as Float32Array);
  return { maps: await maps.data(), logits: await logits.data(), loss: await loss.item(), grads };
}

/** A file's tensors by our names, in our layouts. */
const ours = (model: models.keras.KerasModel, file: ReadonlyMap<string, FileEntry>) => fromKeras(model, file);

/** `again`: the same by TensorFlow.js from pictures rounded otherwise, which tells how far float32 carries. */
async function compare(
  what: string,
  model: models.keras.KerasModel,
  theirs: Outcome,
  x: Tensor,
  y: Int32Array,
  limit: number,
  again: Outcome = theirs,
): Promise<void> {
  const got = await step(model, x, y);
  const maps = apart(got.maps, theirs.maps) / norm(theirs.maps);
  const logits = apart(got.logits, theirs.logits) / norm(theirs.logits);
  const wanted = ours(model, theirs.grads);
  expect([...got.grads.keys()].sort()).toEqual([...wanted.keys()].sort());
  const norms = new Map([...wanted].map(([k, e]) => [k, norm(e.data as Float32Array)]));
  const largest = Math.max(...norms.values());
  const others = ours(model, again.grads);
  let worst = { name: "", off: 0, excess: 0 };
  for (const [name, e] of wanted) {
    const scale = Math.max(norms.get(name) as number, 1e-4 * largest);
    const own = apart((others.get(name) as FileEntry).data, e.data as Float32Array) / scale;
    const off = apart(got.grads.get(name) as Float32Array, e.data as Float32Array) / scale;
    const excess = off / Math.max(limit, 10 * own);
    if (excess >= worst.excess) worst = { name, off, excess };
  }
  console.log(
    `${what}: maps ${maps.toExponential(1)}, logits ${logits.toExponential(1)}, ${wanted.size} gradients, worst ${worst.name} ${worst.off.toExponential(1)} (${worst.excess.toFixed(2)} of its bound)`,
  );
  expect(maps, "maps").toBeLessThan(limit);
  expect(logits, "logits").toBeLessThan(limit);
  expect(Math.abs(got.loss - theirs.loss) / theirs.loss, "loss").toBeLessThan(limit);
  expect(worst.excess, `gradient of ${worst.name} is off by ${worst.off}`).toBeLessThan(1);
}

/** Everything on running statistics; the last block and the head train. */
async function lastBlock(c: Case, h: number, w: number): Promise<void> {
  const twin = c.twin(h, w);
  const file = setWeights(twin, SEED, c.weights);
  const { theirs, ours: x, y } = pictures(c, h, w);
  const model = loaded(c, h, file);
  freeze(model);
  const open = [...model.trunk.namedChildren()].find(([name]) => name === c.block)?.[1] as nn.Module;
  for (const m of [open, model.head]) for (const p of m.parameters()) p.requiresGrad = true;
  model.eval();
  const outcome = run(twin, theirs, y, { training: false, open: (name) => c.last.test(name) });
  await compare(`${c.name} ${h}×${w}, last block`, model, outcome, x, y, FROZEN);
}

function loaded(c: Case, side: number, file: Map<string, FileEntry>): models.keras.KerasModel {
  const model = nn.init.skipInit(() => c.model(side));
  model.loadStateDict(c.prepare ? withStatistics(file) : file);
  return model;
}

/** The pictures as another rounding might have left them: each value a last place of float32 up or down. */
function rounded(x: tf.Tensor4D): tf.Tensor4D {
  const u = uniforms(SEED, 900_001, x.size);
  return tf.tensor4d(
    x.dataSync().map((v, i) => v * (u[i] < 0.5 ? 1 - 2 ** -23 : 1 + 2 ** -23)),
    x.shape,
  );
}

/** Everything trains, on the batch's statistics; nothing is dropped. */
async function training(c: Case, h: number, w: number): Promise<void> {
  const twin = c.twin(h, w);
  const file = setWeights(twin, SEED, c.weights);
  const { theirs, ours: x, y } = pictures(c, h, w);
  const model = loaded(c, h, file);
  // EfficientNet's blocks drop pictures in training; its batch norms still train.
  for (const m of [model.head, ...model.trunk]) m.training = false;
  for (const m of model.head.children) m.training = false;
  const outcome = run(twin, theirs, y, { training: true, open: () => true });
  setWeights(twin, SEED, c.weights);
  const again = run(twin, rounded(theirs), y, { training: true, open: () => true });
  await compare(`${c.name} ${h}×${w}, training`, model, outcome, x, y, TRAINING, again);
  await compareStatistics(model, twin, file, outcome);
}

async function compareStatistics(
  model: models.keras.KerasModel,
  twin: Twin,
  before: ReadonlyMap<string, FileEntry>,
  { after }: Outcome,
): Promise<void> {
  const layers = counts(twin, 2);
  const momentum = 1 - ([...model.modules()].find((m) => m instanceof nn.BatchNorm2d)?.momentum as number);
  const unbiased = new Map(
    [...after].map(([name, e]) => {
      const n = layers.get(name.split("/")[0]) ?? 2;
      if (!name.endsWith("moving_variance")) return [name, e] as const;
      const old = (before.get(name) as FileEntry).data;
      const data = e.data.map((v, i) => momentum * old[i] + ((v - momentum * old[i]) * n) / (n - 1));
      return [name, { ...e, data }] as const;
    }),
  );
  const wanted = ours(model, unbiased);
  for (const [name, b] of model.namedBuffers()) {
    const want = wanted.get(name)?.data as Float32Array | undefined;
    if (want) expect(apart(await b.data(), want) / norm(want), name).toBeLessThan(TRAINING);
    else expect(name).toMatch(/normalization/);
  }
}

/** A file of Keras' holds the normalisation of pixels, too. */
const withStatistics = (file: Map<string, FileEntry>) =>
  new Map([
    ...file,
    ["normalization/mean", { shape: [3], dtype: "f32" as const, data: Float32Array.of(0.485, 0.456, 0.406) }],
    [
      "normalization/variance",
      { shape: [3], dtype: "f32" as const, data: Float32Array.of(0.229, 0.224, 0.225) },
    ],
    ["normalization/count", { shape: [], dtype: "f32" as const, data: Float32Array.of(0) }],
  ]);

const ALL = process.env.THAW_TEST === "all";

/** TensorFlow.js takes minutes for a whole network backward, more where others use the machine. */
const LONG = 30 * 60_000;

describe.each(["vgg16_notop", "mobilenetV2", "densenet121", "efficientnetB0"])("%s", (key) => {
  const c = CASES[key];
  const side = key === "vgg16_notop" ? 32 : 64;
  it("on running statistics, its last block and head open", () => lastBlock(c, side, side));
  it.skipIf(!ALL && key !== "mobilenetV2" && key !== "efficientnetB0")("at an odd size", () =>
    lastBlock(c, 75, 97),
  );
  const skipped = key === "vgg16_notop" || (!ALL && key !== "mobilenetV2");
  it.skipIf(skipped)("in training", () => training(c, 64, 64), LONG);
});

it.skipIf(!ALL)("vgg16 with its top", () => lastBlock(CASES.vgg16, 64, 64), LONG);
