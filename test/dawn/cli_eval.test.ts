// thaw eval and predict on a run: what eval says of pictures that the run has seen, tables beside JSON lines, and a
// photograph of ordinary size.

import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { close, init, train } from "../../src/index.ts";
import { colours, put, scratch, thaw } from "../lib/cli.ts";
import { testOptions } from "../lib/test_options.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
const at = (...parts: string[]) => join(folder.path, ...parts);

beforeAll(async () => {
  folder = await scratch();
  for (const part of ["train", "val", "test"]) await colours(at("divided", part), 4);
  await init(testOptions());
  const options = { model: "densenet_mini", weights: "none", imageSize: 32, batchSize: 6, epochs: 2 };
  await train.finetune(at("divided"), { ...options, out: at("run") });
  await close();
});
afterAll(() => folder.remove());

test.each([
  [[], "note: the run was trained on most of these pictures"],
  [["--part", "train"], "note: the run was trained on these pictures"],
  [["--part", "val"], "note: the run's best epoch was chosen by these pictures"],
  [["--part", "test"], null],
])("eval %j says what the run has seen", async (more, note) => {
  const r = await thaw(["eval", at("run"), at("divided"), ...more]);
  expect(r.code, r.err).toBe(0);
  expect(r.err.split("\n").find((l) => l.startsWith("note:")) ?? null).toBe(note);
});

test("eval names the parts that there are", async () => {
  const r = await thaw(["eval", at("run"), at("divided"), "--part", "tset"]);
  expect([r.code, r.err]).toEqual([1, expect.stringMatching(/no part called tset; did you mean test\?$/)]);
});

test("predict writes a table and JSON lines at once", async () => {
  const args = ["predict", at("run"), at("divided/test"), "--json", "--csv", at("table.csv")];
  const r = await thaw(args);
  expect(r.code, r.err).toBe(0);
  const lines = r.lines() as { file: string; top: { class: string; p: number }[] }[];
  expect(lines).toHaveLength(12);
  expect(lines[0].top).toHaveLength(3);
  const rows = lines.map(({ file, top }) => `${file},${top[0].class},${top[0].p.toFixed(6)}`);
  expect(await readFile(at("table.csv"), "utf8")).toBe(`${["file,class,p", ...rows].join("\n")}\n`);
  // What was there stays when the predictions come to nothing.
  await rename(at("run"), at("moved"));
  expect((await thaw(args)).code).toBe(1);
  expect(await readFile(at("table.csv"), "utf8")).toMatch(/^file,class,p\n/);
  await rename(at("moved"), at("run"));
});

test("a photograph of 12 megapixels", async () => {
  const create = { width: 4000, height: 3000, channels: 3, background: { r: 230, g: 60, b: 60 } } as const;
  await put(at("photo.jpg"), await sharp({ create }).jpeg().toBuffer());
  const r = await thaw(["predict", at("run"), at("photo.jpg"), "--json"]);
  expect(r.code, r.err).toBe(0);
  expect(r.lines()).toMatchObject([{ file: at("photo.jpg"), top: [{}, {}, {}] }]);
});
