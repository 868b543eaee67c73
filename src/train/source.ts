// What training reads: epochs of batches. Any object of this form will do; `pictureSource` makes one of a data set of
// pictures, prepared on the device and kept as bytes, so that each picture is decoded and resized once.

import { DataError } from "../core/error.ts";
import {
  type BatchOptions,
  batchCount,
  batches,
  checkPicture,
  type Dataset,
  inspect,
  nameOf,
  normalizePictures,
  type Picture,
  type PrepareSpec,
  prepare,
  type Sample,
  stackPictures,
  type Unreadable,
} from "../data/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** One batch of samples with their classes. */
export interface TrainBatch {
  readonly x: Tensor;
  /** Class numbers, one per sample. */
  readonly labels: Int32Array;
  /** Where in the epoch the samples after this batch begin: what a resumed epoch is started with. */
  readonly next: number;
}

export interface BatchSource {
  /** Samples in an epoch. */
  readonly length: number;
  /** Batches in an epoch. */
  readonly steps: number;
  /** The batches of an epoch from position `start` on; the same epoch always gives the same batches. */
  epoch(epoch: number, start?: number): AsyncIterable<TrainBatch>;
  /** A batch's `x` to the network's input, as part of the compiled step; as it is when left out. */
  toInput?(x: Tensor): Tensor;
}

/** 512 MiB of prepared pictures: 3,566 of 224×224, or 43,690 of 64×64. */
const CACHE_BYTES = 512 * 2 ** 20;

/** Pictures prepared at once while a data set is inspected. */
const GROUP = 16;

/** A data set's pictures prepared for a network, kept while the budget of bytes lasts. */
export interface PreparedPictures {
  readonly dataset: Dataset;
  readonly spec: PrepareSpec;
  readonly unreadable: Unreadable;
  /** Bytes [crop, crop, 3] of each sample. */
  of(samples: readonly Sample[]): Promise<Uint8Array[]>;
}

export interface PrepareOptions {
  /** Pictures that will be used; all by default. */
  readonly indices?: readonly number[];
  readonly cacheBytes?: number;
  readonly strict?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  readonly onUnreadable?: (error: DataError, index: number) => void;
}

/**
 * Reads, resizes and crops the pictures once, so that broken files are named before training begins; what does not fit
 * the budget is prepared again in every epoch. Throws DataError when a class has no readable picture, or with `strict`
 * at the first unreadable one.
 */
export async function preparePictures(
  dataset: Dataset,
  spec: PrepareSpec,
  options: PrepareOptions = {},
): Promise<PreparedPictures> {
  const kept = new Map<number, Uint8Array>();
  const budget = options.cacheBytes ?? CACHE_BYTES;
  const room = Math.floor(budget / (3 * spec.crop * spec.crop));
  const asPicture = (data: Uint8Array): Picture => ({ data, height: spec.crop, width: spec.crop });
  const cached: Dataset = {
    length: dataset.length,
    classes: dataset.classes,
    label: (i) => dataset.label(i),
    path: dataset.path && ((i) => dataset.path?.(i) ?? ""),
    get: async (i) => {
      const known = kept.get(i);
      if (known) return asPicture(known);
      const picture = await dataset.get(i);
      checkPicture(picture, nameOf(dataset, i));
      return picture;
    },
  };
  const of = async (samples: readonly Sample[]): Promise<Uint8Array[]> => {
    const fresh = samples.filter((s) => !kept.has(s.index));
    const made = await prepare(fresh, spec);
    const now = new Map(fresh.map((s, i) => [s.index, made[i]]));
    for (const [index, bytes] of now) if (kept.size < room) kept.set(index, bytes);
    return samples.map((s) => now.get(s.index) ?? (kept.get(s.index) as Uint8Array));
  };
  let group: Sample[] = [];
  const full = () => kept.size + group.length >= room;
  const { unreadable } = await inspect(cached, {
    ...options,
    enough: () => !options.strict && full(),
    onSample: async (sample) => {
      group.push(sample);
      if (group.length < GROUP) return;
      await of(group);
      group = [];
    },
  });
  await of(group);
  group = [];
  return { dataset: cached, spec, unreadable, of };
}

export type PictureSourceOptions = Pick<
  BatchOptions,
  "batchSize" | "shuffle" | "seed" | "strict" | "onUnreadable" | "prefetch"
>;

/** Batches of prepared pictures: `x` u8 [N, crop, crop, 3], normalised inside the step. */
export function pictureSource(
  pictures: PreparedPictures,
  indices: readonly number[],
  options: PictureSourceOptions,
): BatchSource {
  const { dataset, spec, unreadable } = pictures;
  const readable = indices.filter((i) => !unreadable.has(i));
  if (readable.length === 0)
    throw new DataError(`none of the ${indices.length} pictures can be read: ${first(unreadable)}`);
  return {
    get length() {
      return indices.reduce((n, i) => n + (unreadable.has(i) ? 0 : 1), 0);
    },
    get steps() {
      return batchCount(this.length, options);
    },
    async *epoch(epoch, start = 0) {
      const order = batches(dataset, indices, { ...options, epoch, start, unreadable });
      for await (const { samples, next } of order) {
        const x = stackPictures(await pictures.of(samples), spec.crop);
        yield { x, labels: Int32Array.from(samples, (s) => s.label), next };
      }
    },
    toInput: (x) => normalizePictures(x, spec),
  };
}

const first = (unreadable: Unreadable) => [...unreadable.values()][0]?.message ?? "there are none";
