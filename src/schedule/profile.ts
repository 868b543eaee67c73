// Where the time of a plan goes: its steps' times added up by kernel and by layer, with rates and shares. From plain data,
// so that a made-up plan will do.

import type { Ceilings } from "../gpu/ceilings.ts";
import type { DispatchStep, Plan } from "./plan.ts";
import { showParams } from "./select.ts";

/** A plan with the time of each of its steps in ms; copies are not timed and count 0. */
export interface TimedPlan {
  readonly plan: Plan;
  readonly ms: readonly number[];
}

/** What several dispatches are together. */
export interface Work {
  readonly calls: number;
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
}

export interface KernelWork extends Work {
  readonly op: string;
  readonly kernel: string;
  readonly shader: string;
  readonly params: string;
}

/** The work for one module by its path, or for what stands in for one. */
export interface LayerWork extends Work {
  readonly layer: string;
  readonly forward: Work;
  readonly backward: Work;
}

/** What is done outside of every module or in the outermost one's own forward, and what optimizers do. */
export const OUTSIDE = "(outside of layers)";
export const UPDATE = "(update)";

export const NOTHING: Work = { calls: 0, ms: 0, flops: 0, bytes: 0 };

export const sum = (a: Work, b: Work): Work => ({
  calls: a.calls + b.calls,
  ms: a.ms + b.ms,
  flops: a.flops + b.flops,
  bytes: a.bytes + b.bytes,
});

interface Timed {
  readonly step: DispatchStep;
  readonly work: Work;
}

/** Dispatches of the plan with their work. */
function timedSteps({ plan, ms }: TimedPlan): Timed[] {
  return plan.steps.flatMap((step, i) => {
    if (step.kind !== "dispatch") return [];
    const { flops, bytes } = step;
    return [{ step, work: { calls: 1, ms: ms[i], flops, bytes } }];
  });
}

const slowestFirst = (a: Work, b: Work) => b.ms - a.ms || b.flops - a.flops || b.calls - a.calls;

export function total(timed: readonly TimedPlan[]): Work {
  return timed.flatMap(timedSteps).reduce((n, { work }) => sum(n, work), NOTHING);
}

/** By op, kernel and shader variant, what took longest first. */
export function byKernel(timed: readonly TimedPlan[]): KernelWork[] {
  const out = new Map<string, KernelWork>();
  for (const { step, work } of timed.flatMap(timedSteps)) {
    const { op, kernel, shader } = step;
    const params = showParams(step.specialisation.params ?? {});
    const key = `${op}|${kernel}|${shader}|${params}`;
    out.set(key, { op, kernel, shader, params, ...sum(out.get(key) ?? NOTHING, work) });
  }
  return [...out.values()].sort(slowestFirst);
}

/** By module, what took longest first; `depth` parts of the path at most. */
export function byLayer(timed: readonly TimedPlan[], depth = Number.POSITIVE_INFINITY): LayerWork[] {
  const out = new Map<string, LayerWork>();
  for (const { step, work } of timed.flatMap(timedSteps)) {
    const path = step.layer.split(".").slice(0, depth).join(".") || OUTSIDE;
    const layer = step.phase === "update" ? UPDATE : path;
    const known = out.get(layer) ?? { ...NOTHING, forward: NOTHING, backward: NOTHING };
    const { forward, backward } = known;
    out.set(layer, {
      layer,
      ...sum(known, work),
      forward: step.phase === "forward" ? sum(forward, work) : forward,
      backward: step.phase === "backward" ? sum(backward, work) : backward,
    });
  }
  return [...out.values()].sort(slowestFirst);
}

/** GFLOP/s and GB/s of the work, 0 where it took no time that the clock could tell. */
export function rates({ ms, flops, bytes }: Work): { gflops: number; gbps: number } {
  return ms > 0 ? { gflops: flops / ms / 1e6, gbps: bytes / ms / 1e6 } : { gflops: 0, gbps: 0 };
}

/** The share of the nearer ceiling, and which one that is. */
export function ofCeiling(work: Work, c: Ceilings): { share: number; ceiling: "multiply-add" | "copy" } {
  const { gflops, gbps } = rates(work);
  const [compute, copy] = [gflops / c.gflops, gbps / c.gbps];
  return compute >= copy ? { share: compute, ceiling: "multiply-add" } : { share: copy, ceiling: "copy" };
}
