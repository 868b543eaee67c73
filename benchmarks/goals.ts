// What the project set out to reach on software Vulkan, against what this run measured. A ratio is one of medians of the
// same rounds.

import { digits, percent } from "./format.ts";
import type { Case, What } from "./options.ts";
import { type Report, round, table } from "./report.ts";
import type { CaseResult } from "./step_course.ts";

export interface Goal {
  readonly what: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Null where it was not measured; `note` says why. */
  readonly measured: number | null;
  readonly unit: string;
  readonly note?: string;
}

interface StepGoal {
  readonly shape: Pick<Case, "batch" | "size">;
  /** How many times as long the peer's step takes. */
  readonly times: Readonly<Record<string, number>>;
  readonly calibrations: number;
}

const SMALL = { batch: 8, size: 64 };
export const STEP_GOALS: Readonly<Record<What, StepGoal>> = {
  all: { shape: SMALL, times: { "tfjs-webgpu": 15, "jax-js": 10 }, calibrations: 240 },
  last: { shape: SMALL, times: { "tfjs-webgpu": 11, "jax-js": 5.5 }, calibrations: 95 },
  head: { shape: SMALL, times: { "tfjs-webgpu": 10, "jax-js": 6 }, calibrations: 78 },
  forward: { shape: { batch: 1, size: 224 }, times: { "tfjs-webgpu": 9, "jax-js": 9 }, calibrations: 112 },
};

const MOST_PIPELINES = 45;
const SUBMIT_MS = 300;
const COLD_MS = 15_000;

export function isMet({ atLeast, atMost, measured }: Goal): boolean | null {
  if (measured === null) return null;
  return (
    measured >= (atLeast ?? Number.NEGATIVE_INFINITY) && measured <= (atMost ?? Number.POSITIVE_INFINITY)
  );
}

/** How a peer's time compares, or why it does not. */
function timesGoal(r: CaseResult, peer: string, atLeast: number): Goal {
  const [thaw] = r.rows;
  const row = r.rows.find((x) => x.engine === peer);
  const base = { what: `${r.case.what}: ${peer} over Thaw`, atLeast, unit: "times as long" };
  if (row) return { ...base, measured: row.ms / thaw.ms };
  const failure = r.failures.find((f) => f.engine === peer);
  const note = failure?.why ?? r.leftOut.get(peer) ?? `${peer} was not run`;
  return { ...base, measured: null, note };
}

function calibrationGoal(r: CaseResult, atMost: number): Goal {
  const base = { what: `${r.case.what}: Thaw`, atMost, unit: "calibrations" };
  if (r.calibration === "subgroup32") return { ...base, measured: r.rows[0].inCalibrations };
  return { ...base, measured: null, note: "stated for the kernel with subgroups, which this device has not" };
}

/** What a warm full step may make and need. */
function planGoals({ rows: [thaw] }: CaseResult): Goal[] {
  const at = (what: string, atMost: number, measured: number | null, unit: string): Goal => ({
    what: `all: ${what}`,
    atMost,
    measured,
    unit,
  });
  return [
    at("distinct pipelines", MOST_PIPELINES, thaw.pipelines, "pipelines"),
    at("new buffers in a warm step", 0, thaw.newBuffers, "buffers"),
    at("new bind groups in a warm step", 0, thaw.newBindGroups, "bind groups"),
    at("submits in a warm step", Math.max(3, Math.ceil(thaw.ms / SUBMIT_MS)), thaw.submits, "submits"),
  ];
}

/** Whether goals are stated for the shape of this step. */
export function isStated(c: Case): boolean {
  const { batch, size } = STEP_GOALS[c.what].shape;
  return c.batch === batch && c.size === size;
}

/** The goals of the steps that were timed at the shapes for which goals are stated. */
export function stepGoals(results: readonly CaseResult[]): Goal[] {
  const stated = results.filter((r) => isStated(r.case));
  return stated.flatMap((r) => {
    const goal = STEP_GOALS[r.case.what];
    return [
      ...Object.entries(goal.times).map(([peer, times]) => timesGoal(r, peer, times)),
      calibrationGoal(r, goal.calibrations),
      ...(r.case.what === "all" ? planGoals(r) : []),
    ];
  });
}

export const coldGoal = (ms: number): Goal => ({
  what: "all: first step of a process, no shader cached",
  atMost: COLD_MS,
  measured: ms,
  unit: "ms",
});

/** `kept`: what PyTorch needs for the same step. */
export const memoryGoal = (planned: number, kept: number | null): Goal => ({
  what: "all at 32×3×224×224: memory of activations and their gradients",
  atMost: 1 / 3,
  measured: kept === null ? null : planned / kept,
  unit: "of PyTorch's",
  note: kept === null ? "no PyTorch was run" : undefined,
});

function shown(value: number, unit: string): string {
  return unit.startsWith("of ") ? percent(value) : digits(value);
}

/** The goals as a table: what is wanted, what was measured, whether it is met. */
export function goalTable(goals: readonly Goal[]): string {
  return table(
    ["goal", "wanted", "measured", "", "met", ""],
    goals.map((g) => {
      const met = isMet(g);
      const wanted =
        g.atLeast !== undefined ? `≥ ${shown(g.atLeast, g.unit)}` : `≤ ${shown(g.atMost ?? 0, g.unit)}`;
      return [
        g.what,
        wanted,
        g.measured === null ? "—" : shown(g.measured, g.unit),
        g.unit,
        met === null ? "not measured" : met ? "yes" : "no",
        g.note ?? "",
      ];
    }),
  );
}

export function sayGoals(goals: readonly Goal[], software: boolean, report: Report): void {
  if (goals.length === 0) return;
  if (!software) {
    report.text("the goals of benchmarks/README.md are stated for software Vulkan, which this is not");
    return;
  }
  for (const { what, atLeast, atMost, measured, unit, note, ...rest } of goals) {
    const met = isMet({ what, atLeast, atMost, measured, unit, ...rest });
    report.line({
      kind: "goal",
      what,
      atLeast,
      atMost,
      measured: measured === null ? null : round(measured),
      unit,
      met,
      note,
    });
  }
  if (!report.json) report.text(`\n${goalTable(goals)}`);
}
