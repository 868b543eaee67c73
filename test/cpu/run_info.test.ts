// run.json as whoever uses a run meets it: damaged or of another format it is refused in one sentence that names the file,
// from a folder and from a URL alike.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DataError, loadRun, UsageError } from "../../src/index.ts";
import { parseRunInfo } from "../../src/train/run_info.ts";
import { put, scratch } from "../lib/cli.ts";

const whole = {
  format: 1,
  model: { name: "densenet_mini", head: "linear" },
  classes: ["a", "b"],
  preprocessing: { resize: 32, crop: 32, interpolation: "bilinear", mean: [0, 0, 0], std: [1, 1, 1] },
  options: { model: "densenet_mini", seed: 0 },
  data: { folder: "/x", fingerprint: "f" },
  metrics: {},
};

const damaged: [string, RegExp][] = [
  ["{", /is damaged: it is not valid JSON/],
  ["[]", /is damaged: expected a JSON object/],
  ["null", /is damaged: expected a JSON object/],
  ["{}", /does not describe a run: it has no "format"/],
  ['{"format": 99}', /has format 99, but this Thaw reads format 1/],
  ['{"format": 1}', /is damaged: its "model.name" is missing or wrong/],
  [
    JSON.stringify({ ...whole, model: { name: "vit", head: "linear" } }),
    /is of the model vit, but this Thaw has densenet121, /,
  ],
  [JSON.stringify({ ...whole, classes: [] }), /its "classes" is missing or wrong/],
  [JSON.stringify({ ...whole, preprocessing: { crop: 1 } }), /its "preprocessing.resize" is missing/],
];

let folder: Awaited<ReturnType<typeof scratch>>;
beforeAll(async () => {
  folder = await scratch();
});
afterAll(() => folder.remove());

test("a whole one is taken as it is", () => {
  expect(parseRunInfo(JSON.stringify(whole), "run.json")).toEqual(whole);
});

describe("a damaged run.json is refused", () => {
  test.each(damaged)("%s", async (text, says) => {
    const file = await put(join(folder.path, "run/run.json"), text);
    const error = await loadRun(join(folder.path, "run")).catch((e) => e);
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(says);
    expect(error.message.startsWith(`${file} `)).toBe(true);
  });
});

test("no path is no run", async () => {
  await expect(loadRun("")).rejects.toThrow(UsageError);
  await expect(loadRun("")).rejects.toThrow(/the run is an empty text: expected its folder or URL/);
});

test("a URL's query goes to both files, its fragment to none", async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    if (request.url?.startsWith("/run/run.json")) response.end(JSON.stringify(whole));
    else response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  try {
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(loadRun(`${base}/run/?token=a/b#x`)).rejects.toThrow(
      `${base}/run/model.safetensors?token=a/b could not be fetched: 404`,
    );
    expect(asked).toEqual(["/run/run.json?token=a/b", "/run/model.safetensors?token=a/b"]);
  } finally {
    server.close();
  }
});
