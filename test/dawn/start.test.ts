// The main job on what the repository carries, in small: drawn files, the shipped weights, a frozen trunk.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { drawPicture } from "../../examples/pictures/draw.ts";
import { drawFolder } from "../../examples/pictures/folder.ts";
import { drawnSource } from "../../examples/pictures/source.ts";
import { sheet } from "../../examples/sheet.ts";
import { openTask, runWay, WEIGHTS } from "../../examples/transfer.ts";
import { close, data, init, models, train, weights } from "../../src/index.ts";
import { testOptions } from "../lib/test_options.ts";

let dir = "";
beforeAll(async () => {
  await init(testOptions());
  dir = await mkdtemp(join(tmpdir(), "thaw-start-"));
});
afterAll(async () => {
  await close();
  await rm(dir, { recursive: true, force: true });
});

it("the shipped weights know their classes as well as they say", async () => {
  const { tensors, extras } = await weights.readCheckpoint(WEIGHTS);
  const model = models.densenet_mini({ numClasses: 24 });
  model.loadStateDict(tensors);
  const common = { family: "pretrain", seed: 123, batchSize: 48, first: 0 } as const;
  const source = drawnSource({ ...common, perClass: 10, spec: model.preprocessing });
  const { accuracy, count } = await train.evaluate(model, source);
  const said = Number(extras.get("heldOutAccuracy"));
  // Four standard deviations of a share of that many pictures.
  expect(Math.abs(accuracy - said)).toBeLessThan(4 * Math.sqrt((said * (1 - said)) / count));
});

it("fine-tunes a head on drawn files, and shows what it predicts", async () => {
  expect(await drawFolder(dir, { family: "target", seed: 7, train: 8, test: 4, size: 72 })).toBe(72);
  const key = { family: "target", className: "flower", number: 9, seed: 7, size: 72 } as const;
  const read = await data.decode(join(dir, "test/flower/001.png"));
  expect(Buffer.from(read.data).equals(Buffer.from(drawPicture(key).data))).toBe(true);
  const task = await openTask(dir, 7);
  expect([task.train.length, task.test.length]).toEqual([48, 24]);
  const outcome = await runWay(task, "transfer", undefined, 8);
  // Chance is 1/6, and four standard deviations of 24 pictures are 0.3.
  expect(outcome.accuracy).toBeGreaterThan(0.47);
  const page = await sheet(task, [outcome]);
  expect(page.match(/<img/g)?.length).toBe(24);
  const png = (await readFile(join(dir, "test/arrow/000.png"))).toString("base64");
  expect(page).toContain(png);
});
