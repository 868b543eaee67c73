// Prepared pictures as a source of batches: what the budget of the cache leaves out is read while training, and a broken
// file among it is named, counted and left out as at first. Pictures are of the right size already, so no device is used.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, DataError, type data, init, train } from "../../src/index.ts";
import { range } from "./data_source.ts";

beforeAll(() => init({ device: "cpu" }));
afterAll(close);

const SIDE = 4;
const ONE = 3 * SIDE * SIDE;
const spec: data.PrepareSpec = {
  resize: SIDE,
  crop: SIDE,
  interpolation: "bilinear",
  mean: [0, 0, 0],
  std: [1, 1, 1],
};

/** `n` pictures filled with their number, of two classes in turn; those in `bad` cannot be read. */
function dataset(n: number, bad: readonly number[]): data.Dataset {
  return {
    length: n,
    classes: ["even", "odd"],
    label: (i) => i % 2,
    path: (i) => `${i}.png`,
    async get(i) {
      if (bad.includes(i)) throw new DataError(`${i}.png is empty`);
      return { data: new Uint8Array(ONE).fill(i), height: SIDE, width: SIDE };
    },
  };
}

async function epoch(source: train.BatchSource): Promise<number[][]> {
  const batches: number[][] = [];
  for await (const { x } of source.epoch(0)) {
    const bytes = await x.data();
    batches.push(range(bytes.length / ONE).map((i) => Number(bytes[i * ONE])));
  }
  return batches;
}

describe("pictures beyond the cache", () => {
  const cacheBytes = 4 * ONE;

  test("are counted as unseen, and a broken one is told when it is met, once", async () => {
    const told: string[] = [];
    const pictures = await train.preparePictures(dataset(12, [1, 7, 9]), spec, {
      cacheBytes,
      onUnreadable: (error) => told.push(error.message),
    });
    expect(told).toEqual(["1.png is empty"]);
    // 0, 2, 3, 4 fill the cache.
    expect(pictures.unseen).toBe(7);
    const source = train.pictureSource(pictures, range(12), { batchSize: 4 });
    expect(source.length).toBe(11);
    const batches = await epoch(source);
    expect(batches).toEqual([
      [0, 2, 3, 4],
      [5, 6, 8, 10, 11],
    ]);
    expect(told).toEqual(["1.png is empty", "7.png is empty", "9.png is empty"]);
    expect(source.length).toBe(9);
    expect(await epoch(source)).toEqual(batches);
    expect(told).toHaveLength(3);
  });

  test("a class of which nothing can be read stops it, however late that is known", async () => {
    const pictures = await train.preparePictures(dataset(12, [1, 3, 5, 7, 9, 11]), spec, { cacheBytes });
    await expect(epoch(train.pictureSource(pictures, range(12), { batchSize: 4 }))).rejects.toThrow(
      "no picture of class odd can be read; the first: 1.png is empty",
    );
  });

  test("strict looks at all of them at first, and stops at what breaks later", async () => {
    const bad = [9];
    await expect(train.preparePictures(dataset(12, bad), spec, { cacheBytes, strict: true })).rejects.toThrow(
      "9.png is empty",
    );
    bad.pop();
    const pictures = await train.preparePictures(dataset(12, bad), spec, { cacheBytes, strict: true });
    expect(pictures.unseen).toBe(0);
    bad.push(10);
    await expect(epoch(train.pictureSource(pictures, range(12), { batchSize: 4 }))).rejects.toThrow(
      "10.png is empty",
    );
  });
});
