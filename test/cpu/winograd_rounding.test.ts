// Winograd's F(2×2, 3×3) sums other products than the convolution does: some cancel, and round while they do. In f32
// arithmetic step by step: from 64 channels on that stays far inside of the bound of test/dawn/ops.test.ts, also where
// single numbers stand out; with 3 channels it does not, which is why the kernel asks for 64.
import { describe, expect, it } from "vitest";
import { UNIT } from "../../src/core/accuracy.ts";
import { Generator } from "../../src/core/random.ts";

const f = Math.fround;

type Matrix = number[][];
const transpose = (m: Matrix): Matrix => m[0].map((_, j) => m.map((row) => row[j]));
/** The 1-D transform on columns, then on rows. */
const both = (m: Matrix, one: (v: number[]) => number[]): Matrix => transpose(transpose(m).map(one)).map(one);

const pixels = (v: number[]) => [f(v[0] - v[2]), f(v[1] + v[2]), f(v[2] - v[1]), f(v[1] - v[3])];
const weights = (v: number[]) => [
  v[0],
  f(0.5 * f(f(v[0] + v[1]) + v[2])),
  f(0.5 * f(f(v[0] - v[1]) + v[2])),
  v[2],
];
const join = (v: number[]) => [f(f(v[0] + v[1]) + v[2]), f(f(v[1] - v[2]) - v[3])];

const matrix = (n: number, draw: (i: number, j: number) => number): Matrix =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => f(draw(i, j))));

interface Case {
  readonly x: (u: () => number, i: number, j: number) => number;
  readonly w: (u: () => number) => number;
}

/** The largest error of four outputs, in units of the bound. */
function worst(channels: number, c: Case, u: () => number): number {
  const sums = matrix(4, () => 0);
  const exact = [0, 0, 0, 0];
  const size = [0, 0, 0, 0];
  for (let n = 0; n < channels; n++) {
    const d = matrix(4, (i, j) => c.x(u, i, j));
    const g = matrix(3, () => c.w(u));
    const [v, t] = [both(d, pixels), both(g, weights)];
    for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) sums[i][j] = f(sums[i][j] + t[i][j] * v[i][j]);
    for (let o = 0; o < 4; o++)
      for (let r = 0; r < 3; r++)
        for (let s = 0; s < 3; s++) {
          const p = d[Math.floor(o / 2) + r][(o % 2) + s] * g[r][s];
          exact[o] += p;
          size[o] += Math.abs(p);
        }
  }
  const y = both(sums, join).flat();
  return Math.max(
    ...y.map((v, o) => Math.abs(v - exact[o]) / (4 * UNIT * Math.sqrt(9 * channels + 2) * size[o])),
  );
}

const uniform = (u: () => number) => 4 * u() - 2;
const standing = (one: number) => (u: () => number) => uniform(u) * (u() < 1 / one ? 1000 : 1);

const CASES: Readonly<Record<string, Case>> = {
  "uniform numbers": { x: uniform, w: uniform },
  "a corner of padding": { x: (u, i, j) => (i === 0 || j === 0 ? 0 : uniform(u)), w: uniform },
  "after a ReLU": { x: (u) => Math.max(0, 3 * u() - 1), w: uniform },
  "a pixel in sixteen a thousand times as large": { x: standing(16), w: uniform },
  "a weight in nine a thousand times as large": { x: uniform, w: standing(9) },
};

function worstOf(channels: number, c: Case, tiles: number): number {
  const random = new Generator(3, channels);
  let most = 0;
  for (let i = 0; i < tiles; i++)
    most = Math.max(
      most,
      worst(channels, c, () => random.uniform()),
    );
  return most;
}

describe("the error of Winograd's sums, against the bound of the op tests", () => {
  it.each(Object.keys(CASES))("64 channels, %s: at most a tenth", (name) => {
    expect(worstOf(64, CASES[name], 300)).toBeLessThan(0.1);
  });

  it("3 channels, a pixel that stands out: beyond it", () => {
    expect(worstOf(3, CASES["a pixel in sixteen a thousand times as large"], 5000)).toBeGreaterThan(1);
  });
});
