// Elementwise functions of one tensor: one table row each, from which `unary_op.ts` makes the op and its gradient op.
// Columns: `f` the WGSL expression of x (and the scalars s0, s1) spliced into elementwise.wgsl; `ref` the same in
// float64; `df` the gradient expression of g and of x or y, whichever `uses` names; `dref` the same in float64;
// `error` the absolute error that WGSL's built-ins may add, from core/accuracy.ts.
// WGSL may assume that there are no NaNs, so whatever must pass NaN on is written with bits.

import { ulp, WGSL_ERROR as W } from "../core/accuracy.ts";
import {
  erfcError,
  gelu,
  geluGrad,
  geluInner,
  geluTanh,
  geluTanhGrad,
  powError,
  power,
  sigmoid,
  sigmoidError,
  softplus,
} from "./scalar_math.ts";

export interface UnaryRow {
  readonly f: string;
  readonly ref: (x: number, s0: number, s1: number) => number;
  /** Absent: the derivative is zero everywhere (floor, sign): not differentiable, gradients stop. */
  readonly df?: string;
  readonly dref?: (g: number, v: number, s0: number, s1: number) => number;
  readonly uses?: "x" | "y" | "none";
  readonly exact?: boolean;
  /** The gradient op only multiplies and selects. */
  readonly dexact?: boolean;
  readonly error?: (x: number, y: number, s0: number, s1: number) => number;
  /** Error of the gradient per unit of |g|, at v = x or y. */
  readonly derror?: (v: number, s0: number, s1: number) => number;
  readonly kinks?: readonly number[];
  readonly domain?: readonly [number, number];
  /** Names of the scalar attributes, in order s0, s1, with a sample value. */
  readonly scalars?: readonly (readonly [string, number])[];
  readonly ints?: boolean;
  /** Special values for which PyTorch gives what `ref` and `dref` give; the kinks are added for the gradient. */
  readonly special?: readonly number[];
  /** Further values of the scalars at which the special values are tried. */
  readonly alsoAt?: readonly (readonly number[])[];
}

const { exp, log, sqrt, abs, tanh, min, max } = Math;
const INF = Number.POSITIVE_INFINITY;
const ALL = [Number.NaN, INF, -INF, 0, -0];

export const UNARY: Readonly<Record<string, UnaryRow>> = {
  neg: {
    f: "-x",
    ref: (x) => -x,
    df: "-g",
    dref: (g) => -g,
    uses: "none",
    exact: true,
    dexact: true,
    ints: true,
  },
  abs: {
    f: "abs(x)",
    ref: abs,
    df: "select(select(0.0, g, v > 0.0), -g, v < 0.0)",
    dref: (g, v) => (v > 0 ? g : v < 0 ? -g : 0),
    uses: "x",
    exact: true,
    dexact: true,
    kinks: [0],
    special: ALL,
  },
  /** 0 for NaN, as torch.sign. */
  sign: {
    f: "select(0.0, 1.0, is_positive(x)) - select(0.0, 1.0, is_negative(x))",
    ref: (x) => +(x > 0) - +(x < 0),
    exact: true,
    special: ALL,
  },
  floor: { f: "floor(x)", ref: Math.floor, exact: true, special: ALL },
  ceil: { f: "ceil(x)", ref: Math.ceil, exact: true, special: ALL },
  square: {
    f: "x * x",
    ref: (x) => x * x,
    df: "2.0 * g * v",
    dref: (g, v) => 2 * g * v,
    uses: "x",
    exact: true,
    dexact: true,
    special: ALL,
  },
  exp: {
    f: "safe_exp(x)",
    ref: exp,
    df: "g * v",
    dref: (g, v) => g * v,
    uses: "y",
    dexact: true,
    error: W.exp,
    special: [Number.NaN, INF, 0],
  },
  log: {
    f: "safe_log(x)",
    ref: log,
    df: "g / v",
    dref: (g, v) => g / v,
    uses: "x",
    error: W.log,
    derror: (v) => W.div(0, 1 / v),
    domain: [0.05, 4],
    special: [Number.NaN, INF, -1],
  },
  sqrt: {
    f: "safe_sqrt(x)",
    ref: sqrt,
    df: "0.5 * g / v",
    dref: (g, v) => (0.5 * g) / v,
    uses: "y",
    error: W.sqrt,
    derror: (v) => W.div(0, 0.5 / v),
    domain: [0.05, 4],
    special: [INF, 0],
  },
  rsqrt: {
    f: "inverseSqrt(x)",
    ref: (x) => 1 / sqrt(x),
    df: "-0.5 * g * v * v * v",
    dref: (g, v) => -0.5 * g * v * v * v,
    uses: "y",
    error: W.inverseSqrt,
    domain: [0.05, 4],
  },
  reciprocal: {
    f: "1.0 / x",
    ref: (x) => 1 / x,
    df: "-g * v * v",
    dref: (g, v) => -g * v * v,
    uses: "y",
    error: W.div,
    domain: [0.2, 4],
  },
  sin: {
    f: "sin(x)",
    ref: Math.sin,
    df: "g * cos(v)",
    dref: (g, v) => g * Math.cos(v),
    uses: "x",
    error: W.sin,
    derror: W.sin,
  },
  cos: {
    f: "cos(x)",
    ref: Math.cos,
    df: "-g * sin(v)",
    dref: (g, v) => -g * Math.sin(v),
    uses: "x",
    error: W.sin,
    derror: W.sin,
  },
  relu: {
    f: "relu_bits(x)",
    ref: (x) => max(x, 0),
    df: "select(g, 0.0, not_positive(v))",
    dref: (g, v) => (v <= 0 ? 0 : g),
    uses: "y",
    exact: true,
    dexact: true,
    kinks: [0],
    special: ALL,
  },
  /** torch's hardtanh(x, 0, 6): the gradient of NaN is 0. */
  relu6: {
    f: "clamp_bits(x, 0.0, 6.0)",
    ref: (x) => min(max(x, 0), 6),
    df: "select(0.0, g, is_positive(v) && v < 6.0)",
    dref: (g, v) => (v > 0 && v < 6 ? g : 0),
    uses: "x",
    exact: true,
    dexact: true,
    kinks: [0, 6],
    domain: [-3, 9],
    special: ALL,
  },
  /** The bounds themselves pass the gradient, NaN does not (torch.clamp); where min > max the result is max. */
  clamp: {
    f: "clamp_bits(x, s0, s1)",
    ref: (x, lo, hi) => min(max(x, lo), hi),
    df: "select(0.0, g, !is_nan(v) && v >= s0 && v <= s1)",
    dref: (g, v, lo, hi) => (v >= lo && v <= hi ? g : 0),
    uses: "x",
    exact: true,
    dexact: true,
    kinks: [-1, 1],
    scalars: [
      ["min", -1],
      ["max", 1],
    ],
    special: ALL,
    alsoAt: [
      [0.5, INF],
      [-INF, 0.5],
      [-INF, INF],
      [2, -2],
    ],
  },
  leakyRelu: {
    f: "pass_nan(x, select(x * s0, x, is_positive(x)))",
    ref: (x, s) => (x > 0 ? x : x * s),
    df: "select(g * s0, g, is_positive(v))",
    dref: (g, v, s) => (v > 0 ? g : g * s),
    uses: "x",
    exact: true,
    dexact: true,
    kinks: [0],
    scalars: [["negativeSlope", 0.25]],
    special: ALL,
    alsoAt: [[-0.5]],
  },
  elu: {
    f: "pass_nan(x, select(s0 * expm1_neg(x), x, is_positive(x)))",
    ref: (x, a) => (x > 0 ? x : a * Math.expm1(x)),
    df: "select(g * s0 * safe_exp(v), g, is_positive(v))",
    dref: (g, v, a) => (v > 0 ? g : g * a * exp(v)),
    uses: "x",
    error: (x, _y, a) => (x < 0 ? abs(a) * (6 + 2 * abs(x)) * ulp(1) : 0),
    derror: (v, a) => (v > 0 ? 0 : abs(a) * W.exp(v, exp(v))),
    kinks: [0],
    scalars: [["alpha", 1]],
    special: ALL,
    alsoAt: [[1.75]],
  },
  sigmoid: {
    f: "sigmoid(x)",
    ref: sigmoid,
    df: "g * v * (1.0 - v)",
    dref: (g, v) => g * v * (1 - v),
    uses: "y",
    error: sigmoidError,
    derror: (v) => abs(v) * ulp(1),
    special: [Number.NaN, INF, -INF],
  },
  tanh: {
    f: "tanh_exp(x)",
    ref: tanh,
    df: "g * (1.0 - v * v)",
    dref: (g, v) => g * (1 - v * v),
    uses: "y",
    error: (x, y) => {
      const t = exp(-2 * abs(x));
      return ((3 + 4 * abs(x)) * ulp(t) * 2) / (1 + t) ** 2 + 4 * ulp(y);
    },
    derror: () => 2 * ulp(1),
    special: [Number.NaN, INF, -INF],
  },
  silu: {
    f: "x * sigmoid(x)",
    ref: (x) => x * sigmoid(x),
    df: "g * silu_grad(v)",
    dref: (g, v) => g * sigmoid(v) * (1 + v * (1 - sigmoid(v))),
    uses: "x",
    error: (x, y) => abs(x) * sigmoidError(x) + ulp(y),
    derror: (v) => (1 + 2 * abs(v)) * (sigmoidError(v) + 2 * ulp(1)),
  },
  gelu: {
    f: "0.5 * x * erfc_f32(-x * 0.70710678)",
    ref: gelu,
    df: "g * (0.5 * erfc_f32(-v * 0.70710678) + v * 0.39894228 * exp(-0.5 * v * v))",
    dref: (g, v) => g * geluGrad(v),
    uses: "x",
    error: (x, y) => abs(x) * erfcError(x) + ulp(y),
    derror: (v) => erfcError(v) + (8 + 2 * v * v) * ulp(abs(v) * exp((-v * v) / 2)) + ulp(1),
  },
  geluTanh: {
    f: "x * sigmoid(2.0 * gelu_inner(x))",
    ref: geluTanh,
    df: "g * gelu_tanh_grad(v)",
    dref: (g, v) => g * geluTanhGrad(v),
    uses: "x",
    error: (x, y) => abs(x) * (sigmoidError(2 * geluInner(x)) + 8 * abs(geluInner(x)) * ulp(1)) + ulp(y),
    derror: (v) => (4 + 16 * abs(v) * (1 + v * v)) * (sigmoidError(2 * geluInner(v)) + 4 * ulp(1)),
  },
  hardswish: {
    f: "x * clamp_bits(x + 3.0, 0.0, 6.0) / 6.0",
    ref: (x) => (x * min(max(x + 3, 0), 6)) / 6,
    df: "pass_nan(v, select(select(g * (v / 3.0 + 0.5), g, v >= 3.0), 0.0, v < -3.0))",
    dref: (g, v) => (v < -3 ? 0 : v >= 3 ? g : g * (v / 3 + 0.5)),
    uses: "x",
    error: (x, y) => W.div(0, y) + 2 * ulp(y) + (abs(x) * ulp(6)) / 6,
    derror: (v) => W.div(0, v / 3) + 2 * ulp(1.5),
    kinks: [-3, 3],
    domain: [-5, 5],
    special: [Number.NaN, INF, 0],
  },
  hardsigmoid: {
    f: "clamp_bits(x + 3.0, 0.0, 6.0) / 6.0",
    ref: (x) => min(max(x + 3, 0), 6) / 6,
    df: "select(0.0, g / 6.0, !is_nan(v) && v > -3.0 && v < 3.0)",
    dref: (g, v) => (v > -3 && v < 3 ? g / 6 : 0),
    uses: "x",
    error: (_x, y) => W.div(0, y) + ulp(6) / 6,
    derror: () => W.div(0, 1 / 6),
    kinks: [-3, 3],
    domain: [-5, 5],
    special: ALL,
  },
  softplus: {
    f: "softplus(x)",
    ref: softplus,
    df: "g * sigmoid(v)",
    dref: (g, v) => g * sigmoid(v),
    uses: "x",
    error: (x, y) => W.log(1 + exp(-abs(x)), 0) + (3 + 2 * abs(x)) * ulp(exp(-abs(x))) + 2 * ulp(y) + ulp(1),
    derror: sigmoidError,
  },
  addScalar: {
    f: "x + s0",
    ref: (x, s) => x + s,
    df: "g",
    dref: (g) => g,
    uses: "none",
    exact: true,
    dexact: true,
    scalars: [["value", 3]],
  },
  mulScalar: {
    f: "x * s0",
    ref: (x, s) => x * s,
    df: "g * s0",
    dref: (g, _v, s) => g * s,
    uses: "none",
    exact: true,
    dexact: true,
    scalars: [["value", -3]],
  },
  /** The gradient of x⁰ is 0 everywhere (torch.pow). */
  powScalar: {
    f: "pow_signed(x, s0)",
    ref: power,
    df: "select(g * (s0 * pow_signed(v, s0 - 1.0)), 0.0, s0 == 0.0)",
    dref: (g, v, p) => (p === 0 ? 0 : g * (p * power(v, p - 1))),
    uses: "x",
    error: (x, y, p) => powError(x, y, p),
    derror: (v, p) => abs(p) * powError(v, power(v, p - 1), p - 1),
    domain: [0.2, 3],
    scalars: [["exponent", 2.5]],
    special: [...ALL, 1, -1, 4],
    alsoAt: [[-1], [-2], [0], [0.5], [1], [2], [3]],
  },
};
