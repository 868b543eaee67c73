// Batches of decoded pictures: which picture comes when, decoding ahead while the GPU works, and files that turn out
// to be unreadable. No resizing and no tensor here; a batch is a list of pictures of any sizes.
import { DataError, UsageError } from "../core/error.ts";
import { type Dataset, nameOf, type Picture, type Sample, type Unreadable } from "./picture.ts";
import { byRank, purposeKey, rankOfIndex } from "./rank.ts";

export interface OrderOptions {
  /** Default false: the order of `indices`. */
  readonly shuffle?: boolean;
  readonly seed?: number;
  /** Another epoch is another order. Default 0. */
  readonly epoch?: number;
}

export interface LoadOptions extends OrderOptions {
  /** Decodes in flight at once; default 4, the threads of libuv's pool. */
  readonly concurrency?: number;
  /** Bytes of pixels that may wait decoded; default 256 MiB. At least one picture is always fetched. */
  readonly prefetchBytes?: number;
  /** Position in the epoch's order to start at: `Batch.next` of the last batch that was used. Default 0. */
  readonly start?: number;
  /** Pictures known to be unreadable, which are passed over; newly found ones are added. Share it between epochs. */
  readonly unreadable?: Unreadable;
  /** Told of each picture that is newly found to be unreadable. */
  readonly onUnreadable?: (error: DataError, index: number) => void;
  /** Throw at the first unreadable picture instead of leaving it out. */
  readonly strict?: boolean;
}

export interface ChunkOptions {
  readonly batchSize: number;
  /** Leave out a last batch that is not full. */
  readonly dropLast?: boolean;
}

export interface BatchOptions extends LoadOptions, ChunkOptions {
  /** Batches decoded ahead of the one in use; default 2. */
  readonly prefetch?: number;
}

/** Pictures that are trained on together. */
export interface Batch<T = Sample> {
  readonly samples: T[];
  /** The position after this batch in the epoch's order, for `start`. */
  readonly next: number;
}

/**
 * The order of an epoch. Each picture's place is decided by a rank from (seed, epoch, its number), so that leaving
 * pictures out, or listing them otherwise, does not change the order of the rest.
 */
export function epochOrder(indices: Iterable<number>, options: OrderOptions = {}): number[] {
  if (!options.shuffle) return [...indices];
  const key = purposeKey(options.seed ?? 0, `shuffle ${options.epoch ?? 0}`);
  return byRank(indices, (i) => rankOfIndex(key, i));
}

type Outcome = { readonly picture: Picture } | { readonly error: unknown };

/**
 * Decodes the pictures of `order` ahead of use, at most `window` beyond the one that is asked for, and yields them in
 * that order whatever the time each takes. Ending the loop early stops it; what is in flight is awaited, and nothing
 * is left running. An unreadable picture (DataError from `get`) is left out; any other error is thrown.
 */
export async function* samples(
  dataset: Dataset,
  order: readonly number[],
  options: LoadOptions & { readonly window?: number } = {},
): AsyncGenerator<Sample, void, undefined> {
  const { concurrency = 4, prefetchBytes = 256 * 2 ** 20, window = 64, start = 0 } = options;
  const { unreadable = new Map<number, DataError>() } = options;
  const queue: { position: number; outcome: Promise<Outcome> }[] = [];
  let position = start;
  let active = 0;
  let waiting = 0;
  let stopped = false;

  async function fetch(index: number): Promise<Outcome> {
    active++;
    const outcome: Outcome = await Promise.resolve()
      .then(() => dataset.get(index))
      .then(
        (picture) => ({ picture }),
        (error: unknown) => ({ error }),
      );
    active--;
    if ("picture" in outcome) waiting += outcome.picture.data.byteLength;
    fill();
    return outcome;
  }

  /** Starts decodes up to the limits; runs again whenever one ends, so it goes on while nobody asks. */
  function fill(): void {
    while (!stopped && position < order.length) {
      if (active >= concurrency || queue.length >= window) return;
      if (waiting >= prefetchBytes && queue.length > 0) return;
      const at = position++;
      if (!unreadable.has(order[at])) queue.push({ position: at, outcome: fetch(order[at]) });
    }
  }

  try {
    fill();
    for (let head = queue.shift(); head; head = queue.shift()) {
      const outcome = await head.outcome;
      const index = order[head.position];
      if ("picture" in outcome) {
        waiting -= outcome.picture.data.byteLength;
        fill();
        const { data, height, width } = outcome.picture;
        const path = nameOf(dataset, index);
        yield { data, height, width, label: dataset.label(index), index, path, position: head.position };
      } else {
        report(outcome.error, index, unreadable, options);
        fill();
      }
    }
  } finally {
    stopped = true;
    await Promise.all(queue.map((entry) => entry.outcome));
  }
}

/** Notes an unreadable picture, or throws what is not one picture's fault. */
function report(error: unknown, index: number, unreadable: Unreadable, options: LoadOptions): void {
  if (!(error instanceof DataError) || options.strict) throw error;
  if (unreadable.has(index)) return;
  unreadable.set(index, error);
  options.onUnreadable?.(error, index);
}

/**
 * Groups any stream into lists of `batchSize`. A last list of one joins the one before (batch norm cannot normalise
 * a single value), unless lists of one were asked for; `dropLast` leaves out a last list that is not full.
 * Reads at most two items ahead of the list it yields. Throws UsageError unless batchSize is whole and positive.
 */
export async function* chunk<T>(
  source: AsyncIterable<T> | Iterable<T>,
  { batchSize, dropLast = false }: ChunkOptions,
): AsyncGenerator<T[], void, undefined> {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new UsageError(`batch-size must be a whole number of at least 1, not ${batchSize}`);
  }
  let items: T[] = [];
  for await (const item of source) {
    items.push(item);
    if (items.length < batchSize + 2) continue;
    yield items.slice(0, batchSize);
    items = items.slice(batchSize);
  }
  const joins = batchSize > 1 && !dropLast && items.length === batchSize + 1;
  while (items.length > 0) {
    const size = joins ? items.length : batchSize;
    if (items.length >= batchSize || !dropLast) yield items.slice(0, size);
    items = items.slice(size);
  }
}

/** How many batches `chunk` makes of `n` items. */
export function batchCount(n: number, { batchSize, dropLast = false }: ChunkOptions): number {
  const whole = Math.floor(n / batchSize);
  const rest = n % batchSize;
  return rest === 0 || dropLast || (rest === 1 && whole > 0) ? whole : whole + 1;
}

/**
 * The batches of one epoch. Order and composition depend on (indices, shuffle, seed, epoch) and on which files are
 * readable, never on timing: an unreadable picture is left out and those after it move up. To go on in mid-epoch,
 * pass the `next` of the last batch as `start`.
 *
 * Throws UsageError for a bad batch size; DataError when `strict` and a picture is unreadable, or when all are.
 */
export function batches(
  dataset: Dataset,
  indices: Iterable<number>,
  options: BatchOptions,
): AsyncGenerator<Batch, void, undefined> {
  return batchesThrough(dataset, indices, options, (decoded) => decoded);
}

/** The same of what `through` makes of the decoded pictures: one item for each, in their order. */
export async function* batchesThrough<T extends Pick<Sample, "position">>(
  dataset: Dataset,
  indices: Iterable<number>,
  options: BatchOptions,
  through: (decoded: AsyncIterable<Sample>) => AsyncIterable<T>,
): AsyncGenerator<Batch<T>, void, undefined> {
  const order = epochOrder(indices, options);
  const { unreadable = new Map<number, DataError>(), batchSize, prefetch = 2 } = options;
  const window = Math.max(1, prefetch) * batchSize + 2;
  let count = 0;
  const items = through(samples(dataset, order, { ...options, unreadable, window }));
  for await (const list of chunk(items, options)) {
    count++;
    yield { samples: list, next: list[list.length - 1].position + 1 };
  }
  const bad = order.find((i) => unreadable.has(i));
  if (count === 0 && bad !== undefined && order.every((i) => unreadable.has(i))) {
    throw new DataError(
      `none of the ${order.length} pictures can be read; the first: ${unreadable.get(bad)?.message}`,
    );
  }
}
