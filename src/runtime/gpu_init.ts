// What a GPU backend is opened with.

import type { DeviceOptions } from "../gpu/device.ts";
import type { RewriteOptions } from "../schedule/rewrites/index.ts";
import type { TuneMode } from "./tuning/tuner.ts";

export interface GpuInit extends DeviceOptions {
  readonly rewrites?: RewriteOptions;
  /** false: work on frozen state is done again at every run. */
  readonly hoist?: boolean;
  /** false: every intermediate keeps memory of its own. */
  readonly reuseSlots?: boolean;
  /** Shader texts by file stem, where the files cannot be fetched. */
  readonly shaders?: ReadonlyMap<string, string>;
  /**
   * What kernels are chosen by. "cached" (the default): by this machine's stored measurements where there are any, else
   * by the shipped heuristics; nothing is timed. "on": calls without a measurement are timed when their plan is made
   * ready, which takes a while, and stored. "off": by the heuristics alone; nothing is read.
   */
  readonly tune?: TuneMode;
}
