// The plan: what a flush does, as plain data. Steps in order, the memory they touch, where results lie. It prints
// itself; a backend turns it into pipelines, bind groups and buffers.

import type { Result, Scalars, Storage } from "../graph/leaf.ts";
import type { Value } from "../graph/node.ts";
import type { Call, Params } from "../graph/op.ts";
import type { Phase } from "../graph/site.ts";
import type { Root } from "./place.ts";

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
  /** Memory of the plan's own: outputs, hoisted results, leaves. */
  readonly owned: readonly Root[];
  readonly states: readonly Root[];
}

export const rootBytes = (r: Root): number =>
  r.dtype === "u8" ? Math.ceil(r.elements / 4) * 4 : r.elements * 4;

/** Bytes that the plan needs beside the state: slots and memory of its own. */
export function planBytes(p: Plan): number {
  return p.slots.reduce((a, b) => a + b, 0) + p.owned.reduce((n, r) => n + rootBytes(r), 0);
}

/** Dispatches per op. */
export function dispatchCounts(p: Plan): Map<string, number> {
  const out = new Map<string, number>();
  for (const s of p.steps) if (s.kind === "dispatch") out.set(s.op, (out.get(s.op) ?? 0) + 1);
  return out;
}

function showStep(s: Step, slotOf: ReadonlyMap<Root, number>): string {
  const where = (r: Range) => {
    const slot = slotOf.get(r.root);
    return `${slot === undefined ? `${r.root.kind}:${r.root.label}` : `slot${slot}`}+${r.offset}`;
  };
  if (s.kind === "copy") return `copy ${where(s.from)} → ${where(s.to)} ${s.to.size} B`;
  const params = Object.entries(s.call.params).map(([k, v]) => `${k}=${v}`);
  const bound = Object.entries(s.bind).map(([k, r]) => `${k}=${where(r)}`);
  return `${s.op} ${s.kernel}${params.length > 0 ? `(${params.join(" ")})` : ""} [${s.grid.join("×")}] ${(s.flops / 1e6).toFixed(2)} MFLOP ${s.bytes} B  ${bound.join(" ")}`;
}

/** The plan as text: one step a line, then totals. */
export function printPlan(p: Plan): string {
  const lines = [
    ...p.hoisted.map((s) => `hoisted ${showStep(s, p.slotOf)}`),
    ...p.steps.map((s) => showStep(s, p.slotOf)),
  ];
  return [...lines, summarizePlan(p)].join("\n");
}

export function summarizePlan(p: Plan): string {
  const dispatches = p.steps.filter((s) => s.kind === "dispatch");
  const flops = dispatches.reduce((n, s) => n + (s.kind === "dispatch" ? s.flops : 0), 0);
  const slotBytes = p.slots.reduce((a, b) => a + b, 0);
  return `${dispatches.length} dispatches, ${p.steps.length - dispatches.length} copies, ${p.hoisted.length} hoisted, ${(flops / 1e9).toFixed(3)} GFLOP, ${p.slots.length} slots of ${(slotBytes / 2 ** 20).toFixed(2)} MiB, ${((planBytes(p) - slotBytes) / 2 ** 20).toFixed(2)} MiB of its own`;
}
