// crossEntropyRows — per row n of logits [N, C] with target class t:
//   loss[n] = (1-ε)·w[t]·(-logp[t]) + ε/C·Σ_c w[c]·(-logp[c]),  weight[n] = w[t];  both 0 where t = ignoreIndex.
// The mean loss is Σ loss / Σ weight (torch.nn.CrossEntropyLoss with class weights w and label smoothing ε).
// Gradient: g[n]·((1-ε)·w[t]·(p[c] - δ) + ε/C·(p[c]·Σw - w[c])), p the softmax.
// nllRows — the same without smoothing on log-probabilities (torch.nn.NLLLoss).

import { ulp } from "../core/accuracy.ts";
import { ShapeError } from "../core/error.ts";
import { numel, show, type TypeOf } from "../core/shape.ts";
import { type NDArray, ndarray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { type Call, type Dispatch, defineOp, type SplitAxis } from "../graph/op.ts";
import { call } from "./build.ts";
import { ceilDiv, foldGrid, workgroupSize } from "./layout.ts";

interface RowsAttrs extends Attrs {
  readonly smoothing: number;
  readonly ignoreIndex: number;
}

function check(name: string, x: TypeOf, target: TypeOf, w: TypeOf): void {
  const fits =
    x.shape.length === 2 && x.dtype === "f32" && target.shape.length === 1 && target.shape[0] === x.shape[0];
  if (!fits || target.dtype !== "i32")
    throw new ShapeError(
      `${name}: takes logits f32[N, C] and classes i32[N], got ${show(x)} and ${show(target)}`,
    );
  if (w.shape.length !== 1 || w.shape[0] !== x.shape[1])
    throw new ShapeError(`${name}: needs one weight for each of ${x.shape[1]} classes, got ${show(w)}`);
}

/** log-probabilities of one row. */
function logProbs(x: NDArray, n: number): Float64Array {
  const c = x.shape[1];
  const row = x.data.subarray(n * c, (n + 1) * c);
  const m = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const s = Math.log(row.reduce((t, v) => t + Math.exp(v - m), 0));
  return row.map((v) => v - m - s);
}

const total = (w: NDArray) => w.data.reduce((s, v) => s + v, 0);
const pair = (x: TypeOf): TypeOf[] => [
  { shape: [x.shape[0]], dtype: "f32" },
  { shape: [x.shape[0]], dtype: "f32" },
];

function rowLosses(
  logp: (n: number) => Float64Array,
  x: NDArray,
  target: NDArray,
  w: NDArray,
  a: RowsAttrs,
): NDArray[] {
  const [n, c] = x.shape;
  const loss = new Float64Array(n);
  const weight = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const t = target.data[i];
    if (t === a.ignoreIndex) continue;
    const lp = logp(i);
    weight[i] = t >= 0 && t < c ? w.data[t] : Number.NaN;
    loss[i] = (1 - a.smoothing) * weight[i] * -(lp[t] ?? Number.NaN);
    if (a.smoothing > 0) loss[i] += (a.smoothing / c) * lp.reduce((s, v, k) => s - w.data[k] * v, 0);
  }
  return [ndarray([n], loss), ndarray([n], weight)];
}

function gradRow(p: Float64Array, t: number, w: NDArray, a: RowsAttrs): Float64Array {
  const sum = total(w);
  const k = a.smoothing / p.length;
  return p.map((v, c) => (1 - a.smoothing) * w.data[t] * (v - (c === t ? 1 : 0)) + k * (v * sum - w.data[c]));
}

function mapGrad(
  g: NDArray,
  x: NDArray,
  target: NDArray,
  f: (n: number, t: number) => Float64Array,
  a: RowsAttrs,
): NDArray {
  const [n, c] = x.shape;
  const out = new Float64Array(n * c);
  for (let i = 0; i < n; i++) {
    if (target.data[i] === a.ignoreIndex) continue;
    f(i, target.data[i]).forEach((v, k) => {
      out[i * c + k] = g.data[i] * v;
    });
  }
  return ndarray([n, c], out);
}

/** Spread of the finite logits: what exp's and log's accuracy depends on. */
const spread = (x: NDArray) =>
  x.data.reduce((m, v) => (Number.isFinite(v) ? Math.max(m, Math.abs(v)) : m), 0);

const SAFE = { largest: "return max_bits(a, b);", power: "return safe_exp(x);" };
const HOOKS: Readonly<Record<string, Dispatch["hooks"]>> = {
  cross_entropy: { ...SAFE, logarithm: "return safe_log(x);", out_of_range: "return make_nan(x);" },
  cross_entropy_grad: SAFE,
  nll: { out_of_range: "return make_nan(x);" },
};

function dispatch(shader: string, c: Call<RowsAttrs>, at: { x: number }, bind: Dispatch["bind"]): Dispatch {
  const x = c.inputs[at.x];
  const WG = workgroupSize(c.device);
  const [n, classes] = x.shape;
  return {
    shader,
    params: { WG },
    bind,
    hooks: HOOKS[shader],
    uniforms: {
      n,
      c: classes,
      x0: x.offset,
      xn: x.batchStride,
      t0: c.inputs[at.x + 1].offset,
      w0: c.inputs[at.x + 2].offset,
      y0: c.outputs[0].offset,
      y1: c.outputs[1]?.offset ?? c.outputs[0].batchStride,
      g0: at.x === 1 ? c.inputs[0].offset : 0,
      ignore: c.attrs.ignoreIndex,
      smoothing: c.attrs.smoothing,
    },
    grid: foldGrid(n, c.device),
  };
}

const rowsSplit = (n: number, before: number): SplitAxis[] => [
  {
    extent: n,
    inputs: [...new Array<number>(before).fill(0), 0, 0, null],
    outputs: before ? [0] : [0, 0],
    merge: "concat",
  },
];

const none = { smoothing: 0, ignoreIndex: -100 };
const labels = (n: number, c: number) => ({ shape: [n], dtype: "i32" as const, low: 0, high: c });
const weights = (c: number) => ({ shape: [c], low: 0.5, high: 2 });
const rowsSample = (n: number, c: number, attrs: RowsAttrs) => ({
  inputs: [{ shape: [n, c], low: -4, high: 4 }, labels(n, c), weights(c)],
  attrs,
});

defineOp<RowsAttrs>({
  name: "crossEntropyRows",
  infer: ([x, t, w]) => {
    check("crossEntropy", x, t, w);
    return pair(x);
  },
  ref: ([x, t, w], a) => rowLosses((n) => logProbs(x, n), x, t, w, a),
  constant: [2],
  vjp: ({ inputs: [x, t, w], attrs, gy: [g], needs }) => [
    g && needs[0] ? call("crossEntropyGrad", [g, x, t, w], attrs) : null,
    null,
    null,
  ],
  terms: ([x]) => x.shape[1],
  magnitude: ([x, , w]) => {
    const m = 2 * spread(x) + Math.log(x.shape[1]) + 1;
    const top = w.data.reduce((s, v) => Math.max(s, Math.abs(v)), 0);
    const rows = new Float64Array(x.shape[0]).fill(m * top);
    return [ndarray([x.shape[0]], rows), ndarray([x.shape[0]], new Float64Array(x.shape[0]).fill(top))];
  },
  builtin: ([x, , w]) => {
    const top = w.data.reduce((s, v) => Math.max(s, Math.abs(v)), 0);
    const e = top * (2 ** -21 + (6 + 4 * spread(x)) * ulp(1));
    return [new Float64Array(x.shape[0]).fill(e), new Float64Array(x.shape[0])];
  },
  cost: ([x]) => ({ flops: 5 * numel(x.shape) }),
  kernels: [
    {
      name: "row",
      dispatches: (c) => [
        dispatch(
          "cross_entropy",
          c,
          { x: 0 },
          { x: { in: 0 }, t: { in: 1 }, w: { in: 2 }, y: { out: 0 }, weight: { out: 1 } },
        ),
      ],
    },
  ],
  samples: [
    rowsSample(4, 7, none),
    rowsSample(3, 150, { ...none, smoothing: 0.1 }),
    {
      note: "ignored row",
      inputs: [{ shape: [3, 4] }, { shape: [3], dtype: "i32", values: [1, -100, 3] }, weights(4)],
      attrs: none,
    },
    {
      note: "NaN and a class out of range",
      inputs: [
        { shape: [3, 2], values: [Number.NaN, 1, 2, 3, 100, -100] },
        { shape: [3], dtype: "i32", values: [0, 5, 1] },
        weights(2),
      ],
      attrs: none,
      differentiable: false,
    },
  ],
  split: ([x]) => rowsSplit(x.shape[0], 0),
});

defineOp<RowsAttrs>({
  name: "crossEntropyGrad",
  infer: ([, x]) => [{ shape: x.shape, dtype: "f32" }],
  ref: ([g, x, t, w], a) => [mapGrad(g, x, t, (n, k) => gradRow(logProbs(x, n).map(Math.exp), k, w, a), a)],
  terms: ([, x]) => x.shape[1],
  magnitude: ([g, x, , w]) => {
    const sum = total(w);
    const top = w.data.reduce((s, v) => Math.max(s, Math.abs(v)), 0);
    return [
      ndarray(
        x.shape,
        x.data.map((_, i) => Math.abs(g.data[Math.floor(i / x.shape[1])]) * (top + sum / x.shape[1])),
      ),
    ];
  },
  builtin: ([g, x, , w]) => {
    const e = (10 + 6 * spread(x)) * ulp(1) * total(w);
    return [x.data.map((_, i) => Math.abs(g.data[Math.floor(i / x.shape[1])]) * e)];
  },
  cost: ([, x]) => ({ flops: 8 * numel(x.shape) }),
  kernels: [
    {
      name: "row",
      dispatches: (c) => [
        dispatch(
          "cross_entropy_grad",
          c,
          { x: 1 },
          { g: { in: 0 }, x: { in: 1 }, t: { in: 2 }, w: { in: 3 }, y: { out: 0 } },
        ),
      ],
    },
  ],
  samples: [none, { ...none, smoothing: 0.1 }].map((attrs) => ({
    inputs: [{ shape: [4] }, { shape: [4, 19], low: -4, high: 4 }, labels(4, 19), weights(19)],
    attrs,
    differentiable: false,
  })),
  split: ([, x]) => rowsSplit(x.shape[0], 1),
});

const streamRows = (
  shader: string,
  c: Call<RowsAttrs>,
  at: { x: number },
  bind: Dispatch["bind"],
  count: number,
): Dispatch => {
  const d = dispatch(shader, c, at, bind);
  const WG = workgroupSize(c.device);
  return { ...d, params: { WG }, grid: foldGrid(ceilDiv(count, WG), c.device) };
};

defineOp<RowsAttrs>({
  name: "nllRows",
  infer: ([x, t, w]) => {
    check("nllLoss", x, t, w);
    return pair(x);
  },
  ref: ([x, t, w], a) =>
    rowLosses((n) => x.data.subarray(n * x.shape[1], (n + 1) * x.shape[1]), x, t, w, { ...a, smoothing: 0 }),
  constant: [2],
  vjp: ({ inputs: [x, t, w], attrs, gy: [g], needs }) => [
    g && needs[0] ? call("nllGrad", [g, x, t, w], attrs) : null,
    null,
    null,
  ],
  exact: true,
  cost: ([x]) => ({ flops: x.shape[0] }),
  kernels: [
    {
      name: "row",
      dispatches: (c) => [
        streamRows(
          "nll",
          c,
          { x: 0 },
          { x: { in: 0 }, t: { in: 1 }, w: { in: 2 }, y: { out: 0 }, weight: { out: 1 } },
          c.inputs[0].shape[0],
        ),
      ],
    },
  ],
  samples: [
    { inputs: [{ shape: [5, 3], low: -4, high: 0 }, labels(5, 3), weights(3)], attrs: none },
    {
      note: "ignored row",
      inputs: [{ shape: [3, 4] }, { shape: [3], dtype: "i32", values: [1, -100, 3] }, weights(4)],
      attrs: none,
    },
  ],
  split: ([x]) => rowsSplit(x.shape[0], 0),
});

defineOp<RowsAttrs>({
  name: "nllGrad",
  infer: ([, x]) => [{ shape: x.shape, dtype: "f32" }],
  ref: ([g, x, t, w], a) => [
    mapGrad(
      g,
      x,
      t,
      (_n, k) => Float64Array.from({ length: x.shape[1] }, (_, c) => (c === k ? -w.data[k] : 0)),
      a,
    ),
  ],
  exact: true,
  cost: ([, x]) => ({ flops: numel(x.shape) }),
  kernels: [
    {
      name: "scatter",
      dispatches: (c) => [
        streamRows(
          "nll_grad",
          c,
          { x: 1 },
          { g: { in: 0 }, t: { in: 2 }, w: { in: 3 }, y: { out: 0 } },
          numel(c.inputs[1].shape),
        ),
      ],
    },
  ],
  samples: [
    {
      inputs: [{ shape: [5] }, { shape: [5, 3] }, labels(5, 3), weights(3)],
      attrs: none,
      differentiable: false,
    },
  ],
  split: ([, x]) => rowsSplit(x.shape[0], 1),
});
