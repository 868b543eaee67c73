// How a run's commands are shared out to submits: a GPU shared with a screen must come up for air.

/** Work of one submit in estimated ms, about: an estimate is not better than a tenth. */
const SUBMIT_MS = 300;
const SLACK = 0.1;

/**
 * Stretches [start, end) of commands for one submit each, from their estimated ms: as few as keep a submit's work near the
 * cap, all of about the same length, so that a little too much does not make a submit of its own.
 */
export function stretches(costs: readonly number[]): [number, number][] {
  if (costs.length === 0) return [];
  const total = costs.reduce((a, b) => a + b, 0);
  const share = total / Math.max(1, Math.ceil(total / SUBMIT_MS - SLACK));
  const starts: number[] = [];
  let before = 0;
  let last = -1;
  costs.forEach((cost, i) => {
    // A command belongs where its middle falls; rounding must not put the last ones beyond the last stretch.
    const at =
      share > 0 ? Math.min(Math.floor((before + cost / 2) / share), Math.ceil(total / share) - 1) : 0;
    if (at !== last) starts.push(i);
    last = at;
    before += cost;
  });
  return starts.map((start, i) => [start, starts[i + 1] ?? costs.length]);
}

/** The stretches cut further, into `most` commands each at most. */
export const atMost = (list: readonly [number, number][], most: number): [number, number][] =>
  list.flatMap(([start, end]) =>
    Array.from({ length: Math.ceil((end - start) / most) }, (_, i): [number, number] => [
      start + i * most,
      Math.min(end, start + (i + 1) * most),
    ]),
  );
