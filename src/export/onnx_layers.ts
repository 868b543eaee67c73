// Convolutions, pools, products and movements as ONNX: one function for each op of src/ops that a forward can have.
// Pictures stay NCHW, as ONNX has them.

import { UsageError } from "../core/error.ts";
import type { Attrs, Node, Value } from "../graph/node.ts";
import { ELEMENT, type OnnxGraph } from "./onnx_graph.ts";
import { placeOf } from "./trace.ts";
import { averaging, overhang, tileSize, type Window, windowOf } from "./windows.ts";

/** Appends what a node computes; gives the name of its first output. */
export type Emit = (g: OnnxGraph, node: Node) => string;

type Padding = readonly [number, number, number, number];

/** [top, bottom, left, right] → ONNX's [top, left, bottom, right], with more behind the end. */
const padsOf = ([top, bottom, left, right]: Padding, [down, across] = [0, 0]) => [
  top,
  left,
  bottom + down,
  right + across,
];

const names = (g: OnnxGraph, node: Node) => node.inputs.map((v) => g.name(v));

/** A fused form is made when a plan is, never in the graph of a forward. */
function checkPlain(node: Node): void {
  const { prologue = "none", relu = false, store = [] } = node.attrs;
  if (prologue !== "none" || relu || (store as readonly unknown[]).length > 0)
    throw new Error(`${node.op?.name}: a fused form in the graph of a forward`);
}

const conv2d: Emit = (g, node) => {
  checkPlain(node);
  const { stride, padding, dilation } = windowOf(node.attrs);
  return g.op("Conv", names(g, node), {
    kernel_shape: node.inputs[1].shape.slice(2),
    strides: stride,
    pads: padsOf(padding),
    dilations: dilation,
    group: node.attrs["groups"] as number,
  });
};

/** Ours is (x, mean, variance, weight, bias), ONNX's (x, weight, bias, mean, variance). */
const normalize: Emit = (g, node) => {
  const [x, mean, variance, w, b] = names(g, node);
  const { eps, relu } = node.attrs;
  const y = g.op("BatchNormalization", [x, w, b, mean, variance], { epsilon: { f: eps as number } });
  return relu ? g.op("Relu", [y]) : y;
};

/** ONNX's own ceil mode lets runtimes differ; the same windows follow from padding, which a maximum does not see. */
const maxPool2d: Emit = (g, node) => {
  const w = windowOf(node.attrs);
  const extra = overhang(w, node.inputs[0].shape, node.outputs[0].shape);
  return g.op("MaxPool", names(g, node), {
    kernel_shape: w.kernel,
    strides: w.stride,
    pads: padsOf(w.padding, extra),
    dilations: w.dilation,
  });
};

function average(g: OnnxGraph, x: string, w: Window, pads: readonly number[], counted: boolean): string {
  return g.op("AveragePool", [x], {
    kernel_shape: w.kernel,
    strides: w.stride,
    pads,
    count_include_pad: counted ? 1 : 0,
  });
}

const avgPool2d: Emit = (g, node) => {
  checkPlain(node);
  const [x] = names(g, node);
  const { adaptive, countIncludePad, divisor } = node.attrs;
  if (adaptive) return adaptivePool(g, node, x);
  const w = windowOf(node.attrs);
  const extra = overhang(w, node.inputs[0].shape, node.outputs[0].shape);
  if (divisor !== null) {
    const y = average(g, x, w, padsOf(w.padding, extra), true);
    return g.op("Mul", [y, g.floats([(w.kernel[0] * w.kernel[1]) / (divisor as number)])]);
  }
  if (!countIncludePad || w.padding.every((p) => p === 0))
    return average(g, x, w, padsOf(w.padding, extra), false);
  if (extra.every((e) => e === 0)) return average(g, x, w, padsOf(w.padding), true);
  // The padding counts and what hangs over does not: the one is put around first.
  const [top, left, bottom, right] = padsOf(w.padding);
  const padded = g.op("Pad", [x, g.whole([0, 0, top, left, 0, 0, bottom, right]), g.floats([0])]);
  return average(g, padded, w, [0, 0, ...extra], false);
};

function adaptivePool(g: OnnxGraph, node: Node, x: string): string {
  const [, , h, w] = node.inputs[0].shape;
  const [, , oh, ow] = node.outputs[0].shape;
  if (oh === 1 && ow === 1) return g.op("GlobalAveragePool", [x]);
  const [kh, kw] = [tileSize(h, oh), tileSize(w, ow)];
  if (kh !== null && kw !== null)
    return g.op("AveragePool", [x], { kernel_shape: [kh, kw], strides: [kh, kw] });
  // Windows of several sizes: averaging is linear along each axis, so two products do it.
  const columns = g.op("Transpose", [g.floats(averaging(w, ow), [ow, w])], { perm: [1, 0] });
  return g.op("MatMul", [g.floats(averaging(h, oh), [oh, h]), g.op("MatMul", [x, columns])]);
}

const matmul: Emit = (g, node) => {
  const [a, b, bias] = names(g, node);
  const { transA, transB } = node.attrs;
  if (node.inputs[0].shape.length === 2) {
    const given = bias === undefined ? [a, b] : [a, b, bias];
    return g.op("Gemm", given, { transA: transA ? 1 : 0, transB: transB ? 1 : 0 });
  }
  const turned = (x: string, turn: unknown) => (turn ? g.op("Transpose", [x], { perm: [0, 2, 1] }) : x);
  const y = g.op("MatMul", [turned(a, transA), turned(b, transB)]);
  return bias === undefined ? y : g.op("Add", [y, bias]);
};

/** The shape of a value as a constant: -1 for the extent that hangs on the batch. */
function shapeOf(g: OnnxGraph, node: Node, v: Value): string {
  const free = g.graph.batchAxes(v);
  if (free.length > 1)
    throw new UsageError(
      `ONNX: reshape${placeOf(node)} gives ${free.length} extents that hang on the batch; only one can`,
    );
  return g.whole(v.shape.map((d, axis) => (free.includes(axis) ? -1 : d)));
}

const reshape: Emit = (g, node) =>
  g.op("Reshape", [g.name(node.inputs[0]), shapeOf(g, node, node.outputs[0])]);

/** Expand broadcasts both ways, so 1 keeps the batch's extent; one that would have to be made is none of ONNX'. */
const expand: Emit = (g, node) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const free = g.graph.batchAxes(y);
  const lead = y.shape.length - x.shape.length;
  const own = g.graph.batchAxes(x).map((axis) => axis + lead);
  if (free.some((axis) => !own.includes(axis)))
    throw new UsageError(
      `ONNX: expand${placeOf(node)} repeats along the batch, which no constant shape says`,
    );
  return g.op("Expand", [g.name(x), g.whole(y.shape.map((d, axis) => (free.includes(axis) ? 1 : d)))]);
};

const slice: Emit = (g, node) => {
  const { axis, from, to } = node.attrs as Attrs & Record<"axis" | "from" | "to", number>;
  return g.op("Slice", [g.name(node.inputs[0]), g.whole([from]), g.whole([to]), g.whole([axis])]);
};

const pad: Emit = (g, node) => {
  const { before, after, value } = node.attrs as Attrs & {
    before: readonly number[];
    after: readonly number[];
    value: number;
  };
  return g.op("Pad", [g.name(node.inputs[0]), g.whole([...before, ...after]), g.floats([value])]);
};

/** Of no axis nothing is reduced, where ONNX would reduce all of them. */
const reduce =
  (type: string, axesAsInput: boolean): Emit =>
  (g, node) => {
    const { axes, keepDims } = node.attrs as Attrs & { axes: readonly number[]; keepDims: boolean };
    const x = g.name(node.inputs[0]);
    const keepdims = keepDims ? 1 : 0;
    if (axes.length === 0) return g.op("Identity", [x]);
    return axesAsInput ? g.op(type, [x, g.whole(axes)], { keepdims }) : g.op(type, [x], { axes, keepdims });
  };

const argmax: Emit = (g, node) => {
  const { axis, keepDims } = node.attrs;
  const found = g.op("ArgMax", names(g, node), { axis: axis as number, keepdims: keepDims ? 1 : 0 });
  return g.op("Cast", [found], { to: ELEMENT.i32 });
};

const alongAxis =
  (type: string): Emit =>
  (g, node) =>
    g.op(type, names(g, node), { axis: node.attrs["axis"] as number });

export const LAYERS: Readonly<Record<string, Emit>> = {
  conv2d,
  normalize,
  maxPool2d,
  avgPool2d,
  matmul,
  reshape,
  expand,
  slice,
  pad,
  argmax,
  concat: alongAxis("Concat"),
  softmax: alongAxis("Softmax"),
  logSoftmax: alongAxis("LogSoftmax"),
  permute: (g, node) => g.op("Transpose", names(g, node), { perm: node.attrs["axes"] as readonly number[] }),
  sum: reduce("ReduceSum", true),
  amax: reduce("ReduceMax", false),
  amin: reduce("ReduceMin", false),
};
