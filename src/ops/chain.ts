// chain — y = a tree of elementwise ops: step k applies the op of that name to operands and results of steps before it;
// the last one gives y. Made by the rewrite "elementwiseChains", in place of one pass over memory for each step. Every
// step's result has y's shape and is rounded to f32, as if it had been stored: the bits are those of the single ops.

import { ShapeError } from "../core/error.ts";
import { numel, sameShape, show, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray } from "../graph/array.ts";
import type { Attr, Attrs } from "../graph/node.ts";
import { type AnyOp, defineOp, opNamed, type Sample } from "../graph/op.ts";
import { chainKernels } from "./chain_kernels.ts";
import { elementwiseSplit } from "./elementwise.ts";
import { boundStep, exactly } from "./error_bound.ts";

/** Name of the op; its operands: i for input i, -1 - k for the result of step k; its attributes as pairs. */
export type ChainStep = readonly [
  name: string,
  operands: readonly number[],
  attrs: readonly (readonly [string, Attr])[],
];

export interface ChainAttrs extends Attrs {
  readonly steps: readonly ChainStep[];
}

/** Calls `f` for each step with what it applies, collecting what each gives. */
function walk<T>(
  inputs: readonly T[],
  { steps }: ChainAttrs,
  f: (op: AnyOp, operands: readonly T[], attrs: Attrs) => T,
): T[] {
  const made: T[] = [];
  for (const [name, operands, attrs] of steps) {
    const own = operands.map((i) => (i < 0 ? made[-1 - i] : inputs[i]));
    made.push(f(opNamed(name), own, Object.fromEntries(attrs)));
  }
  return made;
}

const last = <T>(list: readonly T[]): T => list[list.length - 1];

function infer(inputs: readonly TypeOf[], a: ChainAttrs): TypeOf[] {
  const types = walk(inputs, a, (op, operands, attrs) => op.infer(operands, attrs)[0]);
  const y = last(types);
  const odd = types.find((t) => t.dtype !== "f32" || !sameShape(t.shape, y.shape));
  if (odd) throw new ShapeError(`chain: every step must give ${show(y)}, one gives ${show(odd)}`);
  return [y];
}

const refOf = (op: AnyOp, operands: readonly NDArray[], attrs: Attrs): NDArray => op.ref(operands, attrs)[0];

function bound(inputs: readonly NDArray[], a: ChainAttrs): Float64Array {
  return last(walk(inputs.map(exactly), a, boundStep)).error.data;
}

const step = (name: string, operands: readonly number[], attrs: Attrs = {}): ChainStep => [
  name,
  operands,
  Object.entries(attrs),
];

const x = (...shape: number[]) => ({ shape });
const sample = (
  inputs: Sample["inputs"],
  steps: readonly ChainStep[],
  note?: string,
): Sample<ChainAttrs> => ({
  note,
  inputs,
  attrs: { steps },
  differentiable: false,
});
const ADD_RELU_MUL = [step("add", [0, 1]), step("relu", [-1]), step("mul", [-2, 2])];
const { NaN: NAN, POSITIVE_INFINITY: INF } = Number;

defineOp<ChainAttrs>({
  name: "chain",
  infer,
  ref: (inputs, a) => [last(walk(inputs, a, refOf))],
  exact: (a) => a.steps.every(([name]) => opNamed(name).exact === true),
  // All that may differ is in `builtin`: it depends on how the steps hand errors on.
  magnitude: (inputs, a) => [mapArray(last(walk(inputs, a, refOf)), () => 0)],
  builtin: (inputs, _outputs, a) => [bound(inputs, a)],
  cost: (_inputs, [y], a) => ({ flops: a.steps.length * numel(y.shape) }),
  kernels: chainKernels,
  samples: [
    sample([x(3, 5), x(3, 5), x(3, 5)], ADD_RELU_MUL),
    sample([x(3, 8), x(3, 8), x(3, 8)], ADD_RELU_MUL),
    sample([x(2, 3, 4, 4), x(3, 1, 1), x(1, 3, 1, 1)], ADD_RELU_MUL, "per channel"),
    sample([x(3, 2, 8), x(8), x(2, 8)], ADD_RELU_MUL, "last axes"),
    sample([x(2, 2060), x(2060), x(2, 1)], ADD_RELU_MUL, "several runs"),
    sample([x(4, 8), x(4, 1), x()], ADD_RELU_MUL, "per row, one value"),
    sample([x(2, 3, 4), x(2, 1, 4), x(3, 1)], ADD_RELU_MUL, "between axes"),
    sample([x(), x(), x()], ADD_RELU_MUL),
    // a·b + c: a fused multiply-add would round once.
    sample([x(4, 12), x(4, 12), x(4, 12)], [step("mul", [0, 1]), step("add", [-1, 2]), step("sub", [-2, 0])]),
    sample(
      [x(5, 4)],
      [step("exp", [0]), step("addScalar", [-1], { value: 1 }), step("div", [-1, -2]), step("mul", [-3, 0])],
      "one value read by two steps",
    ),
    sample(
      [x(2, 8), x(2, 8), x(2, 8), x(2, 8), x(8), x()],
      [
        step("clamp", [0], { min: -1, max: 2 }),
        step("leakyRelu", [1], { negativeSlope: 0.25 }),
        step("sub", [-1, -2]),
        step("where", [2, -3, 3]),
        step("mul", [-4, 4]),
        step("maximum", [-5, 5]),
        step("clamp", [-6], { min: -8, max: 8 }),
        step("mulScalar", [-7], { value: 2 }),
        step("addScalar", [-8], { value: -3 }),
        step("square", [-9]),
      ],
      "all operands, many scalars",
    ),
    sample(
      [x(2, 6), x(2, 6)],
      [
        step("tanh", [0]),
        step("gelu", [-1]),
        step("sigmoidGrad", [1, -2]),
        step("gt", [-3, 0]),
        step("where", [-4, 1, -3]),
      ],
    ),
    sample(
      [
        { shape: [8], values: [NAN, INF, -INF, 1, -1, 0, -0, NAN] },
        { shape: [8], values: [1, -INF, -INF, NAN, 2, INF, 0, -1] },
      ],
      [step("add", [0, 1]), step("relu", [-1]), step("reluGrad", [1, -2]), step("minimum", [-3, -1])],
      "special values",
    ),
  ],
  split: elementwiseSplit,
});
