// matmul — y[b, m, n] = Σ_k A[b, m, k] · B[b, k, n], A = a or its transpose (transA), B likewise: NN, NT, TN, TT.
// Matrices, or batches of them; a batch of one goes with every batch. f32. A third input [n] is added to every
// row (the bias of a linear layer).

import { ShapeError } from "../core/error.ts";
import { numel, show, type TypeOf } from "../core/shape.ts";
import { type NDArray, ndarray } from "../graph/array.ts";
import type { Attrs, Value } from "../graph/node.ts";
import {
  type Call,
  type Dispatch,
  defineOp,
  type Kernel,
  type Operand,
  type SplitAxis,
} from "../graph/op.ts";
import { call, sumTo } from "./build.ts";
import { prefersSubgroups } from "./conv_shape.ts";
import { gemmKernels, UNFUSED } from "./gemm_call.ts";
import { ceilDiv, workgroupSize } from "./layout.ts";

interface MatmulAttrs extends Attrs {
  readonly transA: boolean;
  readonly transB: boolean;
}

interface Sizes {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

function sizes(a: TypeOf, b: TypeOf, { transA, transB }: MatmulAttrs): Sizes {
  const ra = a.shape.length;
  const rb = b.shape.length;
  const bad = (why: string) =>
    new ShapeError(`matmul: ${why} (a: ${show(a)}${transA ? "ᵀ" : ""}, b: ${show(b)}${transB ? "ᵀ" : ""})`);
  if (ra !== rb || (ra !== 2 && ra !== 3) || a.dtype !== "f32" || b.dtype !== "f32")
    throw bad("takes two f32 matrices, or two batches of them");
  const [m, k] = transA ? [a.shape[ra - 1], a.shape[ra - 2]] : [a.shape[ra - 2], a.shape[ra - 1]];
  const [k2, n] = transB ? [b.shape[rb - 1], b.shape[rb - 2]] : [b.shape[rb - 2], b.shape[rb - 1]];
  if (k !== k2) throw bad(`the inner extents ${k} and ${k2} differ`);
  const [ba, bb] = ra === 3 ? [a.shape[0], b.shape[0]] : [1, 1];
  if (ba !== bb && ba !== 1 && bb !== 1) throw bad(`batches of ${ba} and ${bb} do not go together`);
  return { batch: Math.max(ba, bb), m, n, k };
}

/** Strides of [batch, row, column] of the (possibly transposed) operand. */
function matrixStrides(o: Operand, transposed: boolean): [number, number, number] {
  const cols = o.shape[o.shape.length - 1];
  const batched = o.shape.length === 3;
  const row = batched ? cols : o.batchStride;
  const batch = batched && o.shape[0] > 1 ? o.batchStride : 0;
  return transposed ? [batch, 1, row] : [batch, row, 1];
}

function matmulRef([a, b, bias]: readonly NDArray[], attrs: MatmulAttrs, abs: boolean): NDArray {
  const { batch, m, n, k } = sizes(a, b, attrs);
  const dense = (o: NDArray): Operand => ({ ...o, offset: 0, batchStride: numel(o.shape.slice(1)) });
  const [ab, am, ak] = matrixStrides(dense(a), attrs.transA);
  const [bb, bk, bn] = matrixStrides(dense(b), attrs.transB);
  const out = new Float64Array(batch * m * n);
  for (let z = 0; z < batch; z++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let s = 0;
        for (let t = 0; t < k; t++) {
          const p = a.data[z * ab + i * am + t * ak] * b.data[z * bb + t * bk + j * bn];
          s += abs ? Math.abs(p) : p;
        }
        const plus = bias ? bias.data[j] : 0;
        out[(z * m + i) * n + j] = s + (abs ? Math.abs(plus) : plus);
      }
    }
  }
  return ndarray(a.shape.length === 3 ? [batch, m, n] : [m, n], out);
}

function common(c: Call<MatmulAttrs>) {
  const [a, b] = c.inputs;
  const y = c.outputs[0];
  const s = sizes(a, b, c.attrs);
  const [ab, am, ak] = matrixStrides(a, c.attrs.transA);
  const [bb, bk, bn] = matrixStrides(b, c.attrs.transB);
  const [yb, ym] = matrixStrides(y, false);
  const bias0 = c.inputs[2]?.offset ?? 0;
  return { ...s, ab, am, ak, bb, bk, bn, yb, ym, a0: a.offset, b0: b.offset, y0: y.offset, bias0 };
}

const hasBias = (c: Pick<Call, "inputs">): boolean => c.inputs.length === 3;

function operands(c: Call): Dispatch["bind"] {
  return { a: { in: 0 }, b: { in: 1 }, ...(hasBias(c) ? { bias: { in: 2 } } : {}) };
}

/** Adds the bias before the store: of one column, or of four. */
function finish(c: Call, four: boolean): Record<string, string> {
  if (!hasBias(c)) return {};
  if (!four) return { finish: "return v + bias[u.bias0 + n];" };
  const from = [0, 1, 2, 3].map((i) => `bias[u.bias0 + 4u * n4 + ${i}u]`);
  return { finish: `return v + vec4<f32>(${from.join(", ")});` };
}

/** Baseline: one invocation per output. */
const direct: Kernel<MatmulAttrs> = {
  name: "direct",
  dispatches: (c) => {
    const { batch, m, n, ...rest } = common(c);
    const WX = 8;
    const WY = c.device.software ? 1 : 8;
    return [
      {
        shader: "matmul_direct",
        params: { WX, WY },
        hooks: finish(c, false),
        bind: { ...operands(c), y: { out: 0 } },
        uniforms: { m, n, ...rest },
        grid: [ceilDiv(n, WX), ceilDiv(m, WY), batch],
      },
    ];
  },
};

/** Whether k is not empty and b's columns lie as whole vec4s (NN, TN). */
function columnsFit(c: Call<MatmulAttrs>): boolean {
  const s = common(c);
  const vec = [s.n, s.bk, s.bb, s.b0, s.yb, s.ym, s.y0].every((v) => v % 4 === 0);
  return s.k > 0 && s.bn === 1 && vec;
}

/** A register tile of `rows` rows by 4 columns, `lanes` invocations side by side. */
function columnsDispatch(
  c: Call<MatmulAttrs>,
  shader: string,
  params: Dispatch["params"],
  tile: Tile,
): Dispatch {
  const s = common(c);
  const v = (x: number) => x / 4;
  return {
    shader,
    params,
    hooks: finish(c, true),
    bind: { ...operands(c), y: { out: 0 } },
    uniforms: {
      m: s.m,
      n4: v(s.n),
      k: s.k,
      ab: s.ab,
      am: s.am,
      ak: s.ak,
      a0: s.a0,
      bb: v(s.bb),
      bk: v(s.bk),
      b0: v(s.b0),
      yb: v(s.yb),
      ym: v(s.ym),
      y0: v(s.y0),
      bias0: s.bias0,
    },
    grid: [ceilDiv(v(s.n), tile.lanes), ceilDiv(s.m, tile.rows), s.batch],
  };
}

interface Tile {
  readonly lanes: number;
  readonly rows: number;
}

const columns: Kernel<MatmulAttrs> = {
  name: "columns",
  when: columnsFit,
  score: () => 2,
  space: { TM: [8, 4, 16] },
  dispatches: (c) => {
    const [WG, { TM }] = [workgroupSize(c.device), c.params];
    return [columnsDispatch(c, "matmul_columns", { WG, TM }, { lanes: WG, rows: TM })];
  },
};

const columnsSg: Kernel<MatmulAttrs> = {
  name: "columns_sg",
  when: (c) => c.device.subgroups && columnsFit(c),
  score: (c) => (prefersSubgroups(c.device) ? 3 : 1),
  dispatches: (c) => [columnsDispatch(c, "matmul_columns_sg", {}, { lanes: 8, rows: 8 })],
};

/** Whether k is contiguous in both, in whole vec4s (NT: the forward of a linear layer). */
function rowsFit(c: Call<MatmulAttrs>): boolean {
  const s = common(c);
  const vec = [s.k, s.am, s.ab, s.a0, s.bn, s.bb, s.b0].every((v) => v % 4 === 0);
  return s.k > 0 && s.ak === 1 && s.bk === 1 && vec;
}

/** Dot products along k: `rows` rows by one column an invocation. */
function rowsDispatch(
  c: Call<MatmulAttrs>,
  shader: string,
  params: Dispatch["params"],
  tile: Tile,
): Dispatch {
  const s = common(c);
  const v = (x: number) => x / 4;
  return {
    shader,
    params,
    hooks: finish(c, false),
    bind: { ...operands(c), y: { out: 0 } },
    uniforms: {
      m: s.m,
      n: s.n,
      k4: v(s.k),
      ab: v(s.ab),
      am: v(s.am),
      a0: v(s.a0),
      bb: v(s.bb),
      bn: v(s.bn),
      b0: v(s.b0),
      yb: s.yb,
      ym: s.ym,
      y0: s.y0,
      bias0: s.bias0,
    },
    grid: [ceilDiv(s.n, tile.lanes), ceilDiv(s.m, tile.rows), s.batch],
  };
}

const rows: Kernel<MatmulAttrs> = {
  name: "rows",
  when: rowsFit,
  score: () => 2,
  space: { TM: [8, 4] },
  dispatches: (c) => {
    const [WG, { TM }] = [workgroupSize(c.device), c.params];
    return [rowsDispatch(c, "matmul_rows", { WG, TM }, { lanes: WG, rows: TM })];
  },
};

const rowsSg: Kernel<MatmulAttrs> = {
  name: "rows_sg",
  when: (c) => c.device.subgroups && rowsFit(c),
  score: (c) => (prefersSubgroups(c.device) ? 3 : 1),
  dispatches: (c) => [rowsDispatch(c, "matmul_rows_sg", {}, { lanes: 8, rows: 8 })],
};

/** Tiles in workgroup memory (gemm.ts). */
const tiles = gemmKernels<MatmulAttrs>({
  when: () => true,
  call: (c) => {
    const s = common(c);
    return {
      e: s,
      a: { at: s.a0, batch: s.ab, outer: s.am, k: s.ak },
      b: { at: s.b0, batch: s.bb, outer: s.bn, k: s.bk },
      y: { at: s.y0, batch: s.yb, row: s.ym },
    };
  },
  fused: (c) => ({
    ...UNFUSED,
    bind: operands(c),
    biasOf: "columns",
    vectors: { ...UNFUSED.vectors, b0: c.inputs[2]?.offset ?? 0 },
  }),
});

const product = (a: Value, b: Value, transA: boolean, transB: boolean): Value =>
  call("matmul", [a, b], { transA, transB });

/** Axes m, n and batch side by side, k by addition (without a bias, which is added once). */
function split(inputs: readonly TypeOf[], a: MatmulAttrs): SplitAxis[] {
  const r = inputs[0].shape.length;
  const s = sizes(inputs[0], inputs[1], a);
  const [am, ak] = a.transA ? [r - 1, r - 2] : [r - 2, r - 1];
  const [bk, bn] = a.transB ? [r - 1, r - 2] : [r - 2, r - 1];
  const biased = inputs.length === 3;
  const [whole, byColumn]: (readonly (number | null)[])[] = biased ? [[null], [0]] : [[], []];
  const axes: SplitAxis[] = [
    { extent: s.m, inputs: [am, null, ...whole], outputs: [r - 2], merge: "concat" },
    { extent: s.n, inputs: [null, bn, ...byColumn], outputs: [r - 1], merge: "concat" },
  ];
  if (!biased) axes.push({ extent: s.k, inputs: [ak, bk], outputs: [null], merge: "sum" });
  if (r === 3) {
    const own = (t: TypeOf) => (t.shape[0] === 1 ? null : 0);
    axes.unshift({
      extent: s.batch,
      inputs: [own(inputs[0]), own(inputs[1]), ...whole],
      outputs: [0],
      merge: "concat",
    });
  }
  return axes;
}

defineOp<MatmulAttrs>({
  name: "matmul",
  infer: ([a, b, bias], attrs) => {
    const { batch, m, n } = sizes(a, b, attrs);
    if (bias && (bias.shape.length !== 1 || bias.shape[0] !== n || bias.dtype !== "f32"))
      throw new ShapeError(
        `matmul: the bias must have one value for each of ${n} columns, got ${show(bias)}`,
      );
    return [{ shape: a.shape.length === 3 ? [batch, m, n] : [m, n], dtype: "f32" }];
  },
  ref: (inputs, attrs) => [matmulRef(inputs, attrs, false)],
  vjp: ({ inputs: [a, b, bias], attrs: { transA, transB }, gy: [g], needs }) => {
    if (!g) return [null, null, null].slice(0, needs.length);
    // With A = op(a), B = op(b): ∂A = g·Bᵀ, ∂B = Aᵀ·g; a transposed operand wants the transpose of that.
    const ga = () => (transA ? product(b, g, transB, true) : product(g, b, false, !transB));
    const gb = () => (transB ? product(g, a, true, transA) : product(a, g, !transA, false));
    const grads = [needs[0] ? sumTo(ga(), a.shape) : null, needs[1] ? sumTo(gb(), b.shape) : null];
    return bias ? [...grads, needs[2] ? sumTo(g, bias.shape) : null] : grads;
  },
  terms: ([a, b, bias], attrs) => sizes(a, b, attrs).k + (bias ? 1 : 0),
  exact: true,
  magnitude: (inputs, attrs) => [matmulRef(inputs, attrs, true)],
  cost: ([a, b], _o, attrs) => {
    const s = sizes(a, b, attrs);
    return { flops: 2 * s.batch * s.m * s.n * s.k };
  },
  kernels: [direct, columns, rows, columnsSg, rowsSg, ...tiles],
  samples: [
    { inputs: [{ shape: [3, 5] }, { shape: [5, 4] }], attrs: { transA: false, transB: false } },
    { inputs: [{ shape: [3, 8] }, { shape: [5, 8] }], attrs: { transA: false, transB: true } },
    { inputs: [{ shape: [5, 3] }, { shape: [5, 8] }], attrs: { transA: true, transB: false } },
    { inputs: [{ shape: [5, 3] }, { shape: [4, 5] }], attrs: { transA: true, transB: true } },
    { inputs: [{ shape: [2, 3, 5] }, { shape: [2, 5, 4] }], attrs: { transA: false, transB: false } },
    { inputs: [{ shape: [1, 3, 4] }, { shape: [2, 12, 4] }], attrs: { transA: false, transB: true } },
    { inputs: [{ shape: [11, 36] }, { shape: [36, 20] }], attrs: { transA: false, transB: false } },
    { inputs: [{ shape: [9, 36] }, { shape: [13, 36] }], attrs: { transA: false, transB: true } },
    { inputs: [{ shape: [2, 36, 70] }, { shape: [1, 36, 40] }], attrs: { transA: true, transB: false } },
    {
      note: "tiles left over, k cut into parts",
      inputs: [{ shape: [67, 300] }, { shape: [300, 37] }],
      attrs: { transA: false, transB: false },
    },
    {
      note: "transposed, k cut into parts",
      inputs: [{ shape: [260, 136] }, { shape: [68, 260] }],
      attrs: { transA: true, transB: true },
    },
    { inputs: [{ shape: [1, 1] }, { shape: [1, 1] }], attrs: { transA: false, transB: false } },
    {
      note: "bias, rows of k",
      inputs: [{ shape: [9, 36] }, { shape: [13, 36] }, { shape: [13] }],
      attrs: { transA: false, transB: true },
    },
    {
      note: "bias, vec4 columns",
      inputs: [{ shape: [11, 9] }, { shape: [9, 20] }, { shape: [20] }],
      attrs: { transA: false, transB: false },
    },
    {
      note: "bias, batches, k cut into parts",
      inputs: [{ shape: [2, 5, 300] }, { shape: [1, 300, 6] }, { shape: [6] }],
      attrs: { transA: false, transB: false },
    },
    { inputs: [{ shape: [4, 0] }, { shape: [4, 0] }], attrs: { transA: false, transB: true } },
  ],
  split: (inputs, _o, attrs) => split(inputs, attrs),
});
