// Slots by liveness: a slot root needs memory from the first step that touches it to the last; whole buffers are reused
// (one dispatch may not read and write ranges of one buffer, so there is no arena of offsets).

import type { Root } from "./place.ts";
import { rootBytes, type Step } from "./plan.ts";

/** Roots that a step touches. */
export function rootsOf(s: Step): Root[] {
  return s.kind === "copy" ? [s.from.root, s.to.root] : Object.values(s.bind).map((r) => r.root);
}

export interface Slots {
  readonly sizes: number[];
  readonly slotOf: Map<Root, number>;
}

/** Gives each slot root the free slot that wastes or grows least; `keep` roots live to the end. */
export function assignSlots(steps: readonly Step[], keep: ReadonlySet<Root>): Slots {
  const last = new Map<Root, number>();
  steps.forEach((s, i) => {
    for (const r of rootsOf(s))
      if (r.kind === "slot") last.set(r, keep.has(r) ? Number.POSITIVE_INFINITY : i);
  });
  const sizes: number[] = [];
  const slotOf = new Map<Root, number>();
  const free: number[] = [];
  steps.forEach((s, i) => {
    for (const r of rootsOf(s)) {
      if (r.kind !== "slot" || slotOf.has(r)) continue;
      slotOf.set(r, take(sizes, free, rootBytes(r)));
    }
    for (const r of new Set(rootsOf(s))) if (last.get(r) === i) free.push(slotOf.get(r) as number);
  });
  return { sizes, slotOf };
}

function take(sizes: number[], free: number[], bytes: number): number {
  // Growing a slot costs what it grows by, a larger one wastes its surplus while it is held: prefer the snuggest fit,
  // else grow the largest.
  let best = -1;
  for (let k = 0; k < free.length; k++) {
    if (best < 0 || better(sizes[free[k]], sizes[free[best]], bytes)) best = k;
  }
  if (best < 0) {
    sizes.push(bytes);
    return sizes.length - 1;
  }
  const slot = free.splice(best, 1)[0];
  sizes[slot] = Math.max(sizes[slot], bytes);
  return slot;
}

function better(a: number, b: number, bytes: number): boolean {
  const [fitsA, fitsB] = [a >= bytes, b >= bytes];
  if (fitsA !== fitsB) return fitsA;
  return fitsA ? a < b : a > b;
}
