// A smaller data set drawn from a large one: so many of each class, or so many in all.
import { UsageError } from "../core/error.ts";
import { byRank, purposeKey, rankOfName } from "./rank.ts";
import { apportion, byClass, lifted } from "./split.ts";

export interface SampleOptions {
  /** At most so many pictures of each class. */
  readonly perClass?: number;
  /** At most so many pictures in all, classes keeping their proportions (at least one of each). */
  readonly limit?: number;
  readonly seed: number;
  /** As in SplitOptions. */
  readonly indices?: readonly number[];
  readonly keys?: readonly string[];
  readonly classes?: readonly string[];
  /** A further division whose proportions are kept within each class, such as given parts. */
  readonly strata?: readonly string[];
}

/**
 * Draws a seeded stratified sample: first `perClass`, then `limit`. Samples of one seed are nested: 10 of each class
 * are among the 20 of each class. A class with fewer than `perClass` pictures gives all it has and is noted.
 * Returns rising picture numbers. Throws UsageError for a number that is not whole and positive, and for a limit
 * below the number of classes.
 */
export function sample(
  labels: ArrayLike<number>,
  options: SampleOptions,
): { indices: number[]; notes: string[] } {
  const { perClass, limit, strata } = options;
  const key = purposeKey(options.seed, "sample");
  const rank = (i: number) => rankOfName(key, options.keys?.[i] ?? `#${i}`);
  const take = (members: readonly number[], n: number) => takeFrom(byRank(members, rank), n, strata);
  const notes: string[] = [];
  let pool = byClass(labels, options.indices ?? Array.from(labels, (_, i) => i));
  if (perClass !== undefined) {
    checkCount("per-class", perClass);
    for (const [label, members] of pool.filter(([, m]) => m.length < perClass)) {
      const name = options.classes?.[label] ?? `number ${label}`;
      notes.push(
        `class ${name} has only ${members.length} of the ${perClass} pictures asked for: all are taken`,
      );
    }
    pool = pool.map(([label, members]) => [label, take(members, perClass)]);
  }
  const total = pool.reduce((sum, [, members]) => sum + members.length, 0);
  if (limit !== undefined) {
    checkCount("limit", limit);
    if (limit < pool.length)
      throw new UsageError(`limit ${limit} is less than one for each of ${pool.length} classes`);
    const weights = pool.map(([, members]) => members.length);
    const counts = lifted(apportion(Math.min(limit, total), weights), weights);
    pool = pool.map(([label, members], c) => [label, take(members, counts[c])]);
  }
  return { indices: pool.flatMap(([, members]) => members).sort((a, b) => a - b), notes };
}

function checkCount(name: string, n: number): void {
  if (!Number.isInteger(n) || n < 1)
    throw new UsageError(`${name} must be a whole number of at least 1, not ${n}`);
}

/** The first `n` of the ranked members, each stratum in proportion. */
function takeFrom(ranked: readonly number[], n: number, strata: readonly string[] | undefined): number[] {
  if (n >= ranked.length) return [...ranked];
  if (strata === undefined) return ranked.slice(0, n);
  const names = [...new Set(ranked.map((i) => strata[i]))].sort();
  const rooms = names.map((name) => ranked.filter((i) => strata[i] === name));
  const sizes = rooms.map((room) => room.length);
  const counts = lifted(apportion(n, sizes), sizes);
  return rooms.flatMap((room, s) => room.slice(0, counts[s]));
}
