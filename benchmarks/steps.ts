// Times steps of several engines in turn: a calibration run, then one step of each, round after round, so that whatever
// else the machine does falls on all of them alike.

import type { Engine, StepResult } from "./engine.ts";
import type { Calibration } from "./machine.ts";
import { median, summarize, type Timing } from "./timing.ts";

export interface Row extends Timing {
  readonly engine: string;
  /** Median time of the calibration kernel in the same rounds. */
  readonly calibrationMs: number;
  readonly firstMs: number;
  readonly dispatches: number | null;
  readonly pipelines: number | null;
  readonly newBuffers: number | null;
  readonly gpuBytes: number | null;
  /** Median over the rounds of this engine's time over the first engine's; 1 for the first. */
  readonly timesFirst: number;
}

export interface Rounds {
  readonly least: number;
  readonly most: number;
  readonly budgetMs: number;
}

/** How often to step: as asked, else enough for a median within a few seconds an engine. */
export function roundsFor(samples: number | null, engines: number): Rounds {
  if (samples !== null) return { least: samples, most: samples, budgetMs: 0 };
  return engines === 1
    ? { least: 5, most: 40, budgetMs: 8_000 }
    : { least: 3, most: 20, budgetMs: 15_000 * engines };
}

/** Losses of the first two steps, which every engine takes before any step is timed. */
export interface Warm {
  readonly engine: string;
  readonly losses: readonly (number | null)[];
}

/** Told how the steps go. */
export interface Watch {
  /** An engine is about to take its first steps. */
  warming?(engine: string): void;
  /** All engines are warm and nothing is timed yet; throws where two of them differ. */
  warm?(engines: readonly Warm[]): void;
  /** A round begins. */
  round?(n: number): void;
}

/** Two steps of an engine that are not timed: the first compiles, both are counted. */
async function warmUp(engine: Engine): Promise<StepResult[]> {
  return [await engine.step(true), await engine.step(true)];
}

/** Steps all engines in turn. */
export async function timeSteps(
  engines: readonly Engine[],
  calibration: Pick<Calibration, "sample" | "samples">,
  rounds: Rounds,
  watch: Watch = {},
): Promise<Row[]> {
  const warm: StepResult[][] = [];
  for (const e of engines) {
    watch.warming?.(e.name);
    warm.push(await warmUp(e));
  }
  watch.warm?.(engines.map((e, i) => ({ engine: e.name, losses: warm[i].map((s) => s.loss) })));
  const timed: StepResult[][] = engines.map(() => []);
  const start = performance.now();
  for (let r = 0; r < rounds.least || (r < rounds.most && performance.now() - start < rounds.budgetMs); r++) {
    watch.round?.(r + 1);
    await calibration.sample();
    for (const [i, e] of engines.entries()) timed[i].push(await e.step(false));
  }
  return engines.map((e, i) => rowOf(e.name, warm[i], timed[i], timed[0], median(calibration.samples)));
}

function rowOf(
  engine: string,
  warm: readonly StepResult[],
  timed: readonly StepResult[],
  first: readonly StepResult[],
  calibrationMs: number,
): Row {
  const after = [...warm.slice(1), ...timed];
  // What a warm step makes: the most that any of the counted ones did.
  const most = (key: "newBuffers" | "dispatches" | "gpuBytes") => {
    const counts = after.flatMap((s) => s[key] ?? []);
    return counts.length > 0 ? Math.max(...counts) : null;
  };
  return {
    engine,
    ...summarize(timed.map((s) => s.ms)),
    calibrationMs,
    firstMs: warm[0].ms,
    dispatches: most("dispatches"),
    pipelines: warm[0].pipelines ?? null,
    newBuffers: most("newBuffers"),
    gpuBytes: most("gpuBytes"),
    timesFirst: median(timed.map((s, r) => s.ms / first[r].ms)),
  };
}
