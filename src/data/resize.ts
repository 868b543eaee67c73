// Pillow's Image.resize for 8-bit pictures, bit for bit: the specification of the WGSL resize, and the tables that
// the kernel is fed with. After Resample.c of Pillow 9.4 (precompute_coeffs, normalize_coeffs_8bpc, the horizontal
// pass and then the vertical one with bytes between them).
import { UsageError } from "../core/error.ts";

/** Pillow's filters that Thaw knows; `bilinear` and `bicubic` widen with the scale (antialiasing), as Pillow's do. */
export type ResizeFilter = "nearest" | "box" | "bilinear" | "bicubic";

/** Weights are integers in units of 2⁻²²: 32 - 8 - 2 bits, Pillow's PRECISION_BITS. */
export const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/**
 * One axis of a resize. Output `o` is `clip8((2²¹ + Σₖ in[xmin + k] · weights[o·ksize + k]) >> 22)` over
 * `k < count`, with `xmin = bounds[2o]` and `count = bounds[2o + 1]`, `>>` arithmetic, and clip8 to 0…255.
 *
 * Every partial sum, in any order, fits an i32. Let P and N be the sums of a row's positive and of its negative
 * weights; partial sums lie in [-255·N, 2²¹ + 255·P]. Weights are divided by their sum, so P - N = 2²² (within half
 * a unit a weight) and P = 2²² / (1 - r), r = N / P; i32 allows P < 2.005·2²², so r < ½ is enough. Box and triangle
 * have r = 0. For the cubic, take distances in units of the filter, samples s ≤ 1 apart, m = ⌊1/s⌋ ≥ 1. At least m
 * samples have |x| ≤ ½ (the centre is half an output pixel inside the picture) and weigh ≥ 9/16 each. Beyond
 * |x| = 1 there are at most m + 1 samples a side, none below -2/27. So for m ≥ 2, r ≤ 2(m + 1)·(2/27) / (m·9/16)
 * ≤ 0.40; for m = 1 two on one side lie more than ½ apart and sum to at least -0.096, so r ≤ 0.192 / 0.5625 = 0.35.
 * The largest P over all sizes to 130 is 1.135·2²². `resampleCoeffs` also checks the bound on each row it makes.
 */
export interface ResampleTable {
  /** Weights a row has room for. */
  readonly ksize: number;
  /** Pairs (xmin, count), one for each output. */
  readonly bounds: Int32Array;
  /** `ksize` weights for each output, zero from `count` on. */
  readonly weights: Int32Array;
}

const FILTERS: Record<Exclude<ResizeFilter, "nearest">, { support: number; at: (x: number) => number }> = {
  box: { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, at: (x) => (Math.abs(x) < 1 ? 1 - Math.abs(x) : 0) },
  bicubic: { support: 2, at: bicubic },
};

/** Keys' cubic with a = -0.5, in the order of operations of Pillow's macro: the last bit of a double counts. */
function bicubic(signed: number): number {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/**
 * The table that takes one axis from `inSize` to `outSize` pixels. `from` and `to` (in input pixels, by default the
 * whole axis) are Pillow's `box`: the part that is stretched, while pixels beside it still weigh in at its edges.
 * `outputs` asks for the rows [first, end) of the table only: of a long thin picture a crop keeps next to nothing.
 * Throws UsageError when a size is no positive whole number or the part is not inside the axis.
 */
export function resampleCoeffs(
  inSize: number,
  outSize: number,
  filter: ResizeFilter,
  from = 0,
  to = inSize,
  outputs: readonly [first: number, end: number] = [0, outSize],
): ResampleTable {
  checkAxis(inSize, outSize, filter, from, to);
  if (filter === "nearest") return nearest(inSize, outSize, from, to, outputs);
  const [head, end] = outputs;
  const { support: unit, at } = FILTERS[filter];
  const start = Math.fround(from); // Pillow holds its box in C floats
  const scale = Math.fround(Math.fround(to) - start) / outSize;
  const filterScale = Math.max(scale, 1);
  const narrow = 1 / filterScale;
  const support = unit * filterScale;
  const ksize = Math.ceil(support) * 2 + 1;
  const bounds = new Int32Array((end - head) * 2);
  const weights = new Int32Array((end - head) * ksize);
  const row = new Float64Array(ksize);
  for (let o = 0; o < end - head; o++) {
    const center = start + (head + o + 0.5) * scale;
    const xmin = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(inSize, Math.trunc(center + support + 0.5)) - xmin;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      row[k] = at((k + xmin - center + 0.5) * narrow);
      sum += row[k];
    }
    bounds[2 * o] = xmin;
    bounds[2 * o + 1] = count;
    for (let k = 0; k < count; k++) weights[o * ksize + k] = fixed(sum !== 0 ? row[k] / sum : row[k]);
    checkRow(weights.subarray(o * ksize, o * ksize + count));
  }
  return { ksize, bounds, weights };
}

/** A double as Pillow's fixed point: half away from zero, by truncation. */
function fixed(w: number): number {
  return Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION_BITS));
}

/** Nearest as a table of one full weight a row; Pillow steps through the source by repeated addition. */
function nearest(
  inSize: number,
  outSize: number,
  from: number,
  to: number,
  [head, end]: readonly [number, number],
): ResampleTable {
  const start = Math.fround(from);
  const step = Math.fround(Math.fround(to) - start) / outSize;
  const bounds = new Int32Array((end - head) * 2);
  let x = start + step * 0.5;
  for (let o = 0; o < end; o++, x += step) {
    if (o < head) continue;
    bounds[2 * (o - head)] = Math.min(inSize - 1, Math.trunc(x));
    bounds[2 * (o - head) + 1] = 1;
  }
  return { ksize: 1, bounds, weights: new Int32Array(end - head).fill(1 << PRECISION_BITS) };
}

function checkAxis(inSize: number, outSize: number, filter: string, from: number, to: number): void {
  for (const size of [inSize, outSize]) {
    if (!Number.isInteger(size) || size < 1) {
      throw new UsageError(`resize: sizes must be whole numbers of at least 1, not ${inSize} to ${outSize}`);
    }
  }
  if (!(from >= 0 && to <= inSize && to > from)) {
    throw new UsageError(`resize: the part ${from} to ${to} does not lie within ${inSize} pixels`);
  }
  if (filter !== "nearest" && !Object.hasOwn(FILTERS, filter)) {
    throw new UsageError(`resize: unknown filter ${filter} (nearest, box, bilinear or bicubic)`);
  }
}

/** The bound of ResampleTable, on a row as it is. */
function checkRow(row: Int32Array): void {
  let positive = 0;
  let negative = 0;
  for (const w of row) {
    if (w > 0) positive += w;
    else negative -= w;
  }
  if (255 * positive + HALF > 0x7fffffff || 255 * negative > 0x80000000) {
    throw new UsageError("resize: the weights of one pixel would overflow 32 bits");
  }
}

/** Applies a table along one axis: `outer` blocks of `inSize` runs of `inner` bytes become runs of the new size. */
function resample(data: Uint8Array, outer: number, inSize: number, inner: number, table: ResampleTable) {
  const { ksize, bounds, weights } = table;
  const outSize = bounds.length / 2;
  const out = new Uint8Array(outer * outSize * inner);
  for (let b = 0, at = 0; b < outer; b++) {
    for (let o = 0; o < outSize; o++) {
      const first = (b * inSize + bounds[2 * o]) * inner;
      const count = bounds[2 * o + 1];
      for (let i = 0; i < inner; i++) {
        let sum = HALF;
        for (let k = 0; k < count; k++) sum += data[first + k * inner + i] * weights[o * ksize + k];
        out[at++] = Math.min(255, Math.max(0, sum >> PRECISION_BITS));
      }
    }
  }
  return out;
}

/** The part of a picture that is stretched, in pixels: Pillow's `box` (left, top, right, bottom). */
export type ResizeBox = readonly [left: number, top: number, right: number, bottom: number];

/**
 * `Image.resize((outW, outH), filter, box)` of Pillow on interleaved bytes (height × width × channels, RGB or grey),
 * bit for bit: first across, then down. Throws UsageError for sizes that are no positive whole numbers, and when
 * `data` is not `h · w · channels` long.
 */
export function resizeReference(
  data: Uint8Array,
  h: number,
  w: number,
  outH: number,
  outW: number,
  filter: ResizeFilter,
  { channels = 3, box = [0, 0, w, h] }: { channels?: number; box?: ResizeBox } = {},
): Uint8Array {
  if (data.length !== h * w * channels) {
    throw new UsageError(`resize: ${data.length} bytes are not ${h}×${w} pixels of ${channels} channels`);
  }
  const [left, top, right, bottom] = box;
  const across = resampleCoeffs(w, outW, filter, left, right);
  const down = resampleCoeffs(h, outH, filter, top, bottom);
  // A pass that changes nothing has a single weight of 1 a pixel; Pillow skips it, and so may a kernel.
  const wide = resample(data, h, w, channels, across);
  return resample(wide, 1, h, outW * channels, down);
}
