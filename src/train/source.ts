// What training reads: epochs of batches. Any object of this form will do; `pictureSource` makes one of a data set of
// pictures, prepared on the device and kept as bytes, so that each picture is decoded and resized once.

import { DataError } from "../core/error.ts";
import {
  type BatchOptions,
  batchCount,
  batchesThrough,
  checkPicture,
  checkReadable,
  type Dataset,
  inspect,
  nameOf,
  normalizePictures,
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

/** Pictures prepared at once, and bytes of decoded ones that may wait for it: a photograph has 36 MB, or 150. */
const GROUP = 16;
const GROUP_BYTES = 64 * 2 ** 20;

/** A sample ready for the network: its bytes [crop, crop, 3]. */
export type PreparedSample = Pick<Sample, "label" | "index" | "position"> & { readonly bytes: Uint8Array };

/** A data set's pictures prepared for a network, kept while the budget of bytes lasts. */
export interface PreparedPictures {
  readonly dataset: Dataset;
  readonly spec: PrepareSpec;
  /** Found so far. */
  readonly unreadable: Unreadable;
  /** How many pictures were not looked at, because the budget was used up before. */
  readonly unseen: number;
  /** As in PrepareOptions: what is found unreadable later is treated as what was found at first. */
  readonly strict: boolean;
  readonly onUnreadable: (error: DataError, index: number) => void;
  /** Bytes [crop, crop, 3] of each sample. */
  of(samples: readonly Sample[]): Promise<Uint8Array[]>;
  /** The same of a stream, a few at a time, so that large pictures do not pile up. */
  prepared(decoded: AsyncIterable<Sample>): AsyncIterable<PreparedSample>;
}

export interface PrepareOptions {
  /** Pictures that will be used; all by default. */
  readonly indices?: readonly number[];
  readonly cacheBytes?: number;
  /** Look at every picture, kept or not, and throw at the first that is unreadable, now or later. */
  readonly strict?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told of each unreadable picture, also of those that are found while training. */
  readonly onUnreadable?: (error: DataError, index: number) => void;
}

/** Prepared pictures by number, as many as the budget holds. */
class Cache {
  readonly #kept = new Map<number, Uint8Array>();
  readonly #spec: PrepareSpec;
  readonly #room: number;

  constructor(spec: PrepareSpec, budget: number) {
    this.#spec = spec;
    this.#room = Math.floor(budget / (3 * spec.crop * spec.crop));
  }

  /** Whether it is full, with so many more. */
  full(more = 0): boolean {
    return this.#kept.size + more >= this.#room;
  }

  /** The data set, with pictures that are kept in place of decoded ones. */
  over(dataset: Dataset): Dataset {
    const { crop } = this.#spec;
    return {
      length: dataset.length,
      classes: dataset.classes,
      label: (i) => dataset.label(i),
      path: dataset.path && ((i) => dataset.path?.(i) ?? ""),
      get: async (i) => {
        const known = this.#kept.get(i);
        if (known) return { data: known, height: crop, width: crop };
        const picture = await dataset.get(i);
        checkPicture(picture, nameOf(dataset, i));
        return picture;
      },
    };
  }

  async of(samples: readonly Sample[]): Promise<Uint8Array[]> {
    const fresh = samples.filter((s) => !this.#kept.has(s.index));
    const made = await prepare(fresh, this.#spec);
    const now = new Map(fresh.map((s, i) => [s.index, made[i]]));
    for (const [index, bytes] of now) if (!this.full()) this.#kept.set(index, bytes);
    return samples.map((s) => now.get(s.index) ?? (this.#kept.get(s.index) as Uint8Array));
  }

  async *prepared(decoded: AsyncIterable<Sample>): AsyncIterable<PreparedSample> {
    let group: Sample[] = [];
    for await (const sample of decoded) {
      group.push(sample);
      if (!isFull(group)) continue;
      yield* await this.#together(group);
      group = [];
    }
    yield* await this.#together(group);
  }

  async #together(group: readonly Sample[]): Promise<PreparedSample[]> {
    const bytes = await this.of(group);
    return group.map(({ label, index, position }, i) => ({ label, index, position, bytes: bytes[i] }));
  }
}

const isFull = (group: readonly Sample[]) =>
  group.length >= GROUP || group.reduce((n, s) => n + s.data.byteLength, 0) >= GROUP_BYTES;

/**
 * Reads, resizes and crops the pictures once, so that broken files are named before training begins; what does not fit
 * the budget is prepared again in every epoch, and broken files among it are named when they are met. Throws DataError
 * when a class has no readable picture, or with `strict` at the first unreadable one.
 */
export async function preparePictures(
  dataset: Dataset,
  spec: PrepareSpec,
  options: PrepareOptions = {},
): Promise<PreparedPictures> {
  const { indices = Array.from({ length: dataset.length }, (_, i) => i), strict = false } = options;
  const cache = new Cache(spec, options.cacheBytes ?? CACHE_BYTES);
  const cached = cache.over(dataset);
  let group: Sample[] = [];
  let seen = 0;
  const { unreadable, complete } = await inspect(cached, {
    ...options,
    enough: () => !strict && cache.full(group.length),
    onSample: async (sample) => {
      seen = sample.position + 1;
      group.push(sample);
      if (!isFull(group)) return;
      await cache.of(group);
      group = [];
    },
  });
  await cache.of(group);
  group = [];
  const onUnreadable = (error: DataError, i: number) => {
    options.onUnreadable?.(error, i);
    const label = dataset.label(i);
    if (indices.some((k) => dataset.label(k) === label && !unreadable.has(k))) return;
    checkReadable(dataset, indices, unreadable);
  };
  const unseen = complete ? 0 : indices.length - seen;
  const common = { dataset: cached, spec, unreadable, unseen, strict, onUnreadable };
  return { ...common, of: (list) => cache.of(list), prepared: (decoded) => cache.prepared(decoded) };
}

export type PictureSourceOptions = Pick<BatchOptions, "batchSize" | "shuffle" | "seed" | "prefetch">;

/** Batches of prepared pictures: `x` u8 [N, crop, crop, 3], normalised inside the step. */
export function pictureSource(
  pictures: PreparedPictures,
  indices: readonly number[],
  options: PictureSourceOptions,
): BatchSource {
  const { dataset, spec, unreadable, strict, onUnreadable } = pictures;
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
      const how = { ...options, epoch, start, unreadable, strict, onUnreadable };
      for await (const { samples, next } of batchesThrough(dataset, indices, how, pictures.prepared)) {
        const x = stackPictures(
          samples.map((s) => s.bytes),
          spec.crop,
        );
        yield { x, labels: Int32Array.from(samples, (s) => s.label), next };
      }
    },
    toInput: (x) => normalizePictures(x, spec),
  };
}

const first = (unreadable: Unreadable) => [...unreadable.values()][0]?.message ?? "there are none";
