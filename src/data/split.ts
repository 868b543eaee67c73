// Dividing labelled pictures into train, val and test, and drawing a balanced sample of them: seeded, stratified by
// class, and the same whatever the order in which the pictures are listed.
import { UsageError } from "../core/error.ts";
import { assignGroups } from "./groups.ts";
import { byRank, purposeKey, rankOfName } from "./rank.ts";

export interface SplitOptions {
  /** Share of each class held out for validation and for the test, each in [0, 1), below 1 together. Default 0. */
  readonly val?: number;
  readonly test?: number;
  /** A whole number from 0. */
  readonly seed: number;
  /** Which pictures are divided; all by default. */
  readonly indices?: readonly number[];
  /** A name for each picture, such as its path, that decides its lot; its number by default. */
  readonly keys?: readonly string[];
  /** A group for each picture, such as its patient: no group comes into two parts. */
  readonly groups?: readonly string[];
  /** Class names for the notes. */
  readonly classes?: readonly string[];
}

export interface Split {
  /** Picture numbers, rising. */
  readonly train: number[];
  readonly val: number[];
  readonly test: number[];
  /** What could not be had, in sentences for the user. */
  readonly notes: string[];
}

/**
 * Divides pictures by class. Without groups each part gets within one picture of its exact share of every class
 * (largest remainders). A class so small that a part asked for would get none of it gives that part one nevertheless,
 * if it has that many, train first.
 * With groups whole groups are assigned so that the squared distance from those shares is small (groups.ts).
 * Throws UsageError for a share outside [0, 1), for shares that leave nothing to train on, and for fewer groups
 * than parts.
 */
export function split(labels: ArrayLike<number>, options: SplitOptions): Split {
  const { val = 0, test = 0, indices = Array.from(labels, (_, i) => i) } = options;
  const shares = checkShares(val, test);
  const key = purposeKey(options.seed, "split");
  const rank = (i: number) => rankOfName(key, options.keys?.[i] ?? `#${i}`);
  const parts: number[][] = [[], [], []];
  if (options.groups) {
    const { groups } = options;
    const part = assignGroups({ labels, indices, groups, shares, rank: (name) => rankOfName(key, name) });
    for (const i of indices) parts[part.get(groups[i]) ?? 0].push(i);
  } else {
    for (const [, members] of byClass(labels, indices)) {
      const [nTrain, nVal] = sizes(members.length, shares);
      const order = byRank(members, rank);
      parts[0].push(...order.slice(0, nTrain));
      parts[1].push(...order.slice(nTrain, nTrain + nVal));
      parts[2].push(...order.slice(nTrain + nVal));
    }
  }
  for (const p of parts) p.sort((a, b) => a - b);
  return {
    train: parts[0],
    val: parts[1],
    test: parts[2],
    notes: gaps(labels, indices, parts, shares, options),
  };
}

function checkShares(val: number, test: number): [number, number, number] {
  for (const [name, share] of [
    ["val", val],
    ["test", test],
  ] as const) {
    if (!(share >= 0 && share < 1))
      throw new UsageError(`${name} must be a share from 0 to below 1, not ${share}`);
  }
  if (val + test >= 1)
    throw new UsageError(`val ${val} and test ${test} together leave no pictures to train on`);
  return [1 - val - test, val, test];
}

/** How many of `n` pictures go to each part; a single one goes to train. */
function sizes(n: number, shares: readonly number[]): number[] {
  const counts = lifted(apportion(n, shares), shares);
  if (counts[0] === 0) {
    counts[counts.indexOf(Math.max(...counts))]--;
    counts[0]++;
  }
  return counts;
}

/** Class → its pictures, classes rising. */
export function byClass(labels: ArrayLike<number>, indices: readonly number[]): [number, number[]][] {
  const classes = new Map<number, number[]>();
  for (const i of indices) {
    const members = classes.get(labels[i]);
    if (members) members.push(i);
    else classes.set(labels[i], [i]);
  }
  return [...classes].sort((a, b) => a[0] - b[0]);
}

/** Whole numbers in proportion to `weights` that sum to `total`, by largest remainder, each within one of exact. */
export function apportion(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((w) => (sum === 0 ? 0 : (total * w) / sum));
  const counts = exact.map(Math.floor);
  const order = byRank(weights.keys(), (i) => counts[i] - exact[i]);
  const rest = sum === 0 ? 0 : total - counts.reduce((a, b) => a + b, 0);
  for (const i of order.slice(0, rest)) counts[i]++;
  return counts;
}

/** Gives one to each part that is asked for and got none, from the largest, as long as that one has more than one. */
export function lifted(counts: number[], weights: readonly number[]): number[] {
  for (const [i, weight] of weights.entries()) {
    const largest = counts.indexOf(Math.max(...counts));
    if (weight > 0 && counts[i] === 0 && counts[largest] > 1) {
      counts[largest]--;
      counts[i]++;
    }
  }
  return counts;
}

const PARTS = ["train", "val", "test"] as const;

/** Classes that are missing from a part that was asked for. */
function gaps(
  labels: ArrayLike<number>,
  indices: readonly number[],
  parts: readonly number[][],
  shares: readonly number[],
  options: SplitOptions,
): string[] {
  const present = parts.map((part) => new Set(part.map((i) => labels[i])));
  const notes: string[] = [];
  for (const [label, members] of byClass(labels, indices)) {
    const missing = PARTS.filter((_, p) => shares[p] > 0 && !present[p].has(label));
    if (missing.length === 0) continue;
    const name = options.classes?.[label] ?? `number ${label}`;
    const groups = options.groups && new Set(members.map((i) => options.groups?.[i]));
    const why = `${members.length} picture${members.length === 1 ? "" : "s"}${groups ? ` in ${groups.size} group${groups.size === 1 ? "" : "s"}` : ""}`;
    notes.push(`class ${name} has ${why}, so there is none of it in ${missing.join(" and ")}`);
  }
  return notes;
}
