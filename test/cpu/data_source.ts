// A source of pictures for tests: no files, random delays, and a record of what was asked of it.
import { DataError } from "../../src/core/error.ts";
import { Generator } from "../../src/core/random.ts";
import { type BatchOptions, batches } from "../../src/data/loader.ts";
import type { Dataset } from "../../src/data/picture.ts";

export const range = (n: number) => Array.from({ length: n }, (_, i) => i);
export const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

export interface Source extends Dataset {
  /** Calls of get, in order; how many were running at once at most, and are now. */
  readonly asked: number[];
  most: number;
  running: number;
}

/** Pictures of 2×1 whose bytes are their number; `bad` ones are unreadable; decoding takes a random time. */
export function source(n: number, bad: readonly number[] = [], seed = 1): Source {
  const random = new Generator(seed);
  const made: Source = {
    asked: [],
    most: 0,
    running: 0,
    length: n,
    classes: ["even", "odd"],
    label: (i) => i % 2,
    path: (i) => `${i}.png`,
    async get(i) {
      made.asked.push(i);
      made.most = Math.max(made.most, ++made.running);
      await sleep(random.uniform() * 4);
      made.running--;
      if (bad.includes(i)) throw new DataError(`${i}.png is empty`);
      return { data: new Uint8Array(6).fill(i), height: 2, width: 1 };
    },
  };
  return made;
}

/** Everything that a stream yields. */
export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

/** The picture numbers of each batch. */
export async function indicesOf(
  dataset: Dataset,
  order: readonly number[],
  options: BatchOptions,
): Promise<number[][]> {
  const out: number[][] = [];
  for await (const batch of batches(dataset, order, options)) out.push(batch.samples.map((s) => s.index));
  return out;
}
