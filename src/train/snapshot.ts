// A training run at one moment, complete: weights, optimizer, randomness, place in the data, sums so far, kernel
// choices. Restored into a fresh process it goes on to the same bits.

import type { HostArray } from "../core/dtype.ts";
import { DataError } from "../core/error.ts";
import { adapterName } from "../gpu/device.ts";
import { exportState, type Module } from "../nn/index.ts";
import type { Optimizer } from "../optim/index.ts";
import { runtime } from "../runtime/context.ts";
import type { Choice } from "../schedule/select.ts";
import type { WriteEntry } from "../weights/index.ts";
import { Diverged, type Score, type Sums } from "./steps.ts";

/** What one epoch gave. */
export interface EpochRecord {
  /** Counted from 1. */
  readonly epoch: number;
  /** Over the epoch's batches, in train mode, while the weights moved. */
  readonly train: Score;
  /** With the weights at the end of the epoch, in eval mode. */
  readonly val: Score | null;
  readonly lr: number;
  /** Steps of the optimizer since the beginning. */
  readonly step: number;
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

/** Where a run stands. */
export interface Progress {
  /** Epochs finished. */
  epoch: number;
  /** Place in the epoch's order where the next batch begins; above 0 in mid-epoch. */
  position: number;
  /** Batches done of the epoch under way. */
  batch: number;
  /** Steps of the optimizer since the beginning. */
  step: number;
  /** Of the epoch under way. */
  sums: Sums;
  /** Seconds spent on the epoch under way. */
  seconds: number;
  history: EpochRecord[];
  /** The epoch that was best by the monitored value, and that value. */
  best: { epoch: number; value: number } | null;
}

/** The part of a snapshot that is not arrays. */
export interface SnapshotState {
  readonly version: 1;
  readonly progress: Progress;
  readonly random: {
    readonly seed: number;
    readonly step: number;
    readonly generator: { readonly seed: number; readonly position: number };
  };
  readonly optimizer: {
    readonly kind: string;
    readonly groups: readonly object[];
    /** Names of the parameters it holds, in its order, and the steps each has taken. */
    readonly params: readonly { readonly name: string; readonly step: number }[];
  };
  /** The adapter that the run was on, and its choice of kernels. */
  readonly adapter: string;
  readonly choices: readonly (readonly [string, Choice])[];
  /** The caller's own, e.g. the options of the command. */
  readonly config: unknown;
}

export interface Snapshot {
  /** `model.<name>` and `optimizer.<moment>.<name>`. */
  readonly tensors: ReadonlyMap<string, WriteEntry>;
  readonly state: SnapshotState;
}

/** Where snapshots are kept. */
export interface CheckpointStore {
  save(which: "last" | "best", snapshot: Snapshot): Promise<void>;
  load(which: "last" | "best"): Promise<Snapshot | null>;
}

/** Keeps snapshots in memory: enough for the best weights of a run in a page. */
export function memoryStore(): CheckpointStore {
  const kept = new Map<string, Snapshot>();
  return {
    save: async (which, snapshot) => {
      kept.set(which, snapshot);
    },
    load: async (which) => kept.get(which) ?? null,
  };
}

const MODEL = "model.";
const OPTIMIZER = "optimizer.";

/** The names of an optimizer's parameters in its order. */
function paramNames(model: Module, optimizer: Optimizer<object>): string[] {
  const names = new Map([...model.namedParameters()].map(([name, p]) => [p, name]));
  return optimizer.paramGroups.flatMap((g) =>
    g.params.map((p) => {
      const name = names.get(p);
      if (name === undefined)
        throw new DataError("checkpoint: the optimizer holds a parameter that is not the model's");
      return name;
    }),
  );
}

/** Takes a snapshot. Throws Diverged when a weight is not a finite number: such a state must not replace a good one. */
export async function takeSnapshot(
  model: Module,
  optimizer: Optimizer<object>,
  progress: Progress,
  config: unknown = null,
): Promise<Snapshot> {
  const tensors = new Map<string, WriteEntry>();
  for (const [name, entry] of await exportState(model)) {
    checkFinite(name, entry.data);
    tensors.set(MODEL + name, entry as WriteEntry);
  }
  const { groups, params } = optimizer.stateDict();
  const names = paramNames(model, optimizer);
  for (const [i, { moments }] of params.entries()) {
    for (const [moment, t] of Object.entries(moments)) {
      const data = (await t.data()) as Float32Array;
      tensors.set(`${OPTIMIZER}${moment}.${names[i]}`, { shape: t.shape, dtype: "f32", data });
    }
  }
  const rt = runtime();
  const { adapter, choices } = await rt.backend();
  return {
    tensors,
    state: {
      version: 1,
      progress: structuredClone(progress),
      random: {
        seed: rt.random.seed,
        step: rt.random.step,
        generator: { seed: rt.generator.seed, position: rt.generator.position },
      },
      optimizer: {
        kind: optimizer.constructor.name,
        groups,
        params: params.map((p, i) => ({ name: names[i], step: p.step })),
      },
      adapter: adapterName(adapter),
      choices: [...choices],
      config,
    },
  };
}

function checkFinite(name: string, data: HostArray | BigInt64Array): void {
  if (data instanceof Float32Array && !data.every(Number.isFinite))
    throw new Diverged(`${name} became ${data.find((v) => !Number.isFinite(v))}`);
}

/** The weights alone, as `loadStateDict` takes them. */
export function snapshotWeights(snapshot: Snapshot): Map<string, WriteEntry & { dtype: string }> {
  const own = [...snapshot.tensors].filter(([name]) => name.startsWith(MODEL));
  return new Map(
    own.map(([name, e]) => [name.slice(MODEL.length), e as WriteEntry & { dtype: string }] as const),
  );
}

/**
 * Puts model, optimizer, randomness and kernel choices back as they were. Throws DataError when the snapshot is of
 * another model, optimizer or set of trained parameters.
 */
export async function restoreSnapshot(
  model: Module,
  optimizer: Optimizer<object>,
  snapshot: Snapshot,
): Promise<void> {
  const { tensors, state } = snapshot;
  if (state.version !== 1) throw new DataError(`the checkpoint has version ${state.version}, not 1`);
  const names = paramNames(model, optimizer);
  const { kind, params, groups } = state.optimizer;
  if (kind !== optimizer.constructor.name)
    throw new DataError(`the checkpoint was trained with ${kind}, not ${optimizer.constructor.name}`);
  if (params.length !== names.length || params.some((p, i) => p.name !== names[i])) {
    throw new DataError(
      `the checkpoint trains ${params.length} parameters, this run ${names.length}, or other ones; freeze as it did`,
    );
  }
  model.loadStateDict(snapshotWeights(snapshot), { source: "the checkpoint" });
  optimizer.loadStateDict({
    groups,
    params: params.map(({ name, step }) => ({ step, moments: momentsOf(tensors, name) })),
  });
  const rt = runtime();
  rt.random.reset(state.random.seed);
  rt.random.step = state.random.step;
  rt.reseed(state.random.generator.seed);
  rt.generator.position = state.random.generator.position;
  const { choices } = await rt.backend();
  for (const [key, choice] of state.choices) choices.set(key, choice);
}

function momentsOf(tensors: Snapshot["tensors"], name: string): Record<string, Float32Array> {
  const own: Record<string, Float32Array> = {};
  for (const [key, entry] of tensors) {
    if (key.startsWith(OPTIMIZER) && key.endsWith(`.${name}`)) {
      const moment = key.slice(OPTIMIZER.length, -name.length - 1);
      if (!moment.includes(".")) own[moment] = entry.data as Float32Array;
    }
  }
  return own;
}
