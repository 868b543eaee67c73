// The TypeScript side of test/fixtures/nn/functions.py, run on whatever backend the session has. Where PyTorch has NaN
// or an infinity, so must we.
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { concat, nn, ones, Tensor, tensor, where } from "../../src/index.ts";

interface Values {
  readonly shape: number[];
  readonly data: (number | string)[];
}

interface FunctionCase {
  readonly inputs: (Values & { readonly int: boolean; readonly grad: boolean })[];
  readonly outputs: Values[];
  readonly grads: (Values | null)[];
}

const { cases } = JSON.parse(
  readFileSync(new URL("../fixtures/nn/functions.json", import.meta.url), "utf8"),
) as { cases: Record<string, FunctionCase> };

type Fn = (...x: Tensor[]) => Tensor | Tensor[];

const SPECIAL: Record<string, Fn> = {
  sign: (x) => x.sign(),
  relu: (x) => x.relu(),
  relu6: (x) => x.relu6(),
  leakyRelu: (x) => x.leakyRelu(0.2),
  leakyReluDown: (x) => x.leakyRelu(-0.5),
  leakyReluFlat: (x) => x.leakyRelu(0),
  elu: (x) => x.elu(),
  eluSteep: (x) => x.elu(1.7),
  hardswish: (x) => x.hardswish(),
  hardsigmoid: (x) => x.hardsigmoid(),
  clamp: (x) => x.clamp(-1, 1),
  clampMin: (x) => x.clamp(0.5),
  clampMax: (x) => x.clamp(undefined, 0.5),
  clampOpen: (x) => x.clamp(),
  clampCrossed: (x) => x.clamp(2, -2),
  ne: (x) => x.ne(1),
  neSelf: (x) => x.ne(x),
  eqSelf: (x) => x.eq(x),
  gt: (x) => x.gt(0),
  le: (x) => x.le(0),
  pow0: (x) => x.pow(0),
  pow1: (x) => x.pow(1),
  pow2: (x) => x.pow(2),
  pow3: (x) => x.pow(3),
  powhalf: (x) => x.pow(0.5),
  "pow-1": (x) => x.pow(-1),
  "pow-2": (x) => x.pow(-2),
  "pow2.5": (x) => x.pow(2.5),
  powPairs: (a, b) => a.pow(b),
  maximumPairs: (a, b) => a.maximum(b),
  minimumPairs: (a, b) => a.minimum(b),
  eqPairs: (a, b) => a.eq(b),
  nePairs: (a, b) => a.ne(b),
  ltPairs: (a, b) => a.lt(b),
  gePairs: (a, b) => a.ge(b),
  where: (c, a, b) => where(c, a, b),
};

const { functional: F } = nn;
const none = () => tensor(new Int32Array(0), [0]);
const conv =
  (padding: "same" | "valid", dilation: number | [number, number]) => (x: Tensor, w: Tensor, b: Tensor) =>
    F.conv2d(x, w, b, { padding, dilation });

const EMPTY: Record<string, Fn> = {
  add: (x, y) => x.add(y),
  mulDiv: (x, y) => x.mul(y).div(y.add(3)),
  pow: (x, y) => x.add(3).pow(y),
  maximum: (x, y) => x.maximum(y),
  ones: () => ones([0, 3]).add(1),
  sum: (x) => x.sum(),
  sumAxis: (x) => x.sum(0),
  sumKept: (x) => x.sum(1, true),
  mean: (x) => x.mean(),
  reshape: (x) => x.reshape(3, 0).mul(2),
  expand: (x) => x.expand(3, 0),
  slice: (x) => [x.slice(0, 2, 2), x.slice(1, 5).mul(2), x.slice(0, 4).sum(0)],
  concat: (x, y, z) => concat([x, y, z]),
  concatColumns: (x, y) => concat([x, y, x], 1).square(),
  pad: (x) => x.pad([1, 2], 3),
  matmulRows: (x, y) => x.matmul(y),
  matmulInner: (x, y) => x.matmul(y),
  linear: (x, w, b) => F.linear(x, w, b),
  conv: (x, w, b) => F.conv2d(x, w, b, { padding: 1 }).relu(),
  maxPool: (x) => F.maxPool2d(x, 2),
  avgPool: (x) => F.adaptiveAvgPool2d(x, 2).flatten(1),
  batchNorm: (x, w, b) => {
    const running = { mean: new nn.Buffer([2]), variance: new nn.Buffer([2], Float32Array.of(1, 1)) };
    return F.batchNorm(x, running, w, b, { training: false });
  },
  softmax: (x) => [x.softmax(1), x.logSoftmax(1)],
  crossEntropy: (x) => F.crossEntropy(x, none()),
  crossEntropySum: (x) => F.crossEntropy(x, none(), { reduction: "sum" }),
  mse: (x, y) => F.mseLoss(x, y),
};

const STATS: Record<string, Fn> = {
  max: (x) => [x.max(), x.max([0, 2]), x.min(1, true), x.min()],
  var: (x) => [x.var(), x.var([0, 2]), x.var(1, true, 0)],
  std: (x) => [x.std(), x.std([0, 2]), x.std(1, true, 0)],
  stdFlat: (x) => x.std(1),
  varOne: (x) => x.var(1),
  norm: (x) => [x.norm(), x.norm(2, 1), x.norm(1, 0, true), x.norm(Infinity)],
  normZero: (x) => x.norm(2, 1),
};

const smoothed = (reduction: "mean" | "sum" | "none") => (x: Tensor, t: Tensor, weight: Tensor) =>
  F.crossEntropy(x, t, { weight, reduction, labelSmoothing: 0.1 });

const OTHERS: Record<string, Fn> = {
  "slice.beyond": (x) => [
    x.slice(0, 2, 99),
    x.slice(0, -9, 2),
    x.slice(1, -2),
    x.slice(0, 3, 1),
    x.slice(0, 9),
  ],
  "conv.same[3, 3]1": conv("same", 1),
  "conv.same[4, 2]1": conv("same", 1),
  "conv.same[3, 2](2, 3)": conv("same", [2, 3]),
  "conv.valid[3, 3]1": conv("valid", 1),
  "conv.valid[4, 2]1": conv("valid", 1),
  "conv.valid[3, 2](2, 3)": conv("valid", [2, 3]),
  "adaptive.rows": (x) => F.adaptiveAvgPool2d(x, [null, 3]),
  "adaptive.columns": (x) => F.adaptiveAvgPool2d(x, [2, null]),
  "probabilities.mean": smoothed("mean"),
  "probabilities.sum": smoothed("sum"),
  "probabilities.none": smoothed("none"),
  "probabilities.pixels": (x, t, weight) => F.crossEntropy(x, t, { weight }),
  "probabilities.plain": (x, t) => F.crossEntropy(x, t),
  "classes.one": (x) => F.crossEntropy(x, tensor(Int32Array.of(1), [])),
  "classes.oneNone": (x) => F.nllLoss(x.logSoftmax(0), tensor(Int32Array.of(2), []), { reduction: "none" }),
  "mse.broadcast": (x, t) => F.mseLoss(x, t),
  "bce.ends": (p, t) => F.binaryCrossEntropy(p, t, { reduction: "none" }),
};

const under = (prefix: string, table: Record<string, Fn>) =>
  Object.entries(table).map(([name, f]) => [`${prefix}.${name}`, f] as const);

const FUNCTIONS = new Map<string, Fn>([
  ...under("special", SPECIAL),
  ...under("empty", EMPTY),
  ...under("stats", STATS),
  ...Object.entries(OTHERS),
]);

const functionOf = (name: string): Fn | undefined =>
  name.startsWith("matmul.") ? (a, b) => a.matmul(b) : FUNCTIONS.get(name);

/** Names of all cases of the fixture: one without a function here fails. */
export const FUNCTION_CASES = Object.keys(cases);

const number = (v: number | string) =>
  typeof v === "number" ? v : v === "nan" ? Number.NaN : v === "inf" ? Infinity : -Infinity;

function close(got: ArrayLike<number>, shape: readonly number[], want: Values, limit: number, what: string) {
  expect([...shape], `shape of ${what}`).toEqual(want.shape);
  const wanted = want.data.map(number);
  const finite = wanted.filter(Number.isFinite).map(Math.abs);
  const top = Math.max(1e-3, ...finite);
  wanted.forEach((w, i) => {
    const ok = Number.isFinite(w) ? Math.abs(got[i] - w) <= limit * top : Object.is(got[i], w);
    expect(ok, `${what} [${i}]: ${got[i]} against ${w}`).toBe(true);
  });
}

/** Runs a case and compares outputs and gradients; `limit` is relative to the largest wanted value. */
export async function checkFunction(name: string, limit: number): Promise<void> {
  const c = cases[name];
  const f = functionOf(name);
  if (!f) throw new Error(`function_cases.ts has no ${name}`);
  const inputs = c.inputs.map((i) => {
    const data = i.data.map(number);
    const x = tensor(i.int ? Int32Array.from(data) : Float32Array.from(data), i.shape);
    x.requiresGrad = i.grad;
    return x;
  });
  const y = f(...inputs);
  const outputs = y instanceof Tensor ? [y] : y;
  expect(outputs.length).toBe(c.outputs.length);
  const parts = outputs.flatMap((t, k) => {
    if (!t.requiresGrad) return [];
    const cot = Float32Array.from({ length: t.numel }, (_, j) => Math.sin(1.3 * j + 0.7 + k));
    return [t.mul(tensor(cot, t.shape)).sum()];
  });
  if (parts.length > 0) parts.reduce((a, b) => a.add(b)).backward();
  for (const [k, t] of outputs.entries())
    close(await t.data(), t.shape, c.outputs[k], limit, `output ${k} of ${name}`);
  for (const [k, want] of c.grads.entries()) {
    const g = inputs[k].grad;
    // What has no derivative anywhere (sign, comparisons) leaves null where PyTorch has zeros.
    if (!g && want)
      expect(
        want.data.every((v) => v === 0),
        `gradient ${k} of ${name} is missing`,
      ).toBe(true);
    if (g && want) close(await g.data(), g.shape, want, limit, `gradient ${k} of ${name}`);
  }
}
