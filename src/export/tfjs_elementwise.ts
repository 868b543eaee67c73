// Elementwise operations as layers of TensorFlow.js: activations, sums and products of layers, and what can be put
// together from those; numbers come in by batch norms that only scale and shift.

import type { Attrs, Node, Value } from "../graph/node.ts";
import { axisIn, type Layout, lastExtent, type TfjsGraph } from "./tfjs_graph.ts";

/** Adds the layers of a node and defines its output. */
export type Emit = (g: TfjsGraph, node: Node) => void;

/** One input's layer, and how many elements its last axis has. */
type Unary = (g: TfjsGraph, x: string, extent: number, attrs: Attrs) => string;

const activation =
  (name: string): Unary =>
  (g, x) =>
    g.add("Activation", [x], { activation: name });

const relu = (g: TfjsGraph, x: string, max: number | null = null) => g.add("ReLU", [x], { max_value: max });

/** relu6(x + 3) / 6. */
function hardsigmoid(g: TfjsGraph, x: string, extent: number): string {
  return g.scaled(relu(g, g.scaled(x, extent, 1, 3), 6), extent, 1 / 6, 0);
}

/** x·sigmoid(2·√(2/π)·(x + 0.044715·x³)). */
function geluTanh(g: TfjsGraph, x: string, extent: number): string {
  const cube = g.scaled(g.add("Multiply", [x, x, x]), extent, 0.044715, 0);
  const inner = g.scaled(g.add("Add", [x, cube]), extent, 2 * Math.sqrt(2 / Math.PI), 0);
  return g.add("Multiply", [x, g.add("Activation", [inner], { activation: "sigmoid" })]);
}

/** By way of a ReLU from the lower bound on, or from the upper one down; where min > max the result is max. */
function clamp(g: TfjsGraph, x: string, extent: number, min: number, max: number): string {
  if (min > max) return g.scaled(x, extent, 0, max);
  if (Number.isFinite(min)) {
    const above = relu(g, g.scaled(x, extent, 1, -min), Number.isFinite(max) ? max - min : null);
    return g.scaled(above, extent, 1, min);
  }
  if (!Number.isFinite(max)) return x;
  return g.scaled(relu(g, g.scaled(x, extent, -1, max)), extent, -1, max);
}

const UNARY: Readonly<Record<string, Unary>> = {
  relu: activation("relu"),
  sigmoid: activation("sigmoid"),
  tanh: activation("tanh"),
  softplus: activation("softplus"),
  gelu: activation("gelu"),
  copy: activation("linear"),
  relu6: (g, x) => relu(g, x, 6),
  geluTanh,
  leakyRelu: (g, x, _n, a) => g.add("LeakyReLU", [x], { alpha: a["negativeSlope"] }),
  elu: (g, x, _n, a) => g.add("ELU", [x], { alpha: a["alpha"] }),
  silu: (g, x) => g.add("Multiply", [x, g.add("Activation", [x], { activation: "sigmoid" })]),
  hardsigmoid,
  hardswish: (g, x, n) => g.add("Multiply", [x, hardsigmoid(g, x, n)]),
  clamp: (g, x, n, a) => clamp(g, x, n, a["min"] as number, a["max"] as number),
  neg: (g, x, n) => g.scaled(x, n, -1, 0),
  abs: (g, x, n) => g.add("Maximum", [x, g.scaled(x, n, -1, 0)]),
  square: (g, x) => g.add("Multiply", [x, x]),
  addScalar: (g, x, n, a) => g.scaled(x, n, 1, a["value"] as number),
  mulScalar: (g, x, n, a) => g.scaled(x, n, a["value"] as number, 0),
};

const emitUnary =
  (row: Unary): Emit =>
  (g, node) => {
    const [x] = node.inputs;
    const layout = g.layoutOf(x);
    g.define(node.outputs[0], row(g, g.layer(x, layout), lastExtent(x, layout), node.attrs), layout);
  };

/** The scale and shift by which a constant operand acts; null where none do. */
type WithConstant = (
  constants: Float32Array,
  first: boolean,
) => { scale: Float32Array; shift: Float32Array } | null;

const filled = (c: Float32Array, v: number) => new Float32Array(c.length).fill(v);

interface Binary {
  /** Layers for two operands. */
  readonly merge: (g: TfjsGraph, a: string, b: string, extentOfB: number) => string;
  /** `first`: the constant is the left operand. */
  readonly constant: WithConstant;
}

const BINARY: Readonly<Record<string, Binary>> = {
  add: {
    merge: (g, a, b) => g.add("Add", [a, b]),
    constant: (c) => ({ scale: filled(c, 1), shift: c }),
  },
  sub: {
    merge: (g, a, b, n) => g.add("Add", [a, g.scaled(b, n, -1, 0)]),
    constant: (c, first) => ({ scale: filled(c, first ? -1 : 1), shift: first ? c : c.map((v) => -v) }),
  },
  mul: {
    merge: (g, a, b) => g.add("Multiply", [a, b]),
    constant: (c) => ({ scale: c, shift: filled(c, 0) }),
  },
  maximum: { merge: (g, a, b) => g.add("Maximum", [a, b]), constant: () => null },
  minimum: { merge: (g, a, b) => g.add("Minimum", [a, b]), constant: () => null },
  div: {
    merge: () => "",
    constant: (c, first) => (first ? null : { scale: c.map((v) => 1 / v), shift: filled(c, 0) }),
  },
};

const emitBinary =
  (name: string, row: Binary): Emit =>
  (g, node) => {
    const [a, b] = node.inputs;
    const constant = [a, b].findIndex((v) => g.constantOf(v));
    if (constant >= 0) return withConstant(g, node, row, constant);
    if (a.shape.length !== b.shape.length || name === "div")
      throw g.refuse(node, "of two values that hang on the input, of these shapes, has no layer");
    const layout: Layout = [a, b].some((v) => g.layoutOf(v) === "last") ? "last" : "plain";
    const layers = [g.layer(a, layout), g.layer(b, layout)];
    g.define(node.outputs[0], row.merge(g, layers[0], layers[1], lastExtent(b, layout)), layout);
  };

/** The only axis of x along which the constant differs: its numbers there, or null. */
function alongOneAxis(shape: readonly number[], x: Value): number | null {
  const lead = x.shape.length - shape.length;
  const wide = shape.flatMap((d, i) => (d > 1 ? [i + lead] : []));
  if (lead < 0 || wide.length > 1) return null;
  const [axis = -1] = wide;
  return axis === 0 ? null : axis;
}

function withConstant(g: TfjsGraph, node: Node, row: Binary, which: number): void {
  const x = node.inputs[1 - which];
  const { shape, data } = g.weightOf(node, node.inputs[which]);
  const axis = alongOneAxis(shape, x);
  const form = row.constant(data, which === 0);
  const kept = node.outputs[0].shape.every((d, i) => d === x.shape[i]);
  if (axis === null || !form || !kept)
    throw g.refuse(
      node,
      `with a constant [${shape}] has no layer (one number, or one for each channel, has)`,
    );
  const layout = g.layoutOf(x);
  const from = g.layer(x, layout);
  const extent = lastExtent(x, layout);
  const y =
    data.length === 1
      ? g.scaled(from, extent, form.scale[0], form.shift[0])
      : alongAxis(g, from, axisIn(layout, axis), x.shape.length, (turned) =>
          g.affine(turned, form.scale, form.shift),
        );
  g.define(node.outputs[0], y, layout);
}

/** Applies layers that work along the last axis to another one, by turning it there and back. */
function alongAxis(
  g: TfjsGraph,
  from: string,
  axis: number,
  rank: number,
  apply: (from: string) => string,
): string {
  const last = rank - 1;
  if (axis === last) return apply(from);
  const swapped = Array.from({ length: last }, (_, i) =>
    i + 1 === axis ? last : i + 1 === last ? axis : i + 1,
  );
  const dims = { dims: swapped };
  return g.add("Permute", [apply(g.add("Permute", [from], dims))], dims);
}

export const ELEMENTWISE: Readonly<Record<string, Emit>> = {
  ...Object.fromEntries(Object.entries(UNARY).map(([name, row]) => [name, emitUnary(row)])),
  ...Object.fromEntries(Object.entries(BINARY).map(([name, row]) => [name, emitBinary(name, row)])),
};

/** Operations that give nothing negative, whatever goes in. */
const POSITIVE = ["relu", "relu6", "sigmoid", "softplus", "hardsigmoid", "square", "abs", "softmax"];
/** And those that give nothing negative of what is not. */
const KEEPING = [
  "add",
  "mul",
  "concat",
  "maxPool2d",
  "avgPool2d",
  "reshape",
  "permute",
  "copy",
  "sum",
  "slice",
];

/** Whether the node's output is nowhere negative, as far as operations tell. */
export function staysPositive(g: TfjsGraph, { op, attrs, inputs }: Node): boolean {
  const name = op?.name ?? "";
  if (POSITIVE.includes(name) || (name === "normalize" && attrs["relu"] === true)) return true;
  return KEEPING.includes(name) && inputs.every((v) => g.isPositive(v));
}
