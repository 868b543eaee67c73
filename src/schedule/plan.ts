// The plan: what a flush does, as plain data. Steps in order, the memory they touch, where results lie. print_plan.ts and
// memory.ts make text of it; a backend turns it into pipelines, bind groups and buffers.

import type { Result, Scalars, Storage } from "../graph/leaf.ts";
import type { Value } from "../graph/node.ts";
import type { Call, Params } from "../graph/op.ts";
import type { Phase } from "../graph/site.ts";
import type { Root } from "./place.ts";
import type { Peak } from "./slots.ts";

/** A byte range of a root. */
export interface Range {
  readonly root: Root;
  readonly offset: number;
  readonly size: number;
}

/** Which part of the network a step works for. */
export interface Place {
  /** Dotted path of the module, "" for the outermost one or outside of all. */
  readonly layer: string;
  readonly phase: Phase;
}

export interface DispatchStep extends Place {
  readonly kind: "dispatch";
  /** Op and kernel that it belongs to. */
  readonly op: string;
  readonly kernel: string;
  /** The placed call that it is part of: one object for all dispatches of a node. */
  readonly call: Call;
  readonly shader: string;
  readonly specialisation: {
    readonly params?: Params;
    readonly types?: Readonly<Record<string, string>>;
    readonly hooks?: Readonly<Record<string, string>>;
  };
  readonly bind: Readonly<Record<string, Range>>;
  readonly writes: readonly Root[];
  readonly uniforms: Readonly<Record<string, number | readonly number[]>>;
  readonly grid: readonly [number, number, number];
  readonly flops: number;
  /** Bytes that it must at least move. */
  readonly bytes: number;
  /** Estimated ms. */
  readonly cost: number;
}

export interface CopyStep extends Place {
  readonly kind: "copy";
  readonly from: Range;
  readonly to: Range;
}

export type Step = DispatchStep | CopyStep;

/** Where a root value of the cut lies when the plan has run. */
export interface Output {
  readonly value: Value;
  readonly range: Range;
}

export interface Plan {
  /** Run when `hoistedReads` have moved, before the steps. */
  readonly hoisted: readonly Step[];
  readonly hoistedReads: readonly Storage[];
  readonly steps: readonly Step[];
  readonly leaves: readonly { readonly source: Result | Scalars; readonly root: Root }[];
  readonly outputs: readonly Output[];
  /** Bytes of each shared slot, and which slot each slot root has. */
  readonly slots: readonly number[];
  readonly slotOf: ReadonlyMap<Root, number>;
  /** Where the slot roots alive together need the most. */
  readonly peak: Peak;
  /** Bytes of all dispatches' sizes. */
  readonly uniformBytes: number;
  /** Memory of the plan's own: outputs, hoisted results, leaves. */
  readonly owned: readonly Root[];
  readonly states: readonly Root[];
}

export const rootBytes = (r: Root): number =>
  r.dtype === "u8" ? Math.ceil(r.elements / 4) * 4 : r.elements * 4;

/** Where each dispatch's sizes lie in the plan's one uniform buffer, and its bytes. */
export function uniformOffsets(
  steps: readonly Step[],
  sizeOf: (shader: string) => number,
): { at: Map<DispatchStep, { offset: number; size: number }>; total: number } {
  const at = new Map<DispatchStep, { offset: number; size: number }>();
  let total = 0;
  for (const s of steps) {
    if (s.kind !== "dispatch") continue;
    const size = sizeOf(s.shader);
    at.set(s, { offset: total, size });
    total += Math.ceil(size / 256) * 256;
  }
  return { at, total };
}

/** Dispatches per op. */
export function dispatchCounts(p: Plan): Map<string, number> {
  const out = new Map<string, number>();
  for (const s of p.steps) if (s.kind === "dispatch") out.set(s.op, (out.get(s.op) ?? 0) + 1);
  return out;
}
