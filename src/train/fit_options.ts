// What `fit` takes, tells and returns.

import { UsageError } from "../core/error.ts";
import type { Optimizer } from "../optim/index.ts";
import type { CheckpointStore, EpochRecord } from "./snapshot.ts";
import type { BatchSource } from "./source.ts";
import type { LossFunction, Score } from "./steps.ts";

export interface FitOptions {
  /** Epochs in all, counted from the beginning of the run. */
  readonly epochs: number;
  readonly optimizer: Optimizer<object>;
  /** Default cross entropy. */
  readonly loss?: LossFunction;
  /** Held-out samples; without them the last weights count as the best. */
  readonly val?: BatchSource;
  /** Batches whose gradients are added up for one step of the optimizer. Default 1. */
  readonly accumulate?: number;
  /** Gradients are scaled down to this 2-norm over all parameters. */
  readonly clipNorm?: number;
  /** What decides which epoch is best: validation "loss" (default) or "accuracy". */
  readonly monitor?: "loss" | "accuracy";
  /** Stop after so many epochs without an improvement; 0 (default) never. */
  readonly patience?: number;
  /** Put the best weights back at the end. Default true. */
  readonly restoreBest?: boolean;
  /** Where checkpoints go; in memory by default. */
  readonly store?: CheckpointStore;
  /** Seconds between checkpoints in mid-epoch; there is one after every epoch anyway. Default 120; 0 after every step. */
  readonly checkpointSeconds?: number;
  /** Go on from the store's last checkpoint, if there is one. */
  readonly resume?: boolean;
  /** Kept in every checkpoint. */
  readonly config?: unknown;
  /** Ends the run after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: FitEvent) => void;
}

export type FitEvent =
  | {
      readonly event: "step";
      readonly epoch: number;
      readonly epochs: number;
      /** Batches done in this epoch, and their number. */
      readonly batch: number;
      readonly batches: number;
      /** Means over the epoch so far. */
      readonly loss: number;
      readonly accuracy: number;
      readonly imagesPerSecond: number;
      /** Estimate for the rest of the run, validation included. */
      readonly secondsLeft: number;
    }
  | { readonly event: "validation"; readonly epoch: number; readonly done: number; readonly total: number }
  | ({ readonly event: "epoch"; readonly epochs: number; readonly best: boolean } & EpochRecord)
  | { readonly event: "resumed"; readonly epoch: number; readonly batch: number; readonly adapter: string }
  | { readonly event: "checkpoint"; readonly which: "last" | "best"; readonly epoch: number };

export interface FitResult {
  readonly history: readonly EpochRecord[];
  /** The epoch whose weights the model now has (with `restoreBest`), 0 when none was finished. */
  readonly bestEpoch: number;
  /** Validation of those weights. */
  readonly val: Score | null;
  readonly end: "finished" | "early" | "aborted";
}

/** The options of `fit` that are numbers and words. */
export type Schedule = Pick<
  FitOptions,
  "epochs" | "accumulate" | "patience" | "clipNorm" | "monitor" | "checkpointSeconds"
>;

/** Throws UsageError for what is out of range. */
export function checkSchedule(o: Schedule): void {
  const whole = (name: string, v: number | undefined, least: number) => {
    if (v !== undefined && (!Number.isInteger(v) || v < least))
      throw new UsageError(`${name} must be a whole number of at least ${least}, not ${v}`);
  };
  whole("epochs", o.epochs, 1);
  whole("accumulate", o.accumulate, 1);
  whole("patience", o.patience, 0);
  if (o.checkpointSeconds !== undefined && !(o.checkpointSeconds >= 0))
    throw new UsageError(`checkpoint-seconds must be at least 0, not ${o.checkpointSeconds}`);
  if (o.clipNorm !== undefined && !(o.clipNorm > 0))
    throw new UsageError(`clip-norm must be above 0, not ${o.clipNorm}`);
  if (o.monitor !== undefined && o.monitor !== "loss" && o.monitor !== "accuracy")
    throw new UsageError(`monitor must be loss or accuracy, not ${o.monitor}`);
}

/** Throws UsageError for a patience that has nothing to wait for. */
export function checkPatience(patience: number, held: number): void {
  if (patience > 0 && held === 0)
    throw new UsageError("patience needs validation pictures: there is nothing to wait for without them");
}
