// The TypeScript side of test/fixtures/counter.py.
import { Generator } from "../../src/core/random.ts";

export function uniforms(seed: number, stream: number, count: number): Float64Array {
  const g = new Generator(seed, stream);
  return Float64Array.from({ length: count }, () => g.uniform());
}

/** Sum of twelve uniforms minus six. */
export function normalish(seed: number, stream: number, count: number): Float64Array {
  const g = new Generator(seed, stream);
  return Float64Array.from({ length: count }, () => {
    let s = 0;
    for (let k = 0; k < 12; k++) s += g.uniform();
    return s - 6;
  });
}

/** n sums of values with random signs: bit k of word i is the sign of element i in projection k. */
export function projections(seed: number, stream: number, values: ArrayLike<number>, n = 32): Float64Array {
  const g = new Generator(seed, stream);
  const out = new Float64Array(n);
  for (let i = 0; i < values.length; i++) {
    const w = g.word();
    for (let k = 0; k < n; k++) out[k] += (w >>> k) & 1 ? values[i] : -values[i];
  }
  return out;
}

/** ‖a - b‖ estimated from their projections: the root mean square of the differences. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let s = 0;
  for (let k = 0; k < a.length; k++) s += (a[k] - b[k]) ** 2;
  return Math.sqrt(s / a.length);
}

export function norm(v: ArrayLike<number>): number {
  let s = 0;
  for (let i = 0; i < v.length; i++) s += v[i] * v[i];
  return Math.sqrt(s);
}
