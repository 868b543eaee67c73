// The pictures that the project draws itself: the same everywhere, of disjoint classes, and told apart by their motif
// only; and the weights pretrained on them, as they are shipped.
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { expect, it } from "vitest";
import { drawPicture } from "../../examples/pictures/draw.ts";
import { classesOf, type Family } from "../../examples/pictures/fields.ts";
import { drawnSource } from "../../examples/pictures/source.ts";
import { models, train, weights } from "../../src/index.ts";
import { shipped } from "../../src/weights/known.node.ts";

const draw = (family: Family, className: string, number: number, seed = 0) =>
  drawPicture({ family, className, number, seed, size: 32 });

it("draws the same bytes for the same key, and others for another", () => {
  const bytes = (number: number, seed: number) => Buffer.from(draw("target", "arrow", number, seed).data);
  expect(bytes(3, 1).equals(bytes(3, 1))).toBe(true);
  expect(bytes(3, 1).equals(bytes(4, 1))).toBe(false);
  expect(bytes(3, 1).equals(bytes(3, 2))).toBe(false);
});

it("draws what it drew when the weights were made", () => {
  const hash = createHash("sha256");
  for (const family of ["pretrain", "target"] as const)
    for (const name of classesOf(family)) hash.update(draw(family, name, 0).data);
  expect(hash.digest("hex").slice(0, 16)).toBe("b636c4d11e0d9edd");
});

it("pretrains on none of the classes that it fine-tunes on", () => {
  const [pretrain, target] = [classesOf("pretrain"), classesOf("target")];
  expect(pretrain.length).toBe(24);
  expect(target.length).toBe(6);
  expect(pretrain.filter((name) => target.includes(name))).toEqual([]);
});

function meanColour({ data }: { data: Uint8Array }): number[] {
  const sums = [0, 0, 0];
  data.forEach((v, i) => {
    sums[i % 3] += v;
  });
  return sums.map((s) => (3 * s) / data.length);
}

it.each(["pretrain", "target"] as const)("has no class that its mean colour gives away: %s", (family) => {
  const classes = classesOf(family);
  const [shown, asked] = [60, 40];
  const centres = classes.map((name) => {
    const colours = Array.from({ length: shown }, (_, i) => meanColour(draw(family, name, i)));
    return [0, 1, 2].map((c) => colours.reduce((s, v) => s + v[c], 0) / shown);
  });
  let right = 0;
  for (const [label, name] of classes.entries()) {
    for (let i = shown; i < shown + asked; i++) {
      const own = meanColour(draw(family, name, i));
      const far = centres.map((m) => Math.hypot(...m.map((v, c) => v - own[c])));
      if (far.indexOf(Math.min(...far)) === label) right++;
    }
  }
  const [n, p] = [classes.length * asked, 1 / classes.length];
  // Four standard deviations above chance.
  expect(right / n).toBeLessThan(p + 4 * Math.sqrt((p * (1 - p)) / n));
});

it("gives every epoch new pictures, and a resumed one the same", async () => {
  const spec = { ...models.densenet_mini({ numClasses: 2 }).preprocessing, resize: 16, crop: 16 };
  const options = { family: "target", seed: 5, perClass: 3, batchSize: 4, spec, first: 0 } as const;
  const labels = async (epoch: number, start = 0) => {
    const all: number[] = [];
    for await (const b of drawnSource(options).epoch(epoch, start)) all.push(...b.labels);
    return all;
  };
  const first = await labels(0);
  expect([...first].sort()).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]);
  expect(await labels(0, 8)).toEqual(first.slice(8));
  expect(await labels(1)).not.toEqual(first);
});

const FILE = shipped("densenet_mini-shapes.safetensors");

it("ships weights that fit densenet_mini, in less than 600 kB", async () => {
  expect((await stat(FILE)).size).toBeLessThan(600_000);
  const { tensors, extras } = await weights.readCheckpoint(FILE);
  expect(String(extras.get("classes")).split(",")).toEqual(classesOf("pretrain"));
  expect(extras.get("architecture")).toBe("densenet_mini");
  const model = models.create("densenet_mini", { numClasses: 24 });
  expect(model.parameters().reduce((n, p) => n + p.numel, 0)).toBe(53_741);
  const { missing, unexpected, misshaped } = model.loadStateDict(tensors);
  expect([missing, unexpected, misshaped]).toEqual([[], [], []]);
  const last = tensors.get("features.norm5.running_var")?.data as Float32Array;
  expect(last.length).toBe(model.numFeatures);
  expect(last.every((v) => Number.isFinite(v) && v >= 0)).toBe(true);
});

it("replaces the head of the shipped network and leaves only that to train", async () => {
  const { model, report } = train.buildNetwork({
    model: "densenet_mini",
    classes: classesOf("target"),
    head: "linear",
    weights: { dict: await weights.read(FILE), source: FILE },
    policy: { freeze: ["trunk"] },
  });
  expect(report.trainable).toEqual(["classifier.weight", "classifier.bias"]);
  expect(report.trainableCount).toBe(6 * (model.numFeatures + 1));
});
