// The plan as text.

import { showMemory } from "./memory.ts";
import type { Root } from "./place.ts";
import type { Plan, Range, Step } from "./plan.ts";
import { showKernel } from "./select.ts";

function showStep(s: Step, slotOf: ReadonlyMap<Root, number>): string {
  const where = (r: Range) => {
    const slot = slotOf.get(r.root);
    return `${slot === undefined ? `${r.root.kind}:${r.root.label}` : `slot${slot}`}+${r.offset}`;
  };
  const layer = s.layer ? `  ${s.layer}${s.phase === "forward" ? "" : ` ${s.phase}`}` : "";
  if (s.kind === "copy") return `copy ${where(s.from)} → ${where(s.to)} ${s.to.size} B${layer}`;
  const bound = Object.entries(s.bind).map(([k, r]) => `${k}=${where(r)}`);
  return `${s.op} ${showKernel(s.kernel, s.call.params)} [${s.grid.join("×")}] ${(s.flops / 1e6).toFixed(2)} MFLOP ${s.bytes} B  ${bound.join(" ")}${layer}`;
}

/** One step a line, then totals. */
export function printPlan(p: Plan): string {
  const lines = [
    ...p.hoisted.map((s) => `hoisted ${showStep(s, p.slotOf)}`),
    ...p.steps.map((s) => showStep(s, p.slotOf)),
  ];
  return [...lines, summarizePlan(p)].join("\n");
}

/** Steps, work and memory in one line. */
export function summarizePlan(p: Plan): string {
  const dispatches = p.steps.flatMap((s) => (s.kind === "dispatch" ? [s] : []));
  const flops = dispatches.reduce((n, s) => n + s.flops, 0);
  return `${dispatches.length} dispatches, ${p.steps.length - dispatches.length} copies, ${p.hoisted.length} hoisted, ${(flops / 1e9).toFixed(3)} GFLOP, ${showMemory(p)}`;
}
