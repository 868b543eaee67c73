// What was measured: for each call of a model what ran it, how fast, and which was best. Plain data that goes to a file
// and comes back; what comes back is believed in whole or not at all.

import { isPlain } from "../../core/options.ts";
import type { Params } from "../../graph/op.ts";
import type { Choice } from "../../schedule/select.ts";

/**
 * timed: right, and this fast. wrong: its numbers are not the op's. failed: the device refused it. hopeless: it would
 * take so long that it was not even run.
 */
export type Verdict = "timed" | "wrong" | "failed" | "hopeless";

export interface Measured {
  readonly kernel: string;
  readonly params: Params;
  /** Of what the device compiled. */
  readonly hash: string;
  readonly verdict: Verdict;
  /** The lowest and the median of the samples, in ms; null when it was not timed. */
  readonly ms: number | null;
  readonly median: number | null;
  readonly samples: number;
  /** What was wrong with it. */
  readonly why?: string;
}

export interface CallRecord {
  /** The fastest that is right; null when none is. */
  readonly best: Choice | null;
  /** What would be chosen without measurements. */
  readonly own: Choice;
  readonly measured: readonly Measured[];
  /** When, in ISO 8601. */
  readonly at: string;
}

/** Records by the key of their call (`callKey`). */
export type Records = Map<string, CallRecord>;

export const sameChoice = (a: Choice, b: Choice): boolean =>
  a.kernel === b.kernel &&
  Object.keys({ ...a.params, ...b.params }).every((k) => a.params[k] === b.params[k]);

/** The measurement of a choice. */
export const measurementOf = (r: CallRecord, c: Choice): Measured | undefined =>
  r.measured.find((m) => sameChoice(m, c));

const VERDICTS: readonly unknown[] = ["timed", "wrong", "failed", "hopeless"] satisfies Verdict[];

const isCount = (v: unknown) => typeof v === "number" && Number.isFinite(v) && v >= 0;

function isChoice(v: unknown): boolean {
  const c = v as Choice;
  return (
    isPlain(v) && typeof c.kernel === "string" && isPlain(c.params) && Object.values(c.params).every(isCount)
  );
}

function isMeasured(v: unknown): boolean {
  const m = v as Measured;
  const timed =
    m.verdict === "timed" ? isCount(m.ms) && isCount(m.median) : m.ms === null && m.median === null;
  return (
    isChoice(v) && typeof m.hash === "string" && VERDICTS.includes(m.verdict) && timed && isCount(m.samples)
  );
}

/** Whether a value of unknown origin is a record. */
export function isRecord(v: unknown): v is CallRecord {
  const r = v as CallRecord;
  return (
    isPlain(v) &&
    (r.best === null || isChoice(r.best)) &&
    isChoice(r.own) &&
    Array.isArray(r.measured) &&
    r.measured.every(isMeasured) &&
    typeof r.at === "string"
  );
}
