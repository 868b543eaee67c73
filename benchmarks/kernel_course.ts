// The distinct kernels of a forward pass and of a full step: each verified, timed, said; then those that miss the goals.

import type { Ceilings } from "../src/gpu/ceilings.ts";
import type { Tools } from "../src/gpu/lone_dispatch.ts";
import type { Plan } from "../src/schedule/plan.ts";
import type { Goal } from "./goals.ts";
import { type KernelRow, kernelGoals, LARGE_PLAN, misses } from "./kernel_goals.ts";
import { measure } from "./kernels.ts";
import { LARGE, largePlan } from "./large.ts";
import { costliest, kernelsOf } from "./planned.ts";
import { type Report, round } from "./report.ts";
import { groupTable, kernelSummary, kernelTable, missTable } from "./tables.ts";
import { ThawEngine } from "./thaw.ts";

/** The plans of a forward pass, of a full step, and of one with large operands. */
export async function plansOf(file: string): Promise<Record<string, Plan>> {
  const engine = new ThawEngine();
  const plans: Record<string, Plan> = {};
  for (const what of ["all", "forward"] as const) {
    await engine.load({ what, weights: file });
    await engine.step();
    plans[what] = await engine.plan();
  }
  plans[LARGE_PLAN] = await largePlan();
  return plans;
}

function sayKernel({ planned: k, measured: m }: KernelRow, report: Report): void {
  report.line({
    kind: "kernel",
    engine: "thaw",
    op: k.op,
    group: k.group,
    shape: k.shape,
    variant: k.variant,
    ms: round(m.ms),
    gflops: round(m.gflops),
    gbps: round(m.gbps),
    ofCeiling: round(m.ofCeiling),
    ofCopy: round(m.ofCopy),
    p10: round(m.p10),
    p90: round(m.p90),
    n: m.n,
    calls: k.calls,
    verified: m.verified.compared,
    elements: m.verified.elements,
    error: round(m.verified.worst),
  });
}

/** Times the kernels, says what each gave, and returns what that means for the goals. */
export async function timeKernels(
  devices: Tools,
  plans: Readonly<Record<string, Plan>>,
  ceilings: Ceilings,
  limit: number,
  report: Report,
): Promise<Goal[]> {
  const all = kernelsOf(plans);
  const list = costliest(all, limit);
  report.phase(
    `timing ${list.length} of ${all.length} distinct kernels, each once its output has matched float64 (of a large one, rows drawn by seed)`,
  );
  const rows: KernelRow[] = [];
  for (const [i, k] of list.entries()) {
    report.progress(`kernel ${i + 1} of ${list.length}: ${k.op} ${k.shape} ${k.variant}`);
    const row = { planned: k, measured: await measure(devices, k, ceilings) };
    rows.push(row);
    sayKernel(row, report);
  }
  if (rows.length === 0) return [];
  const missed = misses(rows, ceilings);
  for (const m of missed) {
    const { op, shape, variant } = m.row.planned;
    report.line({
      kind: "miss",
      op,
      shape,
      variant,
      share: round(m.share),
      wanted: m.wanted,
      lostMs: round(m.lostMs),
    });
  }
  const groups = [
    groupTable(rows, "all", "a full step"),
    groupTable(rows, LARGE_PLAN, `batch norm, pools and elementwise layers at ${LARGE.join("×")}`),
  ];
  if (!report.json)
    report.text([kernelTable(rows), kernelSummary(rows), ...groups, missTable(missed)].join("\n\n"));
  return kernelGoals(rows, ceilings, list.length === all.length);
}
