// Makes an op from every row of binary.ts.

import type { DType } from "../core/dtype.ts";
import { numel } from "../core/shape.ts";
import type { NDArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp, type InputSpec, type Sample } from "../graph/op.ts";
import { BINARY, type BinaryRow, type Fn } from "./binary.ts";
import { sumTo } from "./build.ts";
import {
  broadcastInfer,
  commonDtype,
  elementwiseKernels,
  elementwiseSplit,
  mapBroadcast,
} from "./elementwise.ts";

const { abs } = Math;

const NAMES: Readonly<Record<string, readonly string[]>> = {
  where: ["cond", "a", "b"],
  bce: ["p", "t"],
  bceGrad: ["g", "p", "t"],
  bceLogits: ["x", "t", "w"],
  bceLogitsGrad: ["x", "t", "w"],
};

function samplesOf(row: BinaryRow): Sample[] {
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
  const large = [
    [2, 3, 28, 28],
    [1, 3, 1, 1],
    [2, 3, 28, 28],
  ];
  list.push({ note: "large", inputs: large.slice(0, row.arity).map(spec), differentiable: false });
  if (row.special) {
    const inputs = row.special.map((values) => ({ shape: [values.length], values }));
    list.push({ note: "special values", inputs, differentiable: false });
  }
  return list;
}

function defineRow(name: string, row: BinaryRow): void {
  const dtypes: DType[] = row.ints ? ["f32", "i32"] : ["f32"];
  const { compares } = row;
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
          const raw = (row.vjp as NonNullable<BinaryRow["vjp"]>)({ ...args, g });
          return raw.map((v, i) => (v && args.needs[i] ? sumTo(v, args.inputs[i].shape) : null));
        }
      : undefined,
    exact: row.exact,
    kinks: row.kinks,
    magnitude: (inputs) => [evaluate(inputs, row.magnitude ?? ((a, b, c) => abs(row.ref(a, b, c))))],
    builtin: (inputs) => [
      row.error
        ? evaluate(inputs, (a, b, c) =>
            (row.error as NonNullable<BinaryRow["error"]>)(row.ref(a, b, c), a, b, c),
          ).data
        : new Float64Array(evaluate(inputs, row.ref).data.length),
    ],
    cost: (_i, [y]) => ({ flops: numel(y.shape) }),
    kernels: elementwiseKernels(name, { wgsl: row.f, names, scalars: scalarsNone }),
    samples: samplesOf(row),
    split: elementwiseSplit,
  });
}

const scalarsNone = (_attrs: Attrs): readonly number[] => [];

for (const [name, row] of Object.entries(BINARY)) defineRow(name, row);
