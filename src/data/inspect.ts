// Looking at every picture before training starts, so that broken files are named at once and not in mid-epoch.
import { DataError } from "../core/error.ts";
import { samples } from "./loader.ts";
import type { Dataset, Sample, Unreadable } from "./picture.ts";

export interface InspectOptions {
  /** Which pictures; all by default. */
  readonly indices?: readonly number[];
  /** Throw at the first unreadable picture. */
  readonly strict?: boolean;
  /** Asked after each picture: true ends the inspection. */
  readonly enough?: () => boolean;
  /** Given each readable picture, in order; the next one waits for it. */
  readonly onSample?: (sample: Sample) => Promise<void> | void;
  readonly onProgress?: (done: number, total: number) => void;
  readonly onUnreadable?: (error: DataError, index: number) => void;
  readonly concurrency?: number;
}

export interface Inspection {
  /** Pictures that cannot be read; pass it on to `batches`. */
  readonly unreadable: Unreadable;
  /** False when `enough` ended it before the last picture. */
  readonly complete: boolean;
}

/**
 * Decodes the pictures once, whole: a header says nothing of a file that is cut short. Over a `cached` data set this
 * costs nothing extra, as the first epoch finds them decoded; end it with `enough: () => cache.full` and let `batches`
 * find the rest of the broken files as it goes, which gives the same batches. Throws DataError when `strict` and a
 * picture is unreadable, or when no picture of a class is readable.
 */
export async function inspect(dataset: Dataset, options: InspectOptions = {}): Promise<Inspection> {
  const indices = options.indices ?? Array.from({ length: dataset.length }, (_, i) => i);
  const unreadable: Unreadable = new Map();
  const { strict, onUnreadable, concurrency } = options;
  let last = -1;
  for await (const sample of samples(dataset, indices, {
    unreadable,
    strict,
    onUnreadable,
    concurrency,
  })) {
    last = sample.position;
    await options.onSample?.(sample);
    options.onProgress?.(last + 1, indices.length);
    if (options.enough?.()) break;
  }
  const complete = indices.slice(last + 1).every((i) => unreadable.has(i));
  if (complete) {
    options.onProgress?.(indices.length, indices.length);
    checkReadable(dataset, indices, unreadable);
  }
  return { unreadable, complete };
}

/** Throws DataError when nothing can be read of a class among the pictures: it cannot be learned. */
export function checkReadable(dataset: Dataset, indices: readonly number[], unreadable: Unreadable): void {
  const readable = new Set(indices.filter((i) => !unreadable.has(i)).map((i) => dataset.label(i)));
  const lost = indices.find((i) => !readable.has(dataset.label(i)));
  if (lost === undefined) return;
  const name = dataset.classes[dataset.label(lost)];
  throw new DataError(`no picture of class ${name} can be read; the first: ${unreadable.get(lost)?.message}`);
}
