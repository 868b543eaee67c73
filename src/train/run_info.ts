// run.json: what a finished or running fine-tune is, for whoever uses it later.

import type { AdapterSummary } from "../gpu/device.ts";
import type { Preprocessing } from "../models/index.ts";
import type { Score } from "./steps.ts";

/** The options that decide what comes out of a run; a resumed run keeps them. */
export interface RunOptions {
  readonly model: string;
  readonly weights: string;
  readonly freeze: readonly string[];
  readonly unfrozenBlocks: number;
  readonly frozenBatchNorm: "running" | "batch";
  readonly head: string;
  readonly optimizer: "adam" | "adamw" | "sgd";
  readonly lr: number;
  readonly weightDecay: number;
  readonly momentum: number;
  readonly batchSize: number;
  readonly accumulate: number;
  readonly clipNorm: number | null;
  readonly imageSize: number | null;
  readonly val: number | null;
  readonly test: number | null;
  readonly group: string | null;
  readonly perClass: number | null;
  readonly limit: number | null;
  readonly monitor: "loss" | "accuracy";
  readonly seed: number;
}

export interface RunInfo {
  readonly format: 1;
  readonly status: "running" | "interrupted" | "failed" | "finished";
  readonly model: {
    readonly name: string;
    /** `linear` or `mlp:…`. */
    readonly head: string;
    readonly trainable: number;
    readonly parameters: number;
  };
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
  readonly options: RunOptions;
  readonly data: {
    readonly folder: string;
    readonly train: number;
    readonly val: number;
    readonly test: number;
    /** Of the paths and their division: a resumed run must have the same. */
    readonly fingerprint: string;
    readonly unreadable: readonly { readonly file: string; readonly reason: string }[];
    readonly notes: readonly string[];
  };
  readonly metrics: {
    readonly epochs: number;
    readonly bestEpoch: number;
    readonly train: Score | null;
    readonly val: Score | null;
    readonly test: Score | null;
  };
  readonly seed: number;
  readonly adapter: AdapterSummary;
  readonly versions: Readonly<Record<string, string>>;
  readonly started: string;
  readonly updated: string;
}
