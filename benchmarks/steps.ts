// Times steps of several engines in turn: a calibration run, then one step of each, round after round, so that whatever
// else the machine does falls on all of them alike.

import { median, summarize, type Timing } from "../src/core/timing.ts";
import { type Engine, PeerFailed, type StepResult } from "./engine.ts";
import type { Calibration } from "./machine.ts";

export interface Row extends Timing {
  readonly engine: string;
  /** Median time of the calibration kernel in the same rounds. */
  readonly calibrationMs: number;
  /** Median time over that of the calibration kernel. */
  readonly inCalibrations: number;
  /** Median processor time of a step; null where the engine does not tell. */
  readonly cpuMs: number | null;
  readonly firstMs: number;
  readonly dispatches: number | null;
  readonly pipelines: number | null;
  readonly newBuffers: number | null;
  readonly newBindGroups: number | null;
  readonly submits: number | null;
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

/** What the first two steps gave, which every engine takes before any step is timed. */
export interface Warm {
  readonly engine: string;
  readonly losses: readonly (number | null)[];
  /** Of a forward pass. */
  readonly logits: ArrayLike<number> | null;
}

/** An engine that could not take the steps. */
export interface Failure {
  readonly engine: string;
  readonly why: string;
  /** How long was waited in vain, where that was it. */
  readonly limitMs: number | null;
}

/** Told how the steps go. */
export interface Watch {
  /** An engine is about to take its first steps. */
  warming?(engine: string): void;
  /** All engines are warm and nothing is timed yet; throws where two of them differ. */
  warm?(engines: readonly Warm[]): void;
  /** A peer gave no answer: it is dropped, which is a result too. Without this it is an error. */
  failed?(failure: Failure): void;
  /** A round begins. */
  round?(n: number): void;
}

/** Two steps of an engine that are not timed: the first compiles, both are counted. */
async function warmUp(engine: Engine): Promise<StepResult[]> {
  return [await engine.step(true), await engine.step(true)];
}

interface Stepped {
  readonly engine: Engine;
  readonly warm: readonly StepResult[];
  readonly timed: StepResult[];
}

/** Result of `f`, or null where the engine is a peer that gave no answer and somebody is told. */
async function unlessFailed<T>(engine: Engine, watch: Watch, f: () => Promise<T>): Promise<T | null> {
  try {
    return await f();
  } catch (error) {
    if (!(error instanceof PeerFailed) || !watch.failed) throw error;
    watch.failed({ engine: engine.name, why: error.message, limitMs: error.limitMs });
    return null;
  }
}

/** Steps all engines in turn; the rows are those of the engines that answered. */
export async function timeSteps(
  engines: readonly Engine[],
  calibration: Pick<Calibration, "sample" | "samples">,
  rounds: Rounds,
  watch: Watch = {},
): Promise<Row[]> {
  let live: Stepped[] = [];
  for (const engine of engines) {
    watch.warming?.(engine.name);
    const warm = await unlessFailed(engine, watch, () => warmUp(engine));
    if (warm) live.push({ engine, warm, timed: [] });
  }
  watch.warm?.(live.map(warmOf));
  const start = performance.now();
  for (let r = 0; r < rounds.least || (r < rounds.most && performance.now() - start < rounds.budgetMs); r++) {
    watch.round?.(r + 1);
    await calibration.sample();
    for (const s of live) {
      const step = await unlessFailed(s.engine, watch, () => s.engine.step(false));
      if (step) s.timed.push(step);
      else live = live.filter((l) => l !== s);
    }
  }
  return live.map((s) => rowOf(s, live[0].timed, median(calibration.samples)));
}

const warmOf = ({ engine, warm }: Stepped): Warm => ({
  engine: engine.name,
  losses: warm.map((s) => s.loss),
  logits: warm[0].logits ?? null,
});

function rowOf({ engine, warm, timed }: Stepped, first: readonly StepResult[], calibrationMs: number): Row {
  const after = [...warm.slice(1), ...timed];
  // What a warm step makes: the most that any of the counted ones did.
  const most = (key: "newBuffers" | "dispatches" | "gpuBytes" | "newBindGroups" | "submits") => {
    const counts = after.flatMap((s) => s[key] ?? []);
    return counts.length > 0 ? Math.max(...counts) : null;
  };
  const cpu = timed.flatMap((s) => s.cpuMs ?? []);
  const timing = summarize(timed.map((s) => s.ms));
  return {
    engine: engine.name,
    ...timing,
    calibrationMs,
    inCalibrations: timing.ms / calibrationMs,
    cpuMs: cpu.length > 0 ? median(cpu) : null,
    firstMs: warm[0].ms,
    dispatches: most("dispatches"),
    pipelines: warm[0].pipelines ?? null,
    newBuffers: most("newBuffers"),
    newBindGroups: most("newBindGroups"),
    submits: most("submits"),
    gpuBytes: most("gpuBytes"),
    timesFirst: median(timed.map((s, r) => s.ms / first[r].ms)),
  };
}
