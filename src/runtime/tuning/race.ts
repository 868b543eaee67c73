// Which of several right kernels is the fastest: all in turn, round after round, so that whatever else the machine does
// falls on all of them alike; what is clearly slower leaves early.

import type { ReadyKernel } from "../kernel_bench.ts";

export interface Racer {
  readonly ready: Pick<ReadyKernel, "time">;
  /** Ms of a single run, as `single` found it. */
  readonly once: number;
  /** Ms of one run in each sample. */
  readonly samples: number[];
}

/** A sample repeats the work until it takes about this long. */
const SAMPLE_MS = 4;
const REPEATS = 512;

/** Rounds of samples, and how long they may take together once there are enough. */
const LEAST = 3;
const MOST = 9;
const BUDGET_MS = 250;

/** How much slower than the fastest so far a kernel may be after each round; then as after the last. */
const LEAVES = [6, 1.5, 1.2];

/** Single runs this long tell enough: such a kernel leaves before the first round, if it is so much slower. */
const LONG_MS = 5;
const FAR = 3;

/** So much slower than the fastest no kernel becomes by another point of its space, nor by a second run. */
const HOPELESS = 8;

export const isHopeless = (once: number, shortest: number): boolean =>
  once > Math.max(LONG_MS, HOPELESS * shortest);

/** Ms of a single run; a long one that may yet matter is run again, as another program may have been in its way. */
export async function single(ready: Racer["ready"], shortest: number): Promise<number> {
  const ms = await ready.time(1);
  return ms <= LONG_MS || isHopeless(ms, shortest) ? ms : Math.min(ms, await ready.time(1));
}

export const lowest = (r: Racer): number => Math.min(...r.samples);

/** The middle sample, the lower of two. */
export function middle(r: Racer): number {
  const sorted = [...r.samples].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

/** Fills the samples. The first racer stays longest: what the others gain is measured by it. */
export async function race(
  racers: readonly Racer[],
  now: () => number = () => performance.now(),
): Promise<void> {
  const shortest = Math.min(...racers.map((r) => r.once));
  let running = racers.filter((r) => {
    if (r === racers[0] || r.once <= Math.max(LONG_MS, FAR * shortest)) return true;
    r.samples.push(r.once);
    return false;
  });
  const began = now();
  for (let round = 0; round < MOST; round++) {
    if (round >= LEAST && (running.length === 1 || now() - began > BUDGET_MS)) break;
    for (const r of running) r.samples.push(await sample(r, Math.min(r.once, lowest(r))));
    const fastest = Math.min(...running.map(lowest));
    const factor = LEAVES[Math.min(round, LEAVES.length - 1)];
    const first = round < LEAST - 1 ? Number.POSITIVE_INFINITY : FAR;
    running = running.filter((r) => lowest(r) <= fastest * (r === racers[0] ? first : factor));
  }
}

/** Pairs of a duel, and how many of them the challenger must win: of equals one in 16 would. */
const PAIRS = 7;
const WINS = 6;

/**
 * Whether the challenger is faster than the first, by at least these: a share, and ms. Of many that are as good one is
 * always the luckiest, so the two are timed anew, in turn, and the challenger must win nearly every pair.
 */
export async function duel(first: Racer, challenger: Racer, share: number, ms: number): Promise<boolean> {
  const fresh = [first, challenger].map((r): Racer => ({ ...r, samples: [] }));
  for (let pair = 0; pair < PAIRS; pair++)
    for (const r of fresh) r.samples.push(await sample(r, Math.min(r.once, lowest(first))));
  const [a, b] = fresh;
  first.samples.push(...a.samples);
  challenger.samples.push(...b.samples);
  const gains = (f: (r: Racer) => number) => f(b) <= Math.min((1 - share) * f(a), f(a) - ms);
  const wins = b.samples.filter((v, i) => v < a.samples[i]).length;
  return wins >= WINS && gains(lowest) && gains(middle);
}

/**
 * One sample: ms of a run that is expected to take about `once`. Where that was too long, because another program was in
 * the way when it was measured, there are too few repeats for a clock of coarse steps, and they are doubled.
 */
async function sample(r: Racer, once: number): Promise<number> {
  let n = Math.max(1, Math.min(REPEATS, Math.round(SAMPLE_MS / Math.max(once, 1e-3))));
  let ms = await r.ready.time(n);
  while (ms * n < SAMPLE_MS / 4 && n < REPEATS) {
    n = Math.min(REPEATS, 2 * n);
    ms = await r.ready.time(n);
  }
  return ms;
}
