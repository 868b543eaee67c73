// A picture's crop in pieces that a device can hold: which pixels of the picture each one reads, and the numbers that the
// kernel makes it with (ops/resample.ts). Nearly every picture is one piece; only a crop that reads more than a binding
// holds is cut, into bands of rows, and where a single row is still too much, of columns.

import { TABLE_HEADER, type TableEntry } from "../ops/resample.ts";
import { centerCropOffset, resizeShortSide } from "./geometry.ts";
import { type ResampleTable, type ResizeFilter, resampleCoeffs } from "./resize.ts";

export const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** One axis of a piece. */
export interface PieceAxis {
  /** First output in the crop, and how many; those beyond the crop or the picture are black. */
  readonly from: number;
  readonly count: number;
  /** Pairs (xmin, count), xmin from `first` on, and weights, as many for every output. */
  readonly bounds: readonly number[];
  readonly weights: readonly number[];
  /** The pixels of the picture that the outputs read. */
  readonly first: number;
  readonly length: number;
}

export interface Piece {
  readonly x: PieceAxis;
  readonly y: PieceAxis;
  /** Bytes that it needs in any one binding. */
  readonly bytes: number;
}

interface CropSpec {
  readonly resize: number;
  readonly crop: number;
  readonly interpolation: ResizeFilter;
}

/** One axis of the whole crop: the picture's pixels, those after resizing, and where among them the crop begins. */
interface CropAxis {
  readonly inSize: number;
  readonly outSize: number;
  readonly offset: number;
  readonly spec: CropSpec;
}

const NONE: ResampleTable = { ksize: 1, bounds: new Int32Array(), weights: new Int32Array() };

/** Outputs [from, from + count) of a crop's axis. */
function axisOf({ inSize, outSize, offset, spec }: CropAxis, from: number, count: number): PieceAxis {
  const within = (o: number) => Math.min(outSize, Math.max(0, o));
  const head = within(offset + from);
  const end = within(offset + Math.min(spec.crop, from + count));
  const rows = Math.max(0, end - head);
  const table = rows > 0 ? resampleCoeffs(inSize, outSize, spec.interpolation, 0, inSize, [head, end]) : NONE;
  const { ksize } = table;
  let first = rows > 0 ? inSize : 0;
  let last = 0;
  for (let k = 0; k < rows; k++) {
    const [xmin, n] = table.bounds.subarray(2 * k, 2 * k + 2);
    first = Math.min(first, xmin);
    last = Math.max(last, xmin + n);
  }
  const bounds: number[] = [];
  const weights: number[] = [];
  for (let k = 0; k < count; k++) {
    const row = offset + from + k - head;
    const inside = row >= 0 && row < rows;
    // Black outputs have no weights.
    bounds.push(inside ? table.bounds[2 * row] - first : 0, inside ? table.bounds[2 * row + 1] : 0);
    for (let w = 0; w < ksize; w++) weights.push(inside ? table.weights[row * ksize + w] : 0);
  }
  return { from, count, bounds, weights, first, length: last - first };
}

function pieceOf(x: PieceAxis, y: PieceAxis): Piece {
  const pixels = 3 * x.length * y.length;
  const words = TABLE_HEADER + x.bounds.length + x.weights.length + y.bounds.length + y.weights.length;
  const between = powerOfTwo(y.length) * x.count;
  return { x, y, bytes: Math.max(pixels, 4 * words, 4 * between, 4 * x.count * y.count) };
}

/**
 * The pieces of a picture of height × width, all of one size (surplus rows and columns of the last ones lie beyond the
 * crop). Each needs at most `limit` bytes, unless a single pixel of the crop needs more.
 */
export function piecesOf(height: number, width: number, spec: CropSpec, limit: number): Piece[] {
  const size = resizeShortSide(height, width, spec.resize);
  const { top, left } = centerCropOffset(size.height, size.width, spec.crop, spec.crop);
  const cut = (inSize: number, outSize: number, offset: number, parts: number) => {
    const count = Math.ceil(spec.crop / parts);
    return Array.from({ length: Math.ceil(spec.crop / count) }, (_, k) =>
      axisOf({ inSize, outSize, offset, spec }, k * count, count),
    );
  };
  for (let rows = 1, columns = 1; ; ) {
    const ys = cut(height, size.height, top, rows);
    const xs = cut(width, size.width, left, columns);
    const pieces = ys.flatMap((y) => xs.map((x) => pieceOf(x, y)));
    const { x, y } = pieces[0];
    if (pieces.every((p) => p.bytes <= limit) || x.count * y.count === 1) return pieces;
    if (y.count > 1) rows *= 2;
    else columns *= 2;
  }
}

/** A piece with the first byte of its pixels among those of its group. */
export interface PlacedPiece {
  readonly piece: Piece;
  readonly start: number;
}

/** The kernel's table of a group: headers (surplus ones make nothing that is read), then each piece's axes. */
export function tableOf(group: readonly PlacedPiece[]): { numbers: number[]; rows: number } {
  const headers = powerOfTwo(group.length);
  const numbers: number[] = new Array(headers * TABLE_HEADER).fill(0);
  const known = new Map<Piece, TableEntry>();
  for (const { piece } of group) if (!known.has(piece)) known.set(piece, appendPiece(numbers, piece));
  for (let i = 0; i < headers; i++) {
    // Surplus ones repeat the first: any valid numbers will do.
    const { piece, start } = group[i] ?? group[0];
    const e = { ...(known.get(piece) as TableEntry), start };
    const { width, hBounds, hWeights, hSize, vBounds, vWeights, vSize, firstRow, rows } = e;
    const header = [start, width, hBounds, hWeights, hSize, vBounds, vWeights, vSize, firstRow, rows];
    for (const [k, n] of header.entries()) numbers[i * TABLE_HEADER + k] = n;
  }
  return { numbers, rows: Math.max(1, ...group.map(({ piece }) => piece.y.length)) };
}

function appendPiece(numbers: number[], { x, y }: Piece): TableEntry {
  const append = (list: readonly number[]) => {
    const at = numbers.length;
    for (const n of list) numbers.push(n);
    return at;
  };
  return {
    start: 0,
    width: x.length,
    hBounds: append(x.bounds),
    hWeights: append(x.weights),
    hSize: x.weights.length / x.count,
    vBounds: append(y.bounds),
    vWeights: append(y.weights),
    vSize: y.weights.length / y.count,
    firstRow: 0,
    rows: y.length,
  };
}
