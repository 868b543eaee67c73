// Values for the operands of a kernel that is verified and timed alone: random ones in the range that the op's own samples
// state, and others where they would mean nothing (labels, places of a maximum) or where a decision would hang on rounding
// (the ReLU behind a gradient).

import type { HostArray } from "../src/core/dtype.ts";
import { Generator } from "../src/core/random.ts";
import { numel } from "../src/core/shape.ts";
import { ndarray } from "../src/graph/array.ts";
import { type AnyOp, type Call, type Operand, opNamed } from "../src/graph/op.ts";

const POOL = 2 ** 20;
let pool: Float32Array | null = null;

/** `n` random values in [-1, 1), drawn once and read from another place for every operand. */
function uniform(n: number, operand: number): Float32Array {
  if (!pool) {
    const random = new Generator(20261123);
    pool = Float32Array.from({ length: POOL }, () => 2 * random.uniform() - 1);
  }
  const out = new Float32Array(n);
  let from = (operand * 333_667) % POOL;
  for (let at = 0; at < n; from = 0) {
    const part = pool.subarray(from, from + Math.min(POOL - from, n - at));
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Multiples of 2⁻⁸ in [-1, 1): products of two are exact. */
const coarse = (n: number, operand: number) => uniform(n, operand).map((v) => Math.floor(v * 256) / 256);

/** Odd multiples of `half`, which no sum of multiples of 2·half can cancel. */
const between = (n: number, operand: number, half: number) => coarse(n, operand).map((v) => v + half);

/** No ReLU, or one in every second channel, always on or always off. */
const biases = (n: number) => Float32Array.from({ length: n }, (_, c) => [0, 6, 0, -6][c % 4]);

type Fill = (n: number, operand: number, call: Call) => HostArray;

/** Whole numbers that name a class of the logits, which are the widest operand. */
const labels: Fill = (n, _operand, call) => {
  const classes = Math.max(...call.inputs.map((o) => (o.shape.length === 2 ? o.shape[1] : 1)));
  const random = new Generator(7);
  return Int32Array.from({ length: n }, () => random.integer(classes));
};

/** Where the maxima of a random picture lie. */
const places: Fill = (_n, operand, call) => {
  const [y] = call.outputs;
  const x = ndarray(y.shape, uniform(numel(y.shape), operand));
  return Int32Array.from(opNamed("maxPool2d").ref([x], call.attrs)[1].data);
};

/**
 * The operands of the gradients behind a ReLU: x, then what makes up x·s + t. Given s and t, that is 2⁻¹⁷ from zero at
 * least; given mean, variance, weight and bias, x is 2⁻⁹ from the mean, and the bias is 0 or decides.
 */
const GIVEN_AFFINE: Readonly<Record<number, Fill>> = {
  1: coarse,
  2: coarse,
  3: (n, k) => between(n, k, 2 ** -17),
};
const GIVEN_STATISTICS: Readonly<Record<number, Fill>> = {
  1: coarse,
  2: (n, k) => between(n, k, 2 ** -9),
  5: biases,
};

const SPECIAL: Readonly<Record<string, Readonly<Record<number, Fill>>>> = {
  crossEntropyRows: { 1: labels },
  crossEntropyGrad: { 2: labels },
  maxPool2dInput: { 1: places },
  normalizePass: GIVEN_AFFINE,
  normalizeCorrected: GIVEN_AFFINE,
  normalizeInput: GIVEN_STATISTICS,
  normalizeSums: GIVEN_STATISTICS,
};

function fill(op: AnyOp, call: Call, o: Operand, operand: number): HostArray {
  const n = numel(o.shape);
  const special = SPECIAL[op.name]?.[operand];
  if (special) return special(n, operand, call);
  if (o.dtype !== "f32")
    throw new Error(`benchmark: no values are known for operand ${operand} (${o.dtype}) of ${op.name}`);
  const spec = op.samples[0]?.inputs[operand];
  if (spec?.values && spec.values.length === n) return Float32Array.from(spec.values);
  const plain = uniform(n, operand);
  if (spec?.low === undefined && spec?.high === undefined) return plain;
  const { low = -2, high = 2 } = spec;
  return plain.map((v) => low + ((v + 1) / 2) * (high - low));
}

/** Dense values of a call's inputs, the same at every run. */
export function operandsOf(op: AnyOp, call: Call): HostArray[] {
  return call.inputs.map((o, i) => fill(op, call, o, i));
}
