// Makes an op and its gradient op from every row of unary.ts.

import { UsageError } from "../core/error.ts";
import { shown } from "../core/options.ts";
import { numel } from "../core/shape.ts";
import { mapArray, type NDArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp, type Sample } from "../graph/op.ts";
import { call } from "./build.ts";
import {
  broadcastInfer,
  commonDtype,
  elementwiseKernels,
  elementwiseSplit,
  mapBroadcast,
} from "./elementwise.ts";
import { UNARY, type UnaryRow } from "./unary.ts";

const scalarsOf = (row: UnaryRow) => (attrs: Attrs) =>
  (row.scalars ?? []).map(([name]) => Number(attrs[name]));

/** Sample attributes of a row. */
function sampleAttrs(row: UnaryRow): Attrs | undefined {
  return row.scalars ? Object.fromEntries(row.scalars) : undefined;
}

/** The special values of a row at its sample scalars and at further ones; with a gradient beside them for its gradient. */
function specialSamples(row: UnaryRow, gradient: boolean): Sample[] {
  if (!row.special) return [];
  const own = (row.scalars ?? []).map(([, v]) => v);
  return [own, ...(row.alsoAt ?? [])].map((scalars) => {
    const x = [...(row.special ?? []), ...(gradient ? (row.kinks ?? []) : [])];
    const values = gradient && row.uses === "y" ? x.map((v) => row.ref(v, scalars[0], scalars[1])) : x;
    const at = { shape: [values.length], values };
    return {
      note: "special values",
      inputs: gradient ? [{ shape: at.shape, values: [1.5, -0.5] }, at] : [at],
      attrs: row.scalars && Object.fromEntries(row.scalars.map(([name], i) => [name, scalars[i]])),
      differentiable: false,
    };
  });
}

function samplesOf(row: UnaryRow): Sample[] {
  const [low, high] = row.domain ?? [-2, 2];
  const attrs = sampleAttrs(row);
  const plain = [[3, 5], [2, 3, 4, 4], [1], []].map((shape) => ({ inputs: [{ shape, low, high }], attrs }));
  const large = { note: "large", inputs: [{ shape: [2, 2100], low, high }], attrs, differentiable: false };
  return [...plain, large, ...specialSamples(row, false)];
}

/** Infinities and NaN are numbers too: x·∞ is what PyTorch says. */
function checkScalar(name: string, key: string, v: unknown): void {
  if (typeof v !== "number") throw new UsageError(`${name}: ${key} must be a number, got ${shown(v)}`);
}

function defineRow(name: string, row: UnaryRow): void {
  const scalars = scalarsOf(row);
  const uses = row.uses ?? "none";
  defineOp({
    name,
    infer: (inputs, attrs) => {
      for (const [key] of row.scalars ?? []) checkScalar(name, key, attrs[key]);
      const dtype = commonDtype(name, inputs, row.ints ? ["f32", "i32"] : ["f32"]);
      return [{ shape: broadcastInfer(name, inputs), dtype }];
    },
    ref: ([x], attrs) => {
      const [s0, s1] = scalars(attrs);
      return [mapArray(x, (v) => row.ref(v, s0, s1))];
    },
    vjp: row.df
      ? ({ inputs: [x], outputs: [y], attrs, gy: [g] }) => {
          if (!g) return [null];
          const saved = uses === "x" ? [x] : uses === "y" ? [y] : [];
          return [call(`${name}Grad`, [g, ...saved], attrs)];
        }
      : undefined,
    exact: row.exact,
    kinks: row.kinks,
    magnitude: ([x], attrs) => {
      const [s0, s1] = scalars(attrs);
      return [mapArray(x, (v) => Math.abs(row.ref(v, s0, s1)) + Math.abs(name === "addScalar" ? v : 0))];
    },
    builtin: ([x], [y], attrs) => {
      const [s0, s1] = scalars(attrs);
      return [y.data.map((v, i) => row.error?.(x.data[i], v, s0, s1) ?? 0)];
    },
    cost: (_i, [y]) => ({ flops: numel(y.shape) }),
    kernels: elementwiseKernels(name, { wgsl: row.f, names: ["x"], scalars }),
    samples: samplesOf(row),
    split: elementwiseSplit,
  });
  if (row.df && row.dref) defineGradient(name, row);
}

function defineGradient(name: string, row: UnaryRow): void {
  const scalars = scalarsOf(row);
  const dref = row.dref as NonNullable<UnaryRow["dref"]>;
  const two = row.uses !== "none" && row.uses !== undefined;
  const evaluate = (
    g: NDArray,
    v: NDArray | undefined,
    attrs: Attrs,
    f: (y: number, g: number, v: number) => number,
  ) => {
    const [s0, s1] = scalars(attrs);
    return mapBroadcast(v ? [g, v] : [g], "f32", (a, b) => f(dref(a, b, s0, s1), a, b));
  };
  const [low, high] = gradientDomain(row);
  const attrs = sampleAttrs(row);
  const grad = (shape: readonly number[]): Sample => ({
    inputs: two ? [{ shape }, { shape, low, high }] : [{ shape }],
    attrs,
    differentiable: false,
  });
  defineOp({
    name: `${name}Grad`,
    infer: (inputs) => [
      { shape: broadcastInfer(`${name}Grad`, inputs), dtype: commonDtype(name, inputs, ["f32"]) },
    ],
    ref: ([g, v], a) => [evaluate(g, v, a, (y) => y)],
    exact: row.dexact,
    kinks: row.kinks,
    magnitude: ([g, v], a) => [evaluate(g, v, a, (y) => Math.abs(y))],
    builtin: ([g, v], _o, a) => {
      const [s0, s1] = scalars(a);
      return [evaluate(g, v, a, (_y, gg, vv) => Math.abs(gg) * (row.derror?.(vv, s0, s1) ?? 0)).data];
    },
    cost: (_i, [y]) => ({ flops: 2 * numel(y.shape) }),
    kernels: elementwiseKernels(`${name}Grad`, {
      wgsl: row.df as string,
      names: two ? ["g", "v"] : ["g"],
      scalars,
    }),
    samples: [grad([3, 5]), grad([2, 3, 4, 4]), grad([]), ...(two ? specialSamples(row, true) : [])],
    split: elementwiseSplit,
  });
}

/** Where the saved operand lies: the row's domain for x, its image for y. */
function gradientDomain(row: UnaryRow): readonly [number, number] {
  const [low, high] = row.domain ?? [-2, 2];
  if (row.uses !== "y") return [low, high];
  const s = row.scalars?.map(([, v]) => v) ?? [];
  const ends = [row.ref(low, s[0], s[1]), row.ref(high, s[0], s[1])].sort((a, b) => a - b);
  return [ends[0], ends[1]];
}

for (const [name, row] of Object.entries(UNARY)) defineRow(name, row);
