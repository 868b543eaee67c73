// Pictures of any size to network input: resized by the short side and cropped at the centre on the device, in Pillow's
// integer arithmetic (see resize.ts), then scaled and shifted per channel. What is prepared is bytes again, so that it
// can be cached: epochs repeat pictures.

import { DataError, UsageError } from "../core/error.ts";
import { runtime } from "../runtime/context.ts";
import { concat, tensor } from "../tensor/functions.ts";
import { applyOp, type Tensor } from "../tensor/tensor.ts";
import type { Picture } from "./picture.ts";
import { type Piece, piecesOf, powerOfTwo, tableOf } from "./pieces.ts";
import type { ResizeFilter } from "./resize.ts";

/** How pictures become inputs of side `crop`. */
export interface PrepareSpec {
  /** The short side after resizing. */
  readonly resize: number;
  /** Side of the square cut from the centre; beyond the picture it is black. */
  readonly crop: number;
  readonly interpolation: ResizeFilter;
  /** Mean and standard deviation of red, green, blue in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Order of the input's channels. Default "rgb". */
  readonly order?: "rgb" | "bgr";
}

/** Bytes of pictures uploaded at once, and pictures at once: few sizes of plans serve all batches. */
const GROUP_BYTES = 32 * 2 ** 20;
const GROUP = 16;

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

/** A piece of a picture, and the crop that it is part of. */
interface Job {
  readonly picture: Picture;
  readonly piece: Piece;
  readonly into: Uint8Array;
}

/**
 * Resizes and crops pictures on the device. Returns bytes of `crop × crop` RGB pixels each, in the order given: what
 * torchvision's Resize and CenterCrop make of a PIL image, bit for bit. Pictures may be of any size: what a binding
 * does not hold is made in pieces.
 */
export async function prepare(pictures: readonly Picture[], spec: PrepareSpec): Promise<Uint8Array[]> {
  check(spec);
  const { bindingLimit } = await runtime().backend();
  const limit = Math.min(GROUP_BYTES, 2 ** Math.floor(Math.log2(bindingLimit)));
  const known = new Map<string, Piece[]>();
  const jobs: Job[] = [];
  const out = pictures.map((picture) => {
    if (isIdentity(picture, spec)) return picture.data;
    const { height, width } = picture;
    const key = `${height}x${width}`;
    const pieces = known.get(key) ?? piecesOf(height, width, spec, limit);
    known.set(key, pieces);
    const into = new Uint8Array(3 * spec.crop * spec.crop);
    for (const piece of pieces) jobs.push({ picture, piece, into });
    return into;
  });
  for (const group of grouped(jobs, limit)) await makeGroup(group, spec.crop);
  return out;
}

/** Neighbours whose pieces are of one size, as many as fit together. */
function grouped(jobs: readonly Job[], limit: number): Job[][] {
  const groups: Job[][] = [];
  let bytes = 0;
  for (const job of jobs) {
    const last = groups.at(-1);
    const { x, y } = job.piece;
    const alike = last?.[0].piece.x.count === x.count && last[0].piece.y.count === y.count;
    if (last && alike && last.length < GROUP && bytes + job.piece.bytes <= limit) last.push(job);
    else {
      groups.push([job]);
      bytes = 0;
    }
    bytes += job.piece.bytes;
  }
  return groups;
}

async function makeGroup(group: readonly Job[], crop: number): Promise<void> {
  const { x, y } = group[0].piece;
  const sizes = group.map(({ piece }) => 3 * piece.x.length * piece.y.length);
  // Sizes are rounded up, so that groups of other pictures find the same plan.
  const pixels = new Uint8Array(powerOfTwo(sizes.reduce((n, size) => n + size, 0)));
  let start = 0;
  const placed = group.map((job, i) => {
    copyWindow(job, pixels.subarray(start, start + sizes[i]));
    start += sizes[i];
    return { piece: job.piece, start: start - sizes[i] };
  });
  const { numbers, rows } = tableOf(placed);
  const table = new Int32Array(powerOfTwo(numbers.length));
  table.set(numbers);
  const attrs = {
    pictures: powerOfTwo(group.length),
    height: y.count,
    width: x.count,
    rows: powerOfTwo(rows),
  };
  const packed = applyOp("resample", [tensor(pixels), tensor(table)], { ...attrs, first: 0 })[0];
  const words = (await packed.data()) as Uint32Array;
  const one = y.count * x.count;
  for (const [i, job] of group.entries()) unpack(words.subarray(i * one, (i + 1) * one), job, crop);
}

/** The pixels that a piece reads, row by row. */
function copyWindow({ picture, piece: { x, y } }: Job, to: Uint8Array): void {
  const { data, width } = picture;
  for (let r = 0; r < y.length; r++) {
    const from = 3 * ((y.first + r) * width + x.first);
    to.set(data.subarray(from, from + 3 * x.length), 3 * r * x.length);
  }
}

/** Puts a piece's pixels, a word each, where they lie in the crop; surplus ones lie beyond it. */
function unpack(words: Uint32Array, { piece: { x, y }, into }: Job, crop: number): void {
  for (let r = 0; r < Math.min(y.count, crop - y.from); r++) {
    let at = 3 * ((y.from + r) * crop + x.from);
    for (let c = 0; c < Math.min(x.count, crop - x.from); c++) {
      const word = words[r * x.count + c];
      into[at++] = word & 255;
      into[at++] = (word >>> 8) & 255;
      into[at++] = (word >>> 16) & 255;
    }
  }
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

/** Bytes u8 [N, H, W, 3] to network input f32 [N, 3, H, W]: (x / 255 - mean) / std, the channels in the spec's order. */
export function normalizePictures(x: Tensor, spec: Pick<PrepareSpec, "mean" | "std" | "order">): Tensor {
  const scale = tensor(Float32Array.from(spec.std, (s) => 1 / (255 * s)));
  const shift = tensor(Float32Array.from(spec.std, (s, c) => -spec.mean[c] / s));
  const [rgb] = applyOp("pixels", [x, scale, shift]);
  if (spec.order !== "bgr") return rgb;
  return concat(
    [2, 1, 0].map((c) => rgb.slice(1, c, c + 1)),
    1,
  );
}
