// Times of a plan's steps over several runs; and what DEBUG=2 prints: the time of each run, and where the time of all
// runs of a session went, by kernel.

import { median } from "../core/timing.ts";
import type { Commander } from "../gpu/commands.ts";
import { byKernel, type KernelWork, sum, type TimedPlan, total } from "../schedule/profile.ts";
import { kernelTable } from "../schedule/profile_tables.ts";
import type { Prepared } from "./prepared.ts";

export interface Profile extends TimedPlan {
  /** The device's timestamps, or the host's clock around each dispatch alone, which is rough for short ones. */
  readonly clock: "device" | "host";
}

/**
 * Runs a plan's commands several times and gives each step's median time; its mean where the clock is so coarse
 * (browsers, and Dawn unless told otherwise, count in 65 µs) that it takes some dispatches for nothing.
 */
export async function timedRounds(commander: Commander, p: Prepared, rounds: number): Promise<Profile> {
  const all: number[][] = [];
  for (let r = 0; r < rounds; r++) all.push(await commander.timed(p.commands));
  const coarse = all.some((ms) => ms.some((t, i) => t === 0 && p.plan.steps[i].kind === "dispatch"));
  const ms = p.plan.steps.map((_, i) => {
    const own = all.map((r) => r[i]);
    return coarse ? own.reduce((a, b) => a + b, 0) / rounds : median(own);
  });
  return { plan: p.plan, ms, clock: commander.clock };
}

/** Rows of the table. */
const ROWS = 30;

/** Adds up runs by kernel. The first run of a plan is kept apart: it may compile what it runs. */
export class Tally {
  readonly #seen = new WeakSet<object>();
  readonly #first = new Map<string, KernelWork>();
  readonly #later = new Map<string, KernelWork>();
  #plans = 0;
  #runs = 0;

  /** One run; returns a line on it. */
  add(timed: TimedPlan): string {
    const first = !this.#seen.has(timed.plan);
    this.#seen.add(timed.plan);
    this.#runs++;
    if (first) this.#plans++;
    const into = first ? this.#first : this.#later;
    for (const k of byKernel([timed])) {
      const key = `${k.op}|${k.kernel}|${k.shader}|${k.params}`;
      const known = into.get(key);
      into.set(key, known ? { ...known, ...sum(known, k) } : k);
    }
    const { calls, ms } = total([timed]);
    return `run ${this.#runs}: ${calls} dispatches, ${ms.toFixed(2)} ms${first ? ", the first of its plan" : ""}`;
  }

  /** The table over all runs so far; "" when there were none. */
  table(clock: "device" | "host"): string {
    if (this.#runs === 0) return "";
    const later = this.#later.size > 0;
    const works = [...(later ? this.#later : this.#first).values()].sort((a, b) => b.ms - a.ms);
    const count = later ? this.#runs - this.#plans : this.#runs;
    const which = `${count} ${count === 1 ? "run" : "runs"}${later ? ", the first of each plan left out" : ""}`;
    return `${which}, by the ${clock}'s clock:\n${kernelTable(works, { rows: ROWS, ceilings: null })}`;
  }
}
