// What executes flushes: the WebGPU backend, and the float64 interpreter. A backend sees graphs, sources and results,
// never tensors.

import type { HostArray } from "../core/dtype.ts";
import type { AdapterSummary } from "../gpu/device.ts";
import type { Cut } from "../graph/cut.ts";
import type { Result, Scalars, Source, StateSlice, Storage } from "../graph/leaf.ts";

import type { Plan } from "../schedule/plan.ts";
import type { Choices } from "../schedule/select.ts";

export type { Cut } from "../graph/cut.ts";

/** What differs from run to run of a cut. */
export interface Run {
  /** Replacements of leaf sources: a compiled step's arguments. */
  readonly sources: ReadonlyMap<Source, Source>;
  /** This run's numbers. */
  readonly scalars: ReadonlyMap<Scalars, readonly number[]>;
  /** Filled with locations, one per root. */
  readonly results: readonly Result[];
}

export interface Backend {
  readonly name: string;
  /** What it runs on, for reports and checkpoints. */
  readonly adapter: AdapterSummary;
  /** Kernel choices made so far, by call; saved in checkpoints, because bit-identity holds for one choice. */
  readonly choices: Choices;
  /**
   * Executes the cut: fills the results' locations, applies the effects. Runs are awaited one after another.
   * `reuse`: the same cut object will come again (a compiled step), so its plan may be found by identity.
   */
  run(cut: Cut, run: Run, reuse: boolean): Promise<void>;
  /** The plan of a cut, without making it ready or running it; a backend that interprets has none. */
  plan?(cut: Cut): Plan;
  /** The host's copy of a result. */
  read(result: Result): Promise<HostArray>;
  readState(slice: StateSlice): Promise<HostArray>;
  /** Replaces the contents of a slice. */
  writeState(slice: StateSlice, data: HostArray): Promise<void>;
  /** Forgets storages that nobody uses any more. */
  free(storages: readonly Storage[]): void;
  /** The cut of a compiled step will not come again. */
  forget(cut: Cut): Promise<void>;
  /** Resolves when at most `steps` runs are unfinished on the device. */
  throttle(steps: number): Promise<void>;
  /** Largest binding in bytes: what flat state is chunked at. */
  readonly bindingLimit: number;
  close(): Promise<void>;
}
