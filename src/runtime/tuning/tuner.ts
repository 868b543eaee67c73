// The tuner: what was measured on this machine decides which kernel runs a call. "off" knows nothing, "cached" uses what
// is stored and times nothing, "on" measures the calls of a plan that have no measurement, then stores them.

import type { Tools } from "../../gpu/lone_dispatch.ts";
import { type AnyOp, type BareCall, opNamed } from "../../graph/op.ts";
import type { Plan } from "../../schedule/plan.ts";
import { type Choice, type Choices, callKey, showKernel } from "../../schedule/select.ts";
import { type Contender, Contenders } from "./contenders.ts";
import { type CallRecord, measurementOf, type Records, sameChoice } from "./records.ts";
import type { TuningStore } from "./store.ts";
import { tuneCall } from "./tune_call.ts";

export const TUNE_MODES = ["off", "cached", "on"] as const;
export type TuneMode = (typeof TUNE_MODES)[number];

/** One distinct call of a plan, and how often the plan has it. */
export interface PlannedCall {
  readonly key: string;
  readonly op: AnyOp;
  readonly call: BareCall;
  readonly count: number;
}

/** Told while a plan's calls are measured. */
export interface TuneProgress {
  readonly done: number;
  readonly total: number;
  readonly key: string;
}

const choiceOf = ({ kernel, params }: Contender): Choice => ({ kernel: kernel.name, params });

/** How long measurements may lie in memory alone. */
const STORE_MS = 3000;

export class Tuner {
  mode: TuneMode;
  /** Ends the measuring between two calls. */
  signal: AbortSignal | null = null;
  onProgress: ((p: TuneProgress) => void) | null = null;
  readonly store: TuningStore | null;
  readonly #devices: Tools;
  readonly #contenders: Contenders;
  readonly #records: Records;
  /** Calls that cannot be measured, or cannot again in this process. */
  readonly #given = new Set<string>();
  #told = false;

  constructor(devices: Tools, mode: TuneMode, store: TuningStore | null, records: Records) {
    this.#devices = devices;
    this.mode = mode;
    this.store = store;
    this.#records = records;
    this.#contenders = new Contenders(devices.pipelines.sources);
  }

  /** What measurements say about a call; null where they say nothing, or not about the kernels as they are now. */
  choice(op: AnyOp, call: BareCall): Choice | null {
    if (this.mode === "off" || this.#records.size === 0) return null;
    const record = this.#records.get(callKey(op, call));
    const { best } = record ?? {};
    if (!record || !best || !this.#knows(record, this.#contenders.own(op, call))) return null;
    const kernel = op.kernels.find((k) => k.name === best.kernel);
    const now = kernel && this.#contenders.of(op, kernel, best.params, call);
    return this.#knows(record, now ?? null) ? best : null;
  }

  /** Whether the contender was measured as it is now. */
  #knows(record: CallRecord, c: Contender | null): boolean {
    return c !== null && measurementOf(record, choiceOf(c))?.hash === c.hash;
  }

  /** Forgets all that was measured on this machine. */
  async clear(): Promise<void> {
    this.#records.clear();
    this.#given.clear();
    await this.store?.clear();
  }

  /** The record of a call, if there is one. */
  record(key: string): CallRecord | undefined {
    return this.#records.get(key);
  }

  /** Measures what the plan runs, was not chosen before, and has no complete measurement. Whether anything was. */
  async tune(plan: Plan, choices: Choices): Promise<boolean> {
    const missing = plannedCalls(plan).filter(
      (p) => !choices.has(p.key) && !this.#given.has(p.key) && this.#lacks(p),
    );
    const fresh: Records = new Map();
    let stored = performance.now();
    try {
      for (const [done, p] of missing.entries()) {
        this.signal?.throwIfAborted();
        this.onProgress?.({ done, total: missing.length, key: p.key });
        await this.#measure(p, fresh);
        if (performance.now() - stored < STORE_MS) continue;
        await this.#keep(fresh);
        stored = performance.now();
      }
    } finally {
      await this.#keep(fresh);
    }
    return missing.length > 0;
  }

  #lacks({ key, op, call }: PlannedCall): boolean {
    const all = this.#contenders.all(op, call);
    const record = this.#records.get(key);
    return all.length > 1 && (!record || all.some((c) => !this.#knows(record, c)));
  }

  /** Measures what is not known of a call, and with it what is now thought best, so that both are of one run. */
  async #measure({ key, op, call }: PlannedCall, fresh: Records): Promise<void> {
    this.#given.add(key);
    const old = this.#records.get(key);
    const all = this.#contenders.all(op, call);
    const isBest = (c: Contender) => Boolean(old?.best && sameChoice(old.best, choiceOf(c)));
    const [again, rest]: [Contender[], Contender[]] = [[], []];
    for (const [i, c] of all.entries()) {
      const needed = i === 0 || c.kernel === op.kernels[0] || isBest(c) || !old || !this.#knows(old, c);
      (needed ? again : rest).push(c);
    }
    const record = await tuneCall(op, call, again, this.#devices);
    if (!record) return;
    const kept = rest.flatMap((c) => (old && measurementOf(old, choiceOf(c))) ?? []);
    const whole = { ...record, measured: [...record.measured, ...kept] };
    this.#records.set(key, whole);
    fresh.set(key, whole);
    this.#tellWrong(op, record);
  }

  /** Warns of the first kernel that is wrong here: a driver's fault, or ours. */
  #tellWrong(op: AnyOp, record: CallRecord): void {
    const wrong = record.measured.find((m) => m.verdict === "wrong");
    if (!wrong || this.#told) return;
    this.#told = true;
    console.warn(
      `thaw: ${op.name} ${showKernel(wrong.kernel, wrong.params)} computes wrongly on this machine and is not chosen where that was seen (${wrong.why})`,
    );
  }

  async #keep(fresh: Records): Promise<void> {
    if (fresh.size > 0) await this.store?.add(fresh);
    fresh.clear();
  }
}

/** The distinct calls that a plan makes at every run. */
export function plannedCalls(plan: Plan): PlannedCall[] {
  const seen = new Set<object>();
  const found = new Map<string, PlannedCall>();
  for (const s of plan.steps) {
    if (s.kind !== "dispatch" || seen.has(s.call)) continue;
    seen.add(s.call);
    const op = opNamed(s.op);
    const { params: _, ...call } = s.call;
    const key = callKey(op, call);
    const count = (found.get(key)?.count ?? 0) + 1;
    found.set(key, found.has(key) ? { ...(found.get(key) as PlannedCall), count } : { key, op, call, count });
  }
  return [...found.values()];
}
