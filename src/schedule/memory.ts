// The memory of a plan in bytes, by what it is for: what it prints is what making it ready allocates, which
// runtime/allocate.ts checks. Everything is counted as the buffers it is in (core/bytes.ts).

import { bufferBytes, mib } from "../core/bytes.ts";
import { show } from "../core/shape.ts";
import type { Root, RootKind } from "./place.ts";
import { type Plan, rootBytes } from "./plan.ts";
import { rootsOf } from "./slots.ts";

export interface PlanMemory {
  /** Intermediates. The slots come from a pool that all plans of a device share: it holds these, and perhaps more. */
  readonly slots: number;
  /** Results; the small ones too, which are copied on to the ring. */
  readonly outputs: number;
  /** What is computed once and kept. */
  readonly hoisted: number;
  /** Arguments, and numbers that change from run to run. */
  readonly leaves: number;
  /** Sizes of all dispatches. */
  readonly uniforms: number;
  /** Storages that it reads or changes whole: parameters, gradients, moments, statistics. Not the plan's own. */
  readonly state: number;
}

export function planMemory(p: Plan): PlanMemory {
  const of = (roots: readonly Root[], kind: RootKind) =>
    roots.reduce((n, r) => n + (r.kind === kind ? bufferBytes(rootBytes(r)) : 0), 0);
  return {
    slots: p.slots.reduce((n, s) => n + s, 0),
    outputs: of(p.owned, "output"),
    hoisted: of(p.owned, "hoisted"),
    leaves: of(p.owned, "leaf"),
    uniforms: p.uniformBytes > 0 ? bufferBytes(p.uniformBytes) : 0,
    state: of(p.states, "state"),
  };
}

/** Bytes that the plan needs beside the state: slots, memory of its own, uniforms. */
export function planBytes(p: Plan): number {
  const { state: _state, ...own } = planMemory(p);
  return Object.values(own).reduce((a, b) => a + b, 0);
}

/** One line: how much of each kind, and how near the slots come to the least that could do. */
export function showMemory(p: Plan): string {
  const { slots, state, ...rest } = planMemory(p);
  const own = Object.entries(rest).map(([kind, bytes]) => `${kind} ${mib(bytes)}`);
  return `${mib(planBytes(p))}: ${p.slots.length} slots ${mib(slots)} (whole buffers need at least ${mib(p.peak.whole)}, ${mib(p.peak.bytes)} is alive at the peak), ${own.join(", ")}; state ${mib(state)}`;
}

/** An intermediate that is alive where the most is. */
export interface Alive {
  readonly bytes: number;
  /** Op that fills it first, and under which module. */
  readonly op: string;
  readonly layer: string;
  readonly phase: string;
  readonly type: string;
}

/** What is alive at the peak, the largest first. */
export function aliveAtPeak(p: Plan): Alive[] {
  const steps = [...p.hoisted, ...p.steps];
  return p.peak.roots.map((root) => {
    const first = steps.find((s) => rootsOf(s).includes(root));
    const { layer = "", phase = "forward" } = first ?? {};
    const op = first?.kind === "dispatch" ? first.op : "copy";
    const type = show({ shape: [root.elements], dtype: root.dtype });
    return { bytes: bufferBytes(rootBytes(root)), op: `${root.label} (${op})`, layer, phase, type };
  });
}
