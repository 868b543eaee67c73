// What `finetune` takes, tells and returns.

import type { FitEvent, FitResult } from "./fit_options.ts";
import type { GivenOptions } from "./run_options.ts";
import type { Score } from "./steps.ts";

export interface FinetuneOptions extends GivenOptions {
  /** Epochs in all, counted from the beginning of the run. Default 10. */
  readonly epochs?: number;
  /** Stop after so many epochs without an improvement of the validation; 0 (default) never. */
  readonly patience?: number;
  /** The run's folder; `runs/<folder of pictures>-<model>` (or `…-2`, `…-3`) by default. */
  readonly out?: string;
  /** Go on with the run in `out` where its last checkpoint stands. */
  readonly resume?: boolean;
  /** Seconds between checkpoints in mid-epoch. Default 120. */
  readonly checkpointSeconds?: number;
  /** Stop at the first unreadable picture instead of leaving it out. */
  readonly strict?: boolean;
  /** Ends the run after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: FinetuneEvent) => void;
}

export type FinetuneEvent =
  | FitEvent
  /** Something that the user should know: what a default did, which class is missing where. */
  | { readonly event: "note"; readonly text: string }
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
      /** Readable pictures of each part. */
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
