// The training loop: compiled steps over epochs of batches, validation after each, the last and the best checkpoint,
// early stopping, and going on where a former run stood. It knows no files and no terminal: what happens is told in
// events, checkpoints go to a store.

import { ThawError } from "../core/error.ts";
import { checkPatience, checkSchedule, type FitOptions, type FitResult } from "./fit_options.ts";
import { Pace } from "./pace.ts";
import {
  type CheckpointStore,
  type EpochRecord,
  memoryStore,
  type Progress,
  restoreSnapshot,
  type Snapshot,
  snapshotWeights,
  takeSnapshot,
} from "./snapshot.ts";
import type { BatchSource, TrainBatch } from "./source.ts";
import {
  Diverged,
  evaluator,
  IN_FLIGHT,
  type Network,
  type Score,
  scoreIn,
  scoreOf,
  Tally,
  throttled,
  trainStep,
} from "./steps.ts";

/**
 * Trains a network. The same seed, data and options give the same weights, bit for bit, on the same adapter, whether
 * or not the run was broken off and resumed. Throws Diverged when a loss is not a number any more (the store then
 * holds the last good checkpoint), UsageError for options out of range.
 */
export async function fit(model: Network, train: BatchSource, options: FitOptions): Promise<FitResult> {
  checkSchedule(options);
  checkPatience(options.patience ?? 0, options.val?.length ?? 0);
  return new Run(model, train, options).run();
}

class Run {
  readonly #model: Network;
  readonly #train: BatchSource;
  readonly #options: FitOptions;
  readonly #store: CheckpointStore;
  readonly #step: ReturnType<typeof trainStep>;
  readonly #validate: (() => Promise<Score>) | null;
  readonly #pace: Pace;
  #progress: Progress = {
    epoch: 0,
    position: 0,
    step: 0,
    batch: 0,
    sums: { loss: 0, correct: 0, count: 0 },
    seconds: 0,
    history: [],
    best: null,
  };
  #saved = performance.now();
  /** What the store's last checkpoint is of, for the message of a run that failed. */
  #lastGood = "";

  constructor(model: Network, train: BatchSource, options: FitOptions) {
    const { val, optimizer, loss, clipNorm } = options;
    this.#model = model;
    this.#train = train;
    this.#options = options;
    this.#store = options.store ?? memoryStore();
    this.#step = trainStep(model, optimizer, train, { loss, clipNorm });
    const onProgress = (done: number, total: number) =>
      options.onEvent?.({ event: "validation", epoch: this.#progress.epoch + 1, done, total });
    const where = () => `the validation of epoch ${this.#progress.epoch + 1}`;
    this.#validate = val ? evaluator(model, val, { loss, signal: options.signal, onProgress, where }) : null;
    this.#pace = new Pace(train.length, val?.length ?? 0);
  }

  async run(): Promise<FitResult> {
    const { epochs, resume } = this.#options;
    const resumed = resume ? await this.#store.load("last") : null;
    if (resumed) await this.#resume(resumed);
    else await this.#save(["last"]);
    this.#model.train();
    try {
      while (this.#progress.epoch < epochs && !this.#exhausted) await this.#epoch();
    } catch (error) {
      if (error instanceof Aborted) return this.#result("aborted");
      throw error;
    }
    return this.#result(this.#progress.epoch < epochs ? "early" : "finished");
  }

  async #resume(snapshot: Snapshot): Promise<void> {
    await restoreSnapshot(this.#model, this.#options.optimizer, snapshot);
    this.#progress = structuredClone(snapshot.state.progress);
    this.#lastGood = this.#where();
    const { epoch, batch } = this.#progress;
    this.#options.onEvent?.({ event: "resumed", epoch, batch, adapter: snapshot.state.adapter });
  }

  /** Whether patience has run out. */
  get #exhausted(): boolean {
    const { patience = 0 } = this.#options;
    const { best, epoch } = this.#progress;
    return patience > 0 && best !== null && epoch - best.epoch >= patience;
  }

  async #epoch(): Promise<void> {
    const p = this.#progress;
    const began = performance.now() - p.seconds * 1000;
    const elapsed = () => (performance.now() - began) / 1000;
    await this.#batches(elapsed);
    const train = scoreOf(p.sums);
    const trained = elapsed();
    const val = await this.#validated();
    this.#pace.validated(elapsed() - trained);
    const record: EpochRecord = {
      epoch: p.epoch + 1,
      train,
      val,
      lr: (this.#options.optimizer.paramGroups[0] as { lr?: number }).lr ?? 0,
      step: p.step,
      seconds: elapsed(),
      imagesPerSecond: train.count / trained,
    };
    const isBest = this.#improved(record);
    p.history.push(record);
    p.epoch++;
    p.position = 0;
    p.batch = 0;
    p.seconds = 0;
    p.sums = { loss: 0, correct: 0, count: 0 };
    await this.#save(isBest ? ["best", "last"] : ["last"]);
    this.#options.onEvent?.({ event: "epoch", epochs: this.#options.epochs, best: isBest, ...record });
  }

  async #validated(): Promise<Score | null> {
    try {
      const score = await this.#validate?.();
      return score ? scoreIn(score) : null;
    } catch (error) {
      if (this.#options.signal?.aborted) await this.#stop();
      throw this.#explained(error);
    }
  }

  #improved({ epoch, val }: EpochRecord): boolean {
    const { monitor = "loss" } = this.#options;
    const { best } = this.#progress;
    // Without validation every epoch is the best so far.
    const value = val ? val[monitor] : epoch;
    const better = best === null || (val && monitor === "loss" ? value < best.value : value > best.value);
    if (better) this.#progress.best = { epoch, value };
    return better;
  }

  async #batches(elapsed: () => number): Promise<void> {
    const p = this.#progress;
    const { signal, accumulate = 1, checkpointSeconds = 120 } = this.#options;
    const tally = new Tally(p.sums);
    const settle = async (leave = 0) => {
      p.sums = await tally.settle(leave).catch((error) => {
        throw this.#explained(error);
      });
      p.seconds = elapsed();
      this.#pace.trained(p.sums.count);
      this.#tell(p.batch - tally.pending);
    };
    this.#pace.begin(p.sums.count);
    let told = performance.now();
    for await (const group of groups(this.#train.epoch(p.epoch, p.position), accumulate)) {
      if (signal?.aborted) break;
      this.#step(group).forEach((report, i) => {
        const where = `epoch ${p.epoch + 1}, batch ${p.batch + 1 + i}`;
        tally.add(report, group[i].labels.length, where);
      });
      p.position = group[group.length - 1].next;
      p.batch += group.length;
      p.step++;
      await throttled();
      const now = performance.now();
      if (tally.full || now - told > TELL_MS) {
        await settle(IN_FLIGHT);
        told = now;
      }
      if (now - this.#saved >= checkpointSeconds * 1000) {
        await settle();
        await this.#save(["last"]);
      }
    }
    await settle();
    if (signal?.aborted) await this.#stop();
  }

  /** Tells how far the epoch is: `batch` of its batches are in the sums. */
  #tell(batch: number): void {
    const { sums, epoch } = this.#progress;
    const { epochs, onEvent } = this.#options;
    if (sums.count === 0) return;
    onEvent?.({
      event: "step",
      epoch: epoch + 1,
      epochs,
      batch,
      batches: Math.max(batch, this.#train.steps),
      loss: sums.loss / sums.count,
      accuracy: sums.correct / sums.count,
      ...this.#pace.estimate(sums.count, epochs - epoch - 1),
    });
  }

  /** Leaves in order: a checkpoint, then out of the loops. */
  async #stop(): Promise<never> {
    await this.#save(["last"]);
    throw new Aborted();
  }

  async #save(which: readonly ("last" | "best")[]): Promise<void> {
    const { optimizer, config, onEvent } = this.#options;
    const progress = structuredClone(this.#progress);
    const snapshot = await takeSnapshot(this.#model, optimizer, progress, config).catch((error) => {
      throw this.#explained(error);
    });
    for (const w of which) {
      await this.#store.save(w, snapshot);
      onEvent?.({ event: "checkpoint", which: w, epoch: progress.epoch });
    }
    this.#lastGood = this.#where();
    this.#saved = performance.now();
  }

  #where(): string {
    const { epoch, batch } = this.#progress;
    if (batch > 0) return `epoch ${epoch + 1}, batch ${batch}`;
    return epoch === 0 ? "the initial weights" : `the end of epoch ${epoch}`;
  }

  /** What a failure means for the run, in one sentence. */
  #explained(error: unknown): unknown {
    if (!(error instanceof Diverged)) return error;
    const { lr } = this.#options.optimizer.paramGroups[0] as { lr?: number };
    return new Diverged(
      `${error.message}: training stopped, a learning rate below ${lr} may help; the last good checkpoint is of ${this.#lastGood}`,
    );
  }

  async #result(end: FitResult["end"]): Promise<FitResult> {
    const { history, best } = this.#progress;
    const { restoreBest = true } = this.#options;
    const bestEpoch = best?.epoch ?? 0;
    if (restoreBest && end !== "aborted" && best && best.epoch !== history.length) {
      const snapshot = await this.#store.load("best");
      if (!snapshot) throw new ThawError("the best checkpoint is missing from the store");
      this.#model.loadStateDict(snapshotWeights(snapshot));
    }
    return { history, bestEpoch, val: history[bestEpoch - 1]?.val ?? null, end };
  }
}

/** How often progress is told. */
const TELL_MS = 250;

class Aborted extends Error {}

/** Batches in groups of `size`; the last group may be smaller. */
async function* groups(batches: AsyncIterable<TrainBatch>, size: number): AsyncIterable<TrainBatch[]> {
  let group: TrainBatch[] = [];
  for await (const batch of batches) {
    group.push(batch);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
