// Elementwise functions of two or three tensors, one row each: arithmetic, comparisons, selection, and the pointwise
// parts of the losses. `vjp` builds the gradients from other ops; broadcasting is undone by sumTo.

import { UNIT, ulp, WGSL_ERROR as W } from "../core/accuracy.ts";
import type { DType } from "../core/dtype.ts";
import { numel } from "../core/shape.ts";
import type { NDArray } from "../graph/array.ts";
import type { Attrs, Value } from "../graph/node.ts";
import { defineOp, type InputSpec, type Sample, type VjpArgs } from "../graph/op.ts";
import { add, call, div, full, mul, mulScalar, neg, sub, sumTo, where } from "./build.ts";
import {
  broadcastInfer,
  commonDtype,
  elementwiseKernels,
  elementwiseSplit,
  mapBroadcast,
} from "./elementwise.ts";
import { powError } from "./unary.ts";

type Fn = (a: number, b: number, c: number) => number;

interface Row {
  readonly arity: 2 | 3;
  readonly f: string;
  readonly ref: Fn;
  readonly exact?: boolean;
  readonly ints?: boolean;
  /** Σ of the absolute addends; |ref| when absent. */
  readonly magnitude?: Fn;
  readonly error?: (y: number, a: number, b: number, c: number) => number;
  /** Gradients before broadcasting is undone. */
  readonly vjp?: (args: VjpArgs & { g: Value }) => (Value | null)[];
  readonly domains?: readonly (readonly [number, number])[];
  /** Values for the exactness test of one operand (powers of two for divisors). */
  readonly special?: readonly (readonly number[])[];
  readonly kinks?: readonly number[];
}

const { abs, exp, max, min } = Math;
const NAN = Number.NaN;
const INF = Number.POSITIVE_INFINITY;

/** g where `cond` holds for the pair, half of it on ties, else 0: PyTorch's gradient of maximum and minimum. */
function pickGrad(g: Value, x: Value, other: Value): Value {
  const wins = call("gt", [x, other]);
  const ties = mulScalar(call("eq", [x, other]), 0.5);
  return mul(g, add(wins, ties));
}

const compare = (op: string, ref: Fn): Row => ({
  arity: 2,
  f: `select(0.0, 1.0, a ${op} b)`,
  ref,
  exact: true,
  ints: true,
});

const logistic = (x: number) => max(x, 0) + Math.log1p(exp(-abs(x)));
const clampLog = (p: number) => max(Math.log(p), -100);

const ROWS: Readonly<Record<string, Row>> = {
  add: {
    arity: 2,
    f: "a + b",
    ref: (a, b) => a + b,
    exact: true,
    ints: true,
    magnitude: (a, b) => abs(a) + abs(b),
    vjp: ({ g }) => [g, g],
    special: [
      [NAN, INF, INF, 1],
      [1, INF, -INF, 2],
    ],
  },
  sub: {
    arity: 2,
    f: "a - b",
    ref: (a, b) => a - b,
    exact: true,
    ints: true,
    magnitude: (a, b) => abs(a) + abs(b),
    vjp: ({ g, needs }) => [g, needs[1] ? neg(g) : null],
  },
  mul: {
    arity: 2,
    f: "a * b",
    ref: (a, b) => a * b,
    exact: true,
    ints: true,
    vjp: ({ inputs: [a, b], g, needs }) => [needs[0] ? mul(g, b) : null, needs[1] ? mul(g, a) : null],
  },
  div: {
    arity: 2,
    f: "a / b",
    ref: (a, b) => a / b,
    error: (y) => W.div(0, y),
    domains: [
      [-2, 2],
      [0.3, 3],
    ],
    vjp: ({ inputs: [, b], outputs: [y], g, needs }) => [
      needs[0] ? div(g, b) : null,
      needs[1] ? neg(mul(g, div(y, b))) : null,
    ],
  },
  pow: {
    arity: 2,
    f: "pow_signed(a, b)",
    ref: (a, b) => a ** b,
    error: (y, a, b) => powError(a, y, b),
    domains: [
      [0.3, 2],
      [-2, 2],
    ],
    vjp: ({ inputs: [a, b], outputs: [y], g, needs }) => [
      needs[0] ? mul(g, mul(b, call("pow", [a, call("addScalar", [b], { value: -1 })]))) : null,
      needs[1] ? mul(g, mul(y, call("log", [a]))) : null,
    ],
  },
  maximum: {
    arity: 2,
    f: "max_bits(a, b)",
    ref: (a, b) => max(a, b),
    exact: true,
    vjp: ({ inputs: [a, b], g, needs }) => [
      needs[0] ? pickGrad(g, a, b) : null,
      needs[1] ? pickGrad(g, b, a) : null,
    ],
    special: [
      [NAN, 1, -INF, NAN],
      [1, NAN, INF, NAN],
    ],
  },
  minimum: {
    arity: 2,
    f: "min_bits(a, b)",
    ref: (a, b) => min(a, b),
    exact: true,
    vjp: ({ inputs: [a, b], g, needs }) => [
      needs[0] ? pickGrad(g, b, a) : null,
      needs[1] ? pickGrad(g, a, b) : null,
    ],
    special: [
      [NAN, 1, -INF, NAN],
      [1, NAN, INF, NAN],
    ],
  },
  eq: compare("==", (a, b) => +(a === b)),
  ne: compare("!=", (a, b) => +(a !== b)),
  gt: compare(">", (a, b) => +(a > b)),
  ge: compare(">=", (a, b) => +(a >= b)),
  lt: compare("<", (a, b) => +(a < b)),
  le: compare("<=", (a, b) => +(a <= b)),
  /** a where cond is not zero, else b. */
  where: {
    arity: 3,
    f: "select(b, a, cond != 0.0)",
    ref: (c, a, b) => (c !== 0 ? a : b),
    exact: true,
    kinks: [0],
    vjp: ({ inputs: [c], g, needs }) => {
      const zero = full([], 0);
      return [null, needs[1] ? where(c, g, zero) : null, needs[2] ? where(c, zero, g) : null];
    },
  },
  /** Binary cross entropy of probabilities; logarithms are clamped at -100 (torch.nn.BCELoss). */
  bce: {
    arity: 2,
    f: "-(t * max(safe_log(p), -100.0) + (1.0 - t) * max(safe_log(1.0 - p), -100.0))",
    ref: (p, t) => -(t * clampLog(p) + (1 - t) * clampLog(1 - p)),
    magnitude: (p, t) => abs(t * clampLog(p)) + abs((1 - t) * clampLog(1 - p)),
    error: (_y, p, t) => {
      const rest = 1 - p;
      return (
        abs(t) * W.log(p, Math.log(p)) +
        abs(1 - t) * (W.log(rest, Math.log(rest)) + ulp(p) / max(rest, UNIT)) +
        4 * ulp(1)
      );
    },
    domains: [
      [0.05, 0.95],
      [0, 1],
    ],
    vjp: ({ inputs: [p, t], g, needs }) => [
      needs[0] ? call("bceGrad", [g, p, t]) : null,
      needs[1] ? bceTarget(g, p) : null,
    ],
  },
  bceGrad: {
    arity: 3,
    f: "g * (p - t) / max(p * (1.0 - p), 1e-12)",
    ref: (g, p, t) => (g * (p - t)) / max(p * (1 - p), 1e-12),
    magnitude: (g, p, t) => (abs(g) * (abs(p) + abs(t))) / max(p * (1 - p), 1e-12),
    error: (y, g, p, t) => W.div(0, y) + (abs(g) * (abs(p) + abs(t)) * 4 * UNIT) / max(p * (1 - p), 1e-12),
    domains: [
      [-2, 2],
      [0.05, 0.95],
      [0, 1],
    ],
  },
  /** Binary cross entropy of logits with the weight of positives: (1 + (w-1)t)·softplus(-x) + (1-t)·x. */
  bceLogits: {
    arity: 3,
    f: "(1.0 - t) * x + (1.0 + (w - 1.0) * t) * softplus(-x)",
    ref: (x, t, w) => (1 - t) * x + (1 + (w - 1) * t) * logistic(-x),
    magnitude: (x, t, w) => abs((1 - t) * x) + abs(1 + (w - 1) * t) * logistic(-x),
    error: (_y, x, t, w) => abs(1 + (w - 1) * t) * (W.log(1 + exp(-abs(x)), 0) + (5 + 2 * abs(x)) * ulp(1)),
    domains: [
      [-4, 4],
      [0, 1],
      [0.5, 3],
    ],
    vjp: ({ inputs: [x, t, w], g, needs }) => [
      needs[0] ? mul(g, call("bceLogitsGrad", [x, t, w])) : null,
      needs[1]
        ? mul(g, sub(mul(call("addScalar", [w], { value: -1 }), call("softplus", [neg(x)])), x))
        : null,
      needs[2] ? mul(g, mul(t, call("softplus", [neg(x)]))) : null,
    ],
  },
  bceLogitsGrad: {
    arity: 3,
    f: "(1.0 - t) - (1.0 + (w - 1.0) * t) * sigmoid(-x)",
    ref: (x, t, w) => 1 - t - (1 + (w - 1) * t) / (1 + exp(x)),
    magnitude: (x, t, w) => abs(1 - t) + abs(1 + (w - 1) * t) / (1 + exp(x)),
    error: (_y, x, t, w) => (abs(1 + (w - 1) * t) + 1) * (10 + 2 * abs(x)) * ulp(1),
    domains: [
      [-4, 4],
      [0, 1],
      [0.5, 3],
    ],
  },
};

/** ∂bce/∂t = log(1-p) - log(p). */
function bceTarget(g: Value, p: Value): Value {
  const rest = call("addScalar", [neg(p)], { value: 1 });
  return mul(g, sub(call("log", [rest]), call("log", [p])));
}

const NAMES: Readonly<Record<string, readonly string[]>> = {
  where: ["cond", "a", "b"],
  bce: ["p", "t"],
  bceGrad: ["g", "p", "t"],
  bceLogits: ["x", "t", "w"],
  bceLogitsGrad: ["x", "t", "w"],
};

function samplesOf(row: Row): Sample[] {
  const spec = (shape: readonly number[], i: number): InputSpec => {
    const [low, high] = row.domains?.[i] ?? [-2, 2];
    return { shape, low, high, distinct: true };
  };
  const shapes: (readonly (readonly number[])[])[] = [
    [
      [3, 5],
      [3, 5],
      [3, 5],
    ],
    [
      [2, 3, 4, 4],
      [1, 3, 1, 1],
      [2, 3, 4, 4],
    ],
    [[4], [2, 3, 4], []],
    [
      [2, 3, 4, 4],
      [2, 3, 4, 4],
      [2, 3, 4, 4],
    ],
    [[], [], []],
  ];
  const list: Sample[] = shapes.map((s) => ({ inputs: s.slice(0, row.arity).map(spec) }));
  if (row.special) {
    const inputs = row.special.map((values) => ({ shape: [values.length], values }));
    list.push({ note: "special values", inputs, differentiable: false });
  }
  return list;
}

function defineRow(name: string, row: Row): void {
  const dtypes: DType[] = row.ints ? ["f32", "i32"] : ["f32"];
  const compares = row.f.startsWith("select(0.0, 1.0");
  const evaluate = (inputs: readonly NDArray[], f: Fn) =>
    mapBroadcast(inputs, "f32", (a, b, c) => f(a, b, c));
  const names = NAMES[name] ?? ["a", "b"];
  defineOp({
    name,
    infer: (inputs) => {
      const dtype = commonDtype(name, inputs, dtypes);
      return [{ shape: broadcastInfer(name, inputs), dtype: compares ? "f32" : dtype }];
    },
    ref: (inputs) => [{ ...evaluate(inputs, row.ref), dtype: compares ? "f32" : inputs[0].dtype }],
    vjp: row.vjp
      ? (args) => {
          const g = args.gy[0];
          if (!g) return args.inputs.map(() => null);
          const raw = (row.vjp as NonNullable<Row["vjp"]>)({ ...args, g });
          return raw.map((v, i) => (v && args.needs[i] ? sumTo(v, args.inputs[i].shape) : null));
        }
      : undefined,
    exact: row.exact,
    kinks: row.kinks,
    magnitude: (inputs) => [evaluate(inputs, row.magnitude ?? ((a, b, c) => abs(row.ref(a, b, c))))],
    builtin: (inputs) => [
      row.error
        ? evaluate(inputs, (a, b, c) => (row.error as NonNullable<Row["error"]>)(row.ref(a, b, c), a, b, c))
            .data
        : new Float64Array(evaluate(inputs, row.ref).data.length),
    ],
    cost: (_i, [y]) => ({ flops: numel(y.shape) }),
    kernels: elementwiseKernels({ wgsl: row.f, names, scalars: scalarsNone }),
    samples: samplesOf(row),
    split: elementwiseSplit,
  });
}

const scalarsNone = (_attrs: Attrs): readonly number[] => [];

for (const [name, row] of Object.entries(ROWS)) defineRow(name, row);
