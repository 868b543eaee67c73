// Pictures of any size to network input: resized by the short side and cropped at the centre on the device, in Pillow's
// integer arithmetic (see resize.ts), then scaled and shifted per channel. What is prepared is bytes again, so that it
// can be cached: epochs repeat pictures.

import { DataError, UsageError } from "../core/error.ts";
import { TABLE_HEADER, type TableEntry } from "../ops/resample.ts";
import { tensor } from "../tensor/functions.ts";
import { applyOp, type Tensor } from "../tensor/tensor.ts";
import { centerCropOffset, resizeShortSide } from "./geometry.ts";
import type { Picture } from "./picture.ts";
import { type ResampleTable, type ResizeFilter, resampleCoeffs } from "./resize.ts";

/** How pictures become inputs of side `crop`. */
export interface PrepareSpec {
  /** The short side after resizing. */
  readonly resize: number;
  /** Side of the square cut from the centre; beyond the picture it is black. */
  readonly crop: number;
  readonly interpolation: ResizeFilter;
  /** Mean and standard deviation of channels in [0, 1], RGB. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Bytes of pictures uploaded at once, and pictures at once: few sizes of plans serve all batches. */
const GROUP_BYTES = 32 * 2 ** 20;
const GROUP = 16;

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

interface Axis {
  readonly table: ResampleTable;
  /** First output kept, and how many. */
  readonly from: number;
  readonly count: number;
}

/** Numbers of one axis for the kernel: (xmin, count) pairs and weights of the kept outputs; black ones have none. */
function axisNumbers(a: Axis): { bounds: number[]; weights: number[]; first: number; length: number } {
  const bounds: number[] = [];
  const weights: number[] = [];
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  const size = a.table.bounds.length / 2;
  for (let k = 0; k < a.count; k++) {
    const o = a.from + k;
    const inside = o >= 0 && o < size;
    const [xmin, count] = inside ? [a.table.bounds[2 * o], a.table.bounds[2 * o + 1]] : [0, 0];
    bounds.push(xmin, count);
    for (let w = 0; w < a.table.ksize; w++) weights.push(inside ? a.table.weights[o * a.table.ksize + w] : 0);
    if (count === 0) continue;
    first = Math.min(first, xmin);
    last = Math.max(last, xmin + count);
  }
  const start = Number.isFinite(first) ? first : 0;
  // Black outputs read nothing, but their position must not lie before the first row.
  for (let k = 0; k < bounds.length; k += 2) if (bounds[k + 1] === 0) bounds[k] = start;
  return { bounds, weights, first: start, length: last - start };
}

function check(spec: PrepareSpec): void {
  for (const [name, v] of [
    ["resize", spec.resize],
    ["crop", spec.crop],
  ] as const) {
    if (!Number.isInteger(v) || v < 1)
      throw new UsageError(`prepare: ${name} must be a whole number of at least 1, got ${v}`);
  }
}

/** Throws DataError for a picture of which resizing would make nothing but one colour, or stripes. */
export function checkPicture(p: Picture, name: string): void {
  if (p.height < 2 || p.width < 2)
    throw new DataError(`${name} has ${p.width}×${p.height} pixels: nothing can be learned or told from it`);
}

/** Whether the picture is already what the spec makes of it. */
function isIdentity(p: Picture, spec: PrepareSpec): boolean {
  return p.height === spec.crop && p.width === spec.crop && spec.resize === spec.crop;
}

/**
 * Resizes and crops pictures on the device. Returns bytes of `crop × crop` RGB pixels each, in the order given: what
 * torchvision's Resize and CenterCrop make of a PIL image, bit for bit.
 */
export async function prepare(pictures: readonly Picture[], spec: PrepareSpec): Promise<Uint8Array[]> {
  check(spec);
  const out = new Array<Uint8Array>(pictures.length);
  let group: number[] = [];
  let bytes = 0;
  const flush = async () => {
    const made = await prepareGroup(
      group.map((i) => pictures[i]),
      spec,
    );
    group.forEach((i, k) => {
      out[i] = made[k];
    });
    group = [];
    bytes = 0;
  };
  for (const [i, p] of pictures.entries()) {
    if (isIdentity(p, spec)) {
      out[i] = p.data;
      continue;
    }
    if (group.length > 0 && (group.length === GROUP || bytes + p.data.length > GROUP_BYTES)) await flush();
    group.push(i);
    bytes += p.data.length;
  }
  if (group.length > 0) await flush();
  return out;
}

async function prepareGroup(pictures: readonly Picture[], spec: PrepareSpec): Promise<Uint8Array[]> {
  const { numbers, rows } = tableOf(pictures, spec);
  // Sizes are rounded up, so that groups of other pictures find the same plan.
  const count = powerOfTwo(pictures.length);
  const pixels = new Uint8Array(powerOfTwo(pictures.reduce((n, p) => n + p.data.length, 0)));
  let at = 0;
  for (const p of pictures) {
    pixels.set(p.data, at);
    at += p.data.length;
  }
  const table = new Int32Array(powerOfTwo(numbers.length));
  table.set(numbers);
  const attrs = { pictures: count, height: spec.crop, width: spec.crop, rows: powerOfTwo(rows), first: 0 };
  const packed = applyOp("resample", [tensor(pixels), tensor(table)], attrs)[0];
  const words = await packed.data();
  const size = spec.crop * spec.crop;
  return pictures.map((_, i) => unpack(words.subarray(i * size, (i + 1) * size) as Uint32Array));
}

/** The kernel's table of a group: headers (surplus ones make nothing), then each picture's axes. */
function tableOf(pictures: readonly Picture[], spec: PrepareSpec): { numbers: number[]; rows: number } {
  const headers = powerOfTwo(pictures.length);
  const numbers: number[] = new Array(headers * TABLE_HEADER).fill(0);
  const known = new Map<string, TableEntry>();
  let start = 0;
  let rows = 1;
  pictures.forEach((p, i) => {
    const key = `${p.height}x${p.width}`;
    const entry = known.get(key) ?? appendPicture(numbers, p, spec);
    known.set(key, entry);
    const e = { ...entry, start };
    numbers.splice(
      i * TABLE_HEADER,
      TABLE_HEADER,
      e.start,
      e.width,
      e.hBounds,
      e.hWeights,
      e.hSize,
      e.vBounds,
      e.vWeights,
      e.vSize,
      e.firstRow,
      e.rows,
    );
    rows = Math.max(rows, e.rows);
    start += p.data.length;
  });
  // Surplus pictures repeat the first one's axes: any valid numbers will do, nobody reads what they make.
  const first = numbers.slice(0, TABLE_HEADER);
  for (let i = pictures.length; i < headers; i++) numbers.splice(i * TABLE_HEADER, TABLE_HEADER, ...first);
  return { numbers, rows };
}

function appendPicture(numbers: number[], p: Picture, spec: PrepareSpec): TableEntry {
  const size = resizeShortSide(p.height, p.width, spec.resize);
  const { top, left } = centerCropOffset(size.height, size.width, spec.crop, spec.crop);
  const h = axisNumbers({
    table: resampleCoeffs(p.width, size.width, spec.interpolation),
    from: left,
    count: spec.crop,
  });
  const v = axisNumbers({
    table: resampleCoeffs(p.height, size.height, spec.interpolation),
    from: top,
    count: spec.crop,
  });
  const append = (list: readonly number[]) => {
    const at = numbers.length;
    for (const n of list) numbers.push(n);
    return at;
  };
  return {
    start: 0,
    width: p.width,
    hBounds: append(h.bounds),
    hWeights: append(h.weights),
    hSize: h.weights.length / spec.crop,
    vBounds: append(v.bounds),
    vWeights: append(v.weights),
    vSize: v.weights.length / spec.crop,
    firstRow: v.first,
    rows: v.length,
  };
}

function unpack(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 3);
  for (let i = 0; i < words.length; i++) {
    bytes[3 * i] = words[i] & 255;
    bytes[3 * i + 1] = (words[i] >>> 8) & 255;
    bytes[3 * i + 2] = (words[i] >>> 16) & 255;
  }
  return bytes;
}

/** Prepared pictures as one tensor u8 [N, crop, crop, 3]. */
export function stackPictures(prepared: readonly Uint8Array[], side: number): Tensor {
  const one = side * side * 3;
  const all = new Uint8Array(prepared.length * one);
  prepared.forEach((p, i) => {
    all.set(p, i * one);
  });
  return tensor(all, [prepared.length, side, side, 3]);
}

/** Bytes u8 [N, H, W, 3] to network input f32 [N, 3, H, W]: (x / 255 - mean) / std. */
export function normalizePictures(x: Tensor, spec: Pick<PrepareSpec, "mean" | "std">): Tensor {
  const scale = tensor(Float32Array.from(spec.std, (s) => 1 / (255 * s)));
  const shift = tensor(Float32Array.from(spec.std, (s, c) => -spec.mean[c] / s));
  return applyOp("pixels", [x, scale, shift])[0];
}
