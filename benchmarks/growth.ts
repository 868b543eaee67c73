// How something grows: a line fitted by least squares, and a power law as a line between logarithms.

export interface Fit {
  readonly slope: number;
  /** Standard error of the slope; null with fewer than three points, which any line meets. */
  readonly uncertainty: number | null;
  readonly at0: number;
  readonly points: number;
}

const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;

/** y ≈ at0 + slope·x; needs two different x. */
export function fitLine(xs: readonly number[], ys: readonly number[]): Fit {
  const [mx, my] = [mean(xs), mean(ys)];
  const sxx = xs.reduce((n, x) => n + (x - mx) ** 2, 0);
  const slope = xs.reduce((n, x, i) => n + (x - mx) * (ys[i] - my), 0) / sxx;
  const at0 = my - slope * mx;
  const rest = xs.reduce((n, x, i) => n + (ys[i] - at0 - slope * x) ** 2, 0);
  const free = xs.length - 2;
  return { slope, at0, points: xs.length, uncertainty: free > 0 ? Math.sqrt(rest / free / sxx) : null };
}

/** y ≈ c·x^slope. */
export const fitPower = (xs: readonly number[], ys: readonly number[]): Fit =>
  fitLine(xs.map(Math.log), ys.map(Math.log));

/** `1.02 ± 0.03`. */
export function withUncertainty({ slope, uncertainty }: Fit): string {
  return `${slope.toFixed(2)}${uncertainty === null ? "" : ` ± ${uncertainty.toFixed(2)}`}`;
}

/** A bar of at most `width` cells whose length is the value's share of the largest. */
export function bar(value: number, largest: number, width = 40): string {
  return "█".repeat(Math.max(1, Math.round((width * value) / largest)));
}
