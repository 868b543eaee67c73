// Elementwise functions of two or three tensors, one row each: arithmetic, comparisons, selection, and the pointwise
// parts of the losses. `vjp` builds the gradients from other ops; binary_op.ts makes the ops and undoes broadcasting.

import { UNIT, ulp, WGSL_ERROR as W } from "../core/accuracy.ts";
import type { Value } from "../graph/node.ts";
import type { VjpArgs } from "../graph/op.ts";
import { addScalar, call, div, full, mul, mulScalar, neg, sub, where } from "./build.ts";
import type { Expression } from "./elementwise.ts";
import { powError, power } from "./scalar_math.ts";

export type Fn = (a: number, b: number, c: number) => number;

export interface BinaryRow {
  readonly arity: 2 | 3;
  readonly f: Expression["wgsl"];
  readonly ref: Fn;
  readonly exact?: boolean;
  readonly ints?: boolean;
  /** Gives f32, 0 or 1, whatever the operands are. */
  readonly compares?: boolean;
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

/** g unless x < other, half of it on ties: PyTorch's gradient of maximum and minimum. Both get it beside a NaN. */
function pickGrad(g: Value, x: Value, other: Value): Value {
  const half = where(call("eq", [x, other]), mulScalar(g, 0.5), g);
  return where(call("lt", [x, other]), full([], 0), half);
}

/** By bits where there may be NaNs: `unordered` is what a comparison with one gives. */
const compare = (op: string, ref: Fn, unordered = false): BinaryRow => ({
  arity: 2,
  f: (dtype) => {
    const nan = unordered ? "|| is_nan(a) || is_nan(b)" : "&& !is_nan(a) && !is_nan(b)";
    return `select(0.0, 1.0, a ${op} b${dtype === "f32" ? ` ${nan}` : ""})`;
  },
  ref,
  exact: true,
  ints: true,
  compares: true,
  special: [
    [NAN, NAN, 1, INF, -INF, INF, 0],
    [NAN, 1, NAN, INF, INF, 3, -0],
  ],
});

/** Every value with every other: two operands. */
const pairs = (values: readonly number[]) => [
  values.flatMap((a) => values.map(() => a)),
  values.flatMap(() => values),
];

const logistic = (x: number) => max(x, 0) + Math.log1p(exp(-abs(x)));
const clampLog = (p: number) => max(Math.log(p), -100);

export const BINARY: Readonly<Record<string, BinaryRow>> = {
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
    ref: power,
    error: (y, a, b) => powError(a, y, b),
    domains: [
      [0.3, 2],
      [-2, 2],
    ],
    vjp: ({ inputs: [a, b], outputs: [y], g, needs }) => [
      needs[0] ? powBase(g, a, b) : null,
      needs[1] ? powExponent(g, a, b, y) : null,
    ],
    special: pairs([NAN, INF, -INF, 0, -0, 1, -1, -2, 3, 0.5]),
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
  ne: compare("!=", (a, b) => +(a !== b), true),
  gt: compare(">", (a, b) => +(a > b)),
  ge: compare(">=", (a, b) => +(a >= b)),
  lt: compare("<", (a, b) => +(a < b)),
  le: compare("<=", (a, b) => +(a <= b)),
  /** a where cond is not zero, else b. */
  where: {
    arity: 3,
    f: "select(b, a, (bitcast<u32>(cond) & 0x7fffffffu) != 0u)",
    ref: (c, a, b) => (c !== 0 ? a : b),
    exact: true,
    kinks: [0],
    special: [
      [NAN, 0, -0, 1, INF],
      [1, NAN, 3, NAN, 5],
      [6, 7, NAN, 9, NAN],
    ],
    vjp: ({ inputs: [c], g, needs }) => {
      const zero = full([], 0);
      return [null, needs[1] ? where(c, g, zero) : null, needs[2] ? where(c, zero, g) : null];
    },
  },
  /** Binary cross entropy of probabilities; logarithms are clamped at -100 (torch.nn.BCELoss). */
  bce: {
    arity: 2,
    f: "-(t * max_bits(safe_log(p), -100.0) + (1.0 - t) * max_bits(safe_log(1.0 - p), -100.0))",
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

/** ∂aᵇ/∂a = b·aᵇ⁻¹, and 0 for b = 0 whatever a is (torch.pow). */
function powBase(g: Value, a: Value, b: Value): Value {
  const slope = mul(b, call("pow", [a, addScalar(b, -1)]));
  return where(b, mul(g, slope), full([], 0));
}

/** ∂aᵇ/∂b = aᵇ·log a, and its limit 0 at a = 0 with b ≥ 0 (torch.pow). */
function powExponent(g: Value, a: Value, b: Value, y: Value): Value {
  const zero = full([], 0);
  const limit = mul(call("eq", [a, zero]), call("ge", [b, zero]));
  return where(limit, zero, mul(g, mul(y, call("log", [a]))));
}
