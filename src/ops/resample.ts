// resample — resizes and crops a batch of 8-bit RGB pictures of any sizes with given integer tables: a horizontal pass
// into bytes, then a vertical one, each clip8((2²¹ + Σ v·w) >> 22): Pillow's arithmetic (src/data/resize.ts makes the
// tables and proves that the sums fit an i32). Inputs: the pictures' bytes one after another, u8 [P]; the table,
// i32 [T], which begins with TABLE_HEADER numbers a picture. Output u32 [pictures, height, width], a byte a channel.
// pixels — y[n,c,h,w] = x[n,h,w,c]·scale[c] + shift[c]: bytes to network input (x/255 - mean)/std.

import { ShapeError } from "../core/error.ts";
import { numel, show, type TypeOf } from "../core/shape.ts";
import { type NDArray, ndarray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { type Call, type Dispatch, defineOp } from "../graph/op.ts";
import { ceilDiv, foldGrid, workgroupSize } from "./layout.ts";

/** Numbers per picture at the table's start; the offsets in them count from the table's first number. */
export const TABLE_HEADER = 10;

/** One picture's numbers, in order. */
export interface TableEntry {
  /** First byte of the picture, and pixels of its rows. */
  readonly start: number;
  readonly width: number;
  /** Horizontal (xmin, count) pairs and weights, and weights per output column. */
  readonly hBounds: number;
  readonly hWeights: number;
  readonly hSize: number;
  readonly vBounds: number;
  readonly vWeights: number;
  readonly vSize: number;
  /** Rows of the picture that the vertical pass reads. */
  readonly firstRow: number;
  readonly rows: number;
}

interface ResampleAttrs extends Attrs {
  readonly pictures: number;
  readonly height: number;
  readonly width: number;
  /** Room for rows between the passes: at least every picture's. */
  readonly rows: number;
  /** First picture of the table that this part makes. */
  readonly first: number;
}

const HALF = 2 ** 21;
const clip8 = (sum: number) => Math.min(255, Math.max(0, Math.floor((sum + HALF) / 2 ** 22)));

function entry(t: Float64Array, i: number): TableEntry {
  const [start, width, hBounds, hWeights, hSize, vBounds, vWeights, vSize, firstRow, rows] = t.subarray(
    i * TABLE_HEADER,
    (i + 1) * TABLE_HEADER,
  );
  return { start, width, hBounds, hWeights, hSize, vBounds, vWeights, vSize, firstRow, rows };
}

/** Three weighted sums of `count` pixels, packed. */
function weigh(
  t: Float64Array,
  weights: number,
  count: number,
  at: (k: number, channel: number) => number,
): number[] {
  return [0, 1, 2].map((ch) => {
    let s = 0;
    for (let k = 0; k < count; k++) s += at(k, ch) * t[weights + k];
    return clip8(s);
  });
}

function onePicture(
  px: Float64Array,
  t: Float64Array,
  e: TableEntry,
  a: ResampleAttrs,
  put: (at: number, rgb: number[]) => void,
): void {
  const middle: number[][] = [];
  for (let r = 0; r < e.rows; r++) {
    for (let c = 0; c < a.width; c++) {
      const [xmin, count] = [t[e.hBounds + 2 * c], t[e.hBounds + 2 * c + 1]];
      const row = e.start + ((e.firstRow + r) * e.width + xmin) * 3;
      middle.push(weigh(t, e.hWeights + c * e.hSize, count, (k, ch) => px[row + 3 * k + ch]));
    }
  }
  for (let y = 0; y < a.height; y++) {
    const [ymin, count] = [t[e.vBounds + 2 * y], t[e.vBounds + 2 * y + 1]];
    for (let c = 0; c < a.width; c++) {
      put(
        y * a.width + c,
        weigh(
          t,
          e.vWeights + y * e.vSize,
          count,
          (k, ch) => middle[(ymin - e.firstRow + k) * a.width + c][ch],
        ),
      );
    }
  }
}

function pass(c: Call<ResampleAttrs>, vertical: boolean): Dispatch {
  const { pictures, height, width, rows, first } = c.attrs;
  const [px, table] = c.inputs;
  const WG = workgroupSize(c.device);
  const lines = vertical ? height : rows;
  const [x, y] = foldGrid(ceilDiv(lines * width, WG), c.device);
  return {
    shader: vertical ? "resample_rows" : "resample_columns",
    params: { WG },
    bind: vertical
      ? { table: { in: 1 }, middle: { scratch: "rows" }, y: { out: 0 } }
      : { px: { in: 0 }, table: { in: 1 }, middle: { scratch: "rows" } },
    uniforms: vertical
      ? { width, lines, rows, first, t0: table.offset, y0: c.outputs[0].offset, yn: c.outputs[0].batchStride }
      : { width, lines, rows, first, t0: table.offset, p0: px.offset },
    grid: [x, y, pictures],
  };
}

// A 4×3 picture to 2×2 by averaging pairs: header, then (xmin, count) pairs and weights of 2²¹ each, by hand.
const H = 2 ** 21;
const DEMO = [0, 3, 10, 14, 2, 18, 22, 2, 0, 4, 0, 2, 1, 2, H, H, H, H, 0, 2, 2, 2, H, H, H, H];

defineOp<ResampleAttrs>({
  name: "resample",
  infer: ([px, table], { pictures, height, width }) => {
    if (px.dtype !== "u8" || table.dtype !== "i32")
      throw new ShapeError(`resample: takes u8 bytes and an i32 table, got ${show(px)} and ${show(table)}`);
    return [{ shape: [pictures, height, width], dtype: "u32" }];
  },
  ref: ([px, table], a) => {
    const out = new Float64Array(a.pictures * a.height * a.width);
    for (let i = 0; i < a.pictures; i++) {
      onePicture(px.data, table.data, entry(table.data, a.first + i), a, (at, [r, g, b]) => {
        out[i * a.height * a.width + at] = r + g * 256 + b * 65536;
      });
    }
    return [ndarray([a.pictures, a.height, a.width], out, "u32")];
  },
  exact: true,
  cost: (_i, [y], a) => ({ flops: 12 * (numel(y.shape) + a.rows * a.width * a.pictures) }),
  kernels: [
    {
      name: "passes",
      scratch: ({ attrs: a }) => ({ rows: a.pictures * a.rows * a.width }),
      dispatches: (c) => [pass(c, false), pass(c, true)],
    },
  ],
  samples: [
    {
      inputs: [
        { shape: [36], dtype: "u8", low: 0, high: 256 },
        { shape: [DEMO.length], dtype: "i32", values: DEMO },
      ],
      attrs: { pictures: 1, height: 2, width: 2, rows: 4, first: 0 },
    },
  ],
  split: (_i, [y], a) => [
    {
      extent: y.shape[0],
      inputs: [null, null],
      outputs: [0],
      merge: "concat",
      attrs: (from, to) => ({ ...a, pictures: to - from, first: a.first + from }),
    },
  ],
});

function checkPixels(x: TypeOf, scale: TypeOf, shift: TypeOf): TypeOf[] {
  const [n, h, w, c] = x.shape;
  const fits =
    x.dtype === "u8" && x.shape.length === 4 && numel(scale.shape) === c && numel(shift.shape) === c;
  if (!fits)
    throw new ShapeError(
      `pixels: takes u8[N, H, W, C] and C scales and shifts, got ${[x, scale, shift].map(show).join(", ")}`,
    );
  return [{ shape: [n, c, h, w], dtype: "f32" }];
}

function mapPixels(
  [x, scale, shift]: readonly NDArray[],
  f: (v: number, s: number, t: number) => number,
): NDArray {
  const [n, h, w, c] = x.shape;
  const out = new Float64Array(n * c * h * w);
  for (let i = 0; i < x.data.length; i++) {
    const ch = i % c;
    const p = Math.floor(i / c) % (h * w);
    const b = Math.floor(i / (c * h * w));
    out[(b * c + ch) * h * w + p] = f(x.data[i], scale.data[ch], shift.data[ch]);
  }
  return ndarray([n, c, h, w], out);
}

defineOp({
  name: "pixels",
  infer: ([x, scale, shift]) => checkPixels(x, scale, shift),
  ref: (inputs) => [mapPixels(inputs, (v, s, t) => v * s + t)],
  exact: true,
  terms: () => 2,
  magnitude: (inputs) => [mapPixels(inputs, (v, s, t) => Math.abs(v * s) + Math.abs(t))],
  cost: (_i, [y]) => ({ flops: 2 * numel(y.shape) }),
  kernels: [
    {
      name: "gather",
      dispatches: (c) => {
        const [x, scale, shift] = c.inputs;
        const [y] = c.outputs;
        const WG = workgroupSize(c.device);
        const [n, ch, h, w] = y.shape;
        return [
          {
            shader: "pixels",
            params: { WG },
            bind: { x: { in: 0 }, scale: { in: 1 }, shift: { in: 2 }, y: { out: 0 } },
            uniforms: {
              total: n * ch * h * w,
              c: ch,
              plane: h * w,
              x0: x.offset,
              s0: scale.offset,
              t0: shift.offset,
              y0: y.offset,
              yn: y.batchStride,
            },
            grid: foldGrid(ceilDiv(n * ch * h * w, WG), c.device),
          },
        ];
      },
    },
  ],
  samples: [
    {
      inputs: [{ shape: [2, 3, 5, 3], dtype: "u8", low: 0, high: 256 }, { shape: [3] }, { shape: [3] }],
      differentiable: false,
    },
    {
      inputs: [{ shape: [1, 2, 2, 1], dtype: "u8", low: 0, high: 256 }, { shape: [1] }, { shape: [1] }],
      differentiable: false,
    },
  ],
  split: ([x]) => [{ extent: x.shape[0], inputs: [0, null, null], outputs: [0], merge: "concat" }],
});
