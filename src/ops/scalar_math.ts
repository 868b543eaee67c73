// Functions of one or two numbers in float64 that the references of elementwise ops use, and the errors that WGSL's
// built-ins add to them (core/accuracy.ts). Mathematics only: nothing here knows of graphs or kernels.

import { ulp } from "../core/accuracy.ts";

const { exp, sqrt, abs, max } = Math;

export const sigmoid = (x: number): number => 1 / (1 + exp(-x));
export const softplus = (x: number): number => max(x, 0) + Math.log1p(exp(-abs(x)));

/** Complementary error function to double precision (continued fraction and series; A&S 7.1.5, 7.1.14). */
export function erfc(x: number): number {
  const z = abs(x);
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 80; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    const erf = (2 / sqrt(Math.PI)) * sum;
    return x < 0 ? 1 + erf : 1 - erf;
  }
  let f = 0;
  for (let k = 60; k >= 1; k--) f = k / 2 / (z + f);
  const tail = exp(-z * z) / (sqrt(Math.PI) * (z + f));
  return x < 0 ? 2 - tail : tail;
}

export const gelu = (x: number): number => 0.5 * x * erfc(-x / Math.SQRT2);
export const geluGrad = (x: number): number =>
  0.5 * erfc(-x / Math.SQRT2) + (x * exp((-x * x) / 2)) / sqrt(2 * Math.PI);
const C = sqrt(2 / Math.PI);
export const geluInner = (x: number): number => C * (x + 0.044715 * x * x * x);
export const geluTanh = (x: number): number => x * sigmoid(2 * geluInner(x));
export const geluTanhGrad = (x: number): number => {
  const s = sigmoid(2 * geluInner(x));
  return s + x * s * (1 - s) * 2 * C * (1 + 3 * 0.044715 * x * x);
};

/** x to the power p as C and PyTorch have it: 1 for p = 0 and for x = 1, NaN or not, where JavaScript has NaN. */
export function power(x: number, p: number): number {
  const one = p === 0 || x === 1 || (x === -1 && abs(p) === Number.POSITIVE_INFINITY);
  return one ? 1 : x ** p;
}

/** Error of 1 / (1 + exp(-x)) and of products with it. */
export const sigmoidError = (x: number): number => (6 + 2 * abs(x)) * ulp(sigmoid(x)) + 4 * ulp(sigmoid(x));
export const erfcError = (x: number): number => {
  const y = erfc(-x / Math.SQRT2);
  return y * 1.5e-7 + (8 + 2 * x * x) * ulp(y) + 2 * ulp(1);
};

/** pow is exp2(y·log2(x)) in WGSL: the error of log2 times |p|·ln 2·|y|, and that of exp2. */
export function powError(x: number, y: number, p: number): number {
  if (x === 0 || y === 0 || ![x, y, p].every(Number.isFinite)) return 0;
  const log2x = Math.log2(abs(x));
  const inner = abs(p) * (x >= 0.5 && x <= 2 ? 2 ** -21 : 3 * ulp(log2x)) + ulp(p * log2x);
  return abs(y) * inner * Math.LN2 + (3 + 2 * abs(p * log2x)) * ulp(y);
}
