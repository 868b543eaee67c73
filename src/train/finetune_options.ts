// What `finetune` takes, tells and returns.

import type { FitEvent, FitResult } from "./fit_options.ts";
import type { GivenOptions } from "./run_options.ts";
import type { Score } from "./steps.ts";

export interface FinetuneOptions extends GivenOptions {
  /** Epochs in all, counted from the beginning of the run. Default 10, of a resumed run its own. */
  readonly epochs?: number;
  /** Stop after so many epochs without an improvement of the validation; 0 (default, but see `epochs`) never. */
  readonly patience?: number;
  /** The run's folder; `runs/<folder of pictures>-<model>` (or `…-2`, `…-3`) by default. */
  readonly out?: string;
  /**
   * Go on with the run in `out` where its last checkpoint stands; without `out`, with the newest unfinished run that
   * these pictures and `model` have in `runs`, or with their only one.
   */
  readonly resume?: boolean;
  /** Seconds between checkpoints in mid-epoch. Default 120. */
  readonly checkpointSeconds?: number;
  /** Stop at the first unreadable picture instead of leaving it out. */
  readonly strict?: boolean;
  /** Bytes of prepared pictures kept in memory; the others are decoded in every epoch. Default 512 MiB. */
  readonly cacheBytes?: number;
  /** Ends the run after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: FinetuneEvent) => void;
}

export type FinetuneEvent =
  | FitEvent
  /** Something that the user should know: what a default did, which class is missing where. */
  | { readonly event: "note"; readonly text: string }
  /** A picture is left out: told before the start, or while training if it did not fit in memory and was met late. */
  | { readonly event: "unreadable"; readonly file: string; readonly reason: string }
  /** Pictures decoded and resized, before training. */
  | { readonly event: "pictures"; readonly done: number; readonly total: number }
  | {
      readonly event: "start";
      readonly run: string;
      readonly model: string;
      readonly weights: string;
      readonly head: string;
      readonly classes: readonly string[];
      /** Pictures of each part that are readable as far as is known. */
      readonly train: number;
      readonly val: number;
      readonly test: number;
      /** Elements of parameters. */
      readonly parameters: number;
      readonly trainable: number;
      readonly imageSize: number;
      readonly batchSize: number;
      readonly epochs: number;
      readonly adapter: string;
    }
  | { readonly event: "test"; readonly done: number; readonly total: number };

export interface FinetuneResult {
  /** The run's folder. */
  readonly run: string;
  readonly end: FitResult["end"];
  /** Epochs finished, and the one whose weights were kept. */
  readonly epochs: number;
  readonly bestEpoch: number;
  /** Of the kept weights; null without validation or test pictures, or when the run was broken off. */
  readonly val: Score | null;
  readonly test: Score | null;
}
