// What a plan asks of the device, from its steps alone.

import { type Call, opNamed } from "../src/graph/op.ts";
import { planBytes } from "../src/schedule/memory.ts";
import type { DispatchStep, Plan, Step } from "../src/schedule/plan.ts";
import { bytesOf } from "./planned.ts";

export interface PlanSize {
  readonly dispatches: number;
  readonly gflop: number;
  /** Bytes that its kernels and copies read and write, every operand once a kernel. */
  readonly bytesMoved: number;
  /** Bytes held beside weights and optimizer state. */
  readonly planBytes: number;
}

/** Of a concat, only the inputs that do not lie in place are dispatched: each of these is read and written. */
function copied({ bind, writes }: DispatchStep): number {
  const reads = Object.values(bind).filter((r) => !writes.includes(r.root));
  return reads.reduce((n, r) => n + 2 * r.size, 0);
}

function bytesOfStep(s: Step, counted: Set<Call>): number {
  if (s.kind === "copy") return 2 * s.to.size;
  if (opNamed(s.op).places) return copied(s);
  if (counted.has(s.call)) return 0;
  counted.add(s.call);
  return bytesOf(s.call);
}

/** Of one run; what is hoisted is done once and not counted. */
export function planSize(plan: Plan): PlanSize {
  const counted = new Set<Call>();
  let [bytesMoved, flops, dispatches] = [0, 0, 0];
  for (const s of plan.steps) {
    bytesMoved += bytesOfStep(s, counted);
    if (s.kind !== "dispatch") continue;
    flops += s.flops;
    dispatches++;
  }
  return { dispatches, gflop: flops / 1e9, bytesMoved, planBytes: planBytes(plan) };
}
