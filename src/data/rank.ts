// Seeded order without a sequence: every item gets a random rank from (seed, purpose, its own key) alone. So the order
// does not depend on how the items were listed, and taking one away leaves the others as they were; shuffling an
// array does neither.
import { hash53 } from "../core/hash.ts";
import { seedWords, threefry } from "../core/random.ts";

/** The two key words for one purpose (`"shuffle 3"`, `"split"`) of a seed. */
export function purposeKey(seed: number, purpose: string): [number, number] {
  const [k0, k1] = seedWords(seed);
  const [h0, h1] = seedWords(hash53(purpose));
  return threefry(k0, k1, h0, h1);
}

/** Uniform in [0, 1) with 53 bits, from the key and a counter. */
function uniform(key: readonly [number, number], counter: readonly [number, number]): number {
  const [hi, lo] = threefry(key[0], key[1], counter[0], counter[1]);
  return ((hi >>> 5) * 0x400_0000 + (lo >>> 6)) / 0x20_0000_0000_0000;
}

/** The rank of a name. */
export function rankOfName(key: readonly [number, number], name: string): number {
  return uniform(key, seedWords(hash53(name)));
}

/** The rank of a number. */
export function rankOfIndex(key: readonly [number, number], index: number): number {
  return uniform(key, [index, 0]);
}

/** The items by rising rank; equal ranks keep their order. */
export function byRank<T>(items: Iterable<T>, rank: (item: T) => number): T[] {
  const ranked = Array.from(items, (item) => ({ item, rank: rank(item) }));
  return ranked.sort((a, b) => a.rank - b.rank).map((r) => r.item);
}
