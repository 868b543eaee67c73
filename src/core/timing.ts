// Samples of time and what is said of them: the median, and the 10th and 90th percentile.

export interface Timing {
  readonly ms: number;
  readonly min: number;
  readonly p10: number;
  readonly p90: number;
  readonly n: number;
}

/** The q-quantile by linear interpolation between the sorted samples. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

export function summarize(samples: readonly number[]): Timing {
  return {
    ms: median(samples),
    min: Math.min(...samples),
    p10: quantile(samples, 0.1),
    p90: quantile(samples, 0.9),
    n: samples.length,
  };
}

export interface SampleOptions {
  /** A sample repeats the work until it is expected to take this long, so that the wait for the device is nothing. */
  readonly sampleMs: number;
  readonly budgetMs: number;
  readonly least: number;
  readonly most: number;
}

/**
 * Times `run(repeats)`, which does the work that often and resolves when the device is done. Returns ms of one
 * repetition. The first runs are not counted: they compile the pipeline and find out how often to repeat.
 */
export async function sample(
  run: (repeats: number) => Promise<void>,
  { sampleMs, budgetMs, least, most }: SampleOptions,
): Promise<Timing> {
  await run(1);
  let began = performance.now();
  await run(1);
  const once = Math.max(0.01, performance.now() - began);
  const repeats = Math.max(1, Math.min(200, Math.round(sampleMs / once)));
  const times: number[] = [];
  const start = performance.now();
  while (times.length < least || (times.length < most && performance.now() - start < budgetMs)) {
    began = performance.now();
    await run(repeats);
    times.push((performance.now() - began) / repeats);
  }
  return summarize(times);
}
