// run.json: what a finished or running fine-tune is, for whoever uses it later.

import { DataError } from "../core/error.ts";
import type { AdapterSummary } from "../gpu/device.ts";
import { list, type Preprocessing } from "../models/index.ts";
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

/** What else a run was asked to do; a resumed run keeps it unless it is asked otherwise. */
export interface RunSchedule {
  readonly epochs: number;
  readonly patience: number;
  readonly checkpointSeconds: number;
  readonly strict: boolean;
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
  /** Runs of older versions have none. */
  readonly schedule?: RunSchedule;
  readonly data: {
    readonly folder: string;
    readonly train: number;
    readonly val: number;
    readonly test: number;
    /** Of the paths and their division: a resumed run must have the same. */
    readonly fingerprint: string;
    /** Of the files' contents; runs of older versions have none. */
    readonly contents?: string;
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

type Fields = Readonly<Record<string, unknown>>;

const isObject = (v: unknown): v is Fields => typeof v === "object" && v !== null && !Array.isArray(v);
const isText = (v: unknown) => typeof v === "string" && v !== "";
const isSize = (v: unknown) => Number.isInteger(v) && (v as number) > 0;
const isTriple = (v: unknown) => Array.isArray(v) && v.length === 3 && v.every(Number.isFinite);

/** What whoever uses a run relies on. */
const NEEDED: readonly (readonly [path: string, fits: (v: unknown) => boolean])[] = [
  ["model.name", isText],
  ["model.head", isText],
  ["classes", (v) => Array.isArray(v) && v.length > 0 && v.every((c) => typeof c === "string")],
  ["preprocessing.resize", isSize],
  ["preprocessing.crop", isSize],
  ["preprocessing.interpolation", isText],
  ["preprocessing.mean", isTriple],
  ["preprocessing.std", isTriple],
  ["preprocessing.order", (v) => v === undefined || v === "rgb" || v === "bgr"],
  ["options.model", isText],
  ["options.seed", Number.isInteger],
  ["data.folder", isText],
  ["data.fingerprint", isText],
  ["metrics", isObject],
];

/** The content of a run.json called `name`. Throws DataError when it is damaged or of another format. */
export function parseRunInfo(text: string, name: string): RunInfo {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DataError(`${name} is damaged: it is not valid JSON`);
  }
  if (!isObject(value)) throw new DataError(`${name} is damaged: expected a JSON object`);
  const { format } = value;
  if (format === undefined) throw new DataError(`${name} does not describe a run: it has no "format"`);
  if (format !== 1)
    throw new DataError(`${name} has format ${JSON.stringify(format)}, but this Thaw reads format 1`);
  for (const [path, fits] of NEEDED) {
    const found = path.split(".").reduce((v: unknown, key) => (isObject(v) ? v[key] : undefined), value);
    if (!fits(found)) throw new DataError(`${name} is damaged: its "${path}" is missing or wrong`);
  }
  const info = value as unknown as RunInfo;
  if (!list().includes(info.model.name))
    throw new DataError(`${name} is of the model ${info.model.name}, but this Thaw has ${list().join(", ")}`);
  return info;
}
