// Elementwise operations as ONNX: one row each, from the names of the inputs to the name of the output. What ONNX has
// no operation for is put together from those that it has, by the formula of src/ops/unary.ts.

import type { Attrs } from "../graph/node.ts";
import { ELEMENT, type OnnxGraph } from "./onnx_graph.ts";

export type Row = (g: OnnxGraph, inputs: readonly string[], attrs: Attrs) => string;

const plain =
  (type: string): Row =>
  (g, inputs) =>
    g.op(type, inputs);

/** With the attribute `from` as ONNX's `alpha`. */
const alpha =
  (type: string, from: string): Row =>
  (g, inputs, attrs) =>
    g.op(type, inputs, { alpha: { f: attrs[from] as number } });

const withScalar =
  (type: string, from: string): Row =>
  (g, [x], attrs) =>
    g.op(type, [x, g.floats([attrs[from] as number])]);

/** Clip; an infinite bound is left out. */
function clip(g: OnnxGraph, x: string, min: number, max: number): string {
  const bound = (v: number) => (Number.isFinite(v) ? g.floats([v]) : "");
  return g.op("Clip", [x, bound(min), bound(max)]);
}

/** Comparisons give 0 and 1. */
const compare =
  (type: string): Row =>
  (g, inputs) =>
    g.op("Cast", [g.op(type, inputs)], { to: ELEMENT.f32 });

const times = (g: OnnxGraph, x: string, factor: number) => g.op("Mul", [x, g.floats([factor])]);

/** √(2/π)·(x + 0.044715·x³), of GELU's tanh form. */
function geluInner(g: OnnxGraph, x: string): string {
  const cube = g.op("Mul", [g.op("Mul", [x, x]), x]);
  return times(g, g.op("Add", [x, times(g, cube, 0.044715)]), Math.sqrt(2 / Math.PI));
}

export const ELEMENTWISE: Readonly<Record<string, Row>> = {
  neg: plain("Neg"),
  abs: plain("Abs"),
  sign: plain("Sign"),
  floor: plain("Floor"),
  ceil: plain("Ceil"),
  exp: plain("Exp"),
  log: plain("Log"),
  sqrt: plain("Sqrt"),
  reciprocal: plain("Reciprocal"),
  sin: plain("Sin"),
  cos: plain("Cos"),
  relu: plain("Relu"),
  sigmoid: plain("Sigmoid"),
  tanh: plain("Tanh"),
  softplus: plain("Softplus"),
  copy: plain("Identity"),
  add: plain("Add"),
  sub: plain("Sub"),
  mul: plain("Mul"),
  div: plain("Div"),
  pow: plain("Pow"),
  maximum: plain("Max"),
  minimum: plain("Min"),
  eq: compare("Equal"),
  gt: compare("Greater"),
  ge: compare("GreaterOrEqual"),
  lt: compare("Less"),
  le: compare("LessOrEqual"),
  leakyRelu: alpha("LeakyRelu", "negativeSlope"),
  elu: alpha("Elu", "alpha"),
  addScalar: withScalar("Add", "value"),
  mulScalar: withScalar("Mul", "value"),
  powScalar: withScalar("Pow", "exponent"),
  square: (g, [x]) => g.op("Mul", [x, x]),
  rsqrt: (g, [x]) => g.op("Reciprocal", [g.op("Sqrt", [x])]),
  relu6: (g, [x]) => clip(g, x, 0, 6),
  clamp: (g, [x], a) => clip(g, x, a["min"] as number, a["max"] as number),
  silu: (g, [x]) => g.op("Mul", [x, g.op("Sigmoid", [x])]),
  hardswish: (g, [x]) => g.op("HardSwish", [x]),
  hardsigmoid: (g, [x]) => g.op("HardSigmoid", [x], { alpha: { f: 1 / 6 }, beta: { f: 0.5 } }),
  gelu: (g, [x]) => {
    const erf = g.op("Erf", [times(g, x, Math.SQRT1_2)]);
    return times(g, g.op("Mul", [x, g.op("Add", [erf, g.floats([1])])]), 0.5);
  },
  geluTanh: (g, [x]) => g.op("Mul", [x, g.op("Sigmoid", [times(g, geluInner(g, x), 2)])]),
  ne: (g, inputs) => g.op("Cast", [g.op("Not", [g.op("Equal", inputs)])], { to: ELEMENT.f32 }),
  where: (g, [cond, a, b]) => g.op("Where", [g.op("Cast", [cond], { to: ELEMENT.bool }), a, b]),
};
