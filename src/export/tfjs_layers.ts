// Convolutions, batch norm, products and movements as layers of TensorFlow.js, with their weights in its order:
// kernels [height, width, in, out], dense ones [in, out]. A map that is flattened is turned to channels first before,
// so that a dense layer's weights stay as they are.

import type { Attrs, Node } from "../graph/node.ts";
import { ELEMENTWISE, type Emit } from "./tfjs_elementwise.ts";
import { axisIn, type Layout, type TfjsGraph, type Weights } from "./tfjs_graph.ts";
import { avgPool2d, globalAverage, maxPool2d, zeroPad } from "./tfjs_pools.ts";
import type { Constant } from "./trace.ts";
import { windowOf } from "./windows.ts";

type Real = Constant & { readonly data: Float32Array };

const halfOf = (c: Constant) => c.name !== null;

const biasOf = (c: Real | undefined): Weights =>
  c ? { bias: { shape: c.shape, data: c.data, half: halfOf(c) } } : {};

/** [out, in / groups, height, width] → [height, width, in, out]; zeros between the groups. */
function convKernel({ shape, data, name }: Real, groups: number) {
  const [k, cg, kh, kw] = shape;
  const c = cg * groups;
  const out = new Float32Array(kh * kw * c * k);
  for (let i = 0; i < data.length; i++) {
    const tap = i % (kh * kw);
    const channel = Math.floor(i / (kh * kw)) % cg;
    const o = Math.floor(i / (kh * kw * cg));
    const group = Math.floor(o / (k / groups));
    out[(tap * c + group * cg + channel) * k + o] = data[i];
  }
  return { shape: [kh, kw, c, k], data: out, half: name !== null };
}

/** [in · m, 1, height, width] → [height, width, in, m]. */
function depthwiseKernel({ shape, data, name }: Real, channels: number) {
  const [k, , kh, kw] = shape;
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) out[(i % (kh * kw)) * k + Math.floor(i / (kh * kw))] = data[i];
  return { shape: [kh, kw, channels, k / channels], data: out, half: name !== null };
}

const conv2d: Emit = (g, node) => {
  const [x, w, b] = node.inputs;
  const { stride, padding, dilation } = windowOf(node.attrs);
  const groups = node.attrs["groups"] as number;
  const weight = g.weightOf(node, w);
  const bias = b && g.weightOf(node, b);
  const dilated = dilation.some((d) => d !== 1);
  if (dilated && stride.some((s) => s !== 1))
    throw g.refuse(node, "has both a stride and a dilation, for which there is no layer");
  const from = zeroPad(g, g.layer(x, "last"), padding);
  const config = {
    kernel_size: weight.shape.slice(2),
    strides: stride,
    padding: "valid",
    data_format: "channels_last",
    dilation_rate: dilation,
    activation: "linear",
    use_bias: bias !== undefined,
  };
  const own = biasOf(bias);
  const channels = x.shape[1];
  // The layer for depthwise convolutions ignores its dilation.
  const depthwise = groups === channels && channels > 1 && !dilated;
  const layer = depthwise
    ? g.add(
        "DepthwiseConv2D",
        [from],
        { ...config, depth_multiplier: weight.shape[0] / channels },
        { depthwise_kernel: depthwiseKernel(weight, channels), ...own },
      )
    : g.add(
        "Conv2D",
        [from],
        { ...config, filters: weight.shape[0] },
        { kernel: convKernel(weight, groups), ...own },
      );
  g.define(node.outputs[0], layer, "last");
};

const normalize: Emit = (g, node) => {
  const [x, ...vectors] = node.inputs;
  const [mean, variance, gamma, beta] = vectors.map((v) => {
    const c = g.weightOf(node, v);
    return { shape: c.shape, data: c.data, half: halfOf(c) };
  });
  const { eps, relu } = node.attrs;
  const layout: Layout = x.shape.length === 4 ? "last" : "plain";
  if (x.shape.length !== 4 && x.shape.length !== 2)
    throw g.refuse(node, "is a batch norm of neither pictures nor rows, which alone have a layer");
  // The channels' axis is the last one: on others the layer is wrong on TensorFlow.js' CPU backend.
  const y = g.add(
    "BatchNormalization",
    [g.layer(x, layout)],
    { axis: -1, momentum: 0.9, epsilon: eps, center: true, scale: true },
    { gamma, beta, moving_mean: mean, moving_variance: variance },
  );
  g.define(node.outputs[0], relu ? g.add("ReLU", [y], { max_value: null }) : y, layout);
};

function transposed({ shape, data }: Real): Float32Array {
  const [rows, columns] = shape;
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) out[(i % columns) * rows + Math.floor(i / columns)] = data[i];
  return out;
}

const matmul: Emit = (g, node) => {
  const [x, w, b] = node.inputs;
  const { transA, transB } = node.attrs;
  const weight = g.weightOf(node, w);
  const bias = b && g.weightOf(node, b);
  if (transA || x.shape.length !== 2)
    throw g.refuse(node, "is no product of rows and weights, as a dense layer is");
  const units = node.outputs[0].shape[1];
  const data = transB ? transposed(weight) : weight.data;
  const kernel = { shape: [x.shape[1], units], data, half: halfOf(weight) };
  const own = biasOf(bias);
  const config = { units, use_bias: bias !== undefined, activation: "linear" };
  g.define(node.outputs[0], g.add("Dense", [g.layer(x, "plain")], config, { kernel, ...own }), "plain");
};

const reshape: Emit = (g, node) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  // Of one pixel, channels first and last are the same.
  const pixel = x.shape.length === 4 && x.shape[2] * x.shape[3] === 1;
  const from = g.layer(x, pixel ? g.layoutOf(x) : "plain");
  g.define(y, g.add("Reshape", [from], { target_shape: y.shape.slice(1) }), "plain");
};

const permute: Emit = (g, node) => {
  const axes = node.attrs["axes"] as readonly number[];
  if (axes[0] !== 0) throw g.refuse(node, "moves the batch, which no layer can");
  const from = g.layer(node.inputs[0], "plain");
  g.define(node.outputs[0], g.add("Permute", [from], { dims: axes.slice(1) }), "plain");
};

const concat: Emit = (g, node) => {
  const layout: Layout = node.inputs.some((v) => g.layoutOf(v) === "last") ? "last" : "plain";
  const axis = node.attrs["axis"] as number;
  if (axis === 0) throw g.refuse(node, "joins along the batch, which no layer can");
  const layers = node.inputs.map((v) => g.layer(v, layout));
  g.define(node.outputs[0], g.add("Concatenate", layers, { axis: axisIn(layout, axis) }), layout);
};

const pad: Emit = (g, node) => {
  const { before, after, value } = node.attrs as Attrs & {
    before: readonly number[];
    after: readonly number[];
    value: number;
  };
  const [x] = node.inputs;
  if (value !== 0 || x.shape.length !== 4 || before[0] + after[0] > 0)
    throw g.refuse(node, "is no padding of pictures with zeros, which alone has a layer");
  const y = zeroPad(g, g.layer(x, "last"), [before[2], after[2], before[3], after[3]]);
  // Told that channels come first, the layer pads the last two axes, of which one is the channels'.
  const channels = {
    padding: [
      [0, 0],
      [before[1], after[1]],
    ],
    data_format: "channels_first",
  };
  g.define(node.outputs[0], before[1] + after[1] > 0 ? g.add("ZeroPadding2D", [y], channels) : y, "last");
};

/** The layer cuts two axes: rows and columns, and, told that channels come first, the last one. */
const slice: Emit = (g, node) => {
  const { axis, from, to } = node.attrs as Attrs & Record<"axis" | "from" | "to", number>;
  const [x] = node.inputs;
  if (x.shape.length !== 4 || axis === 0)
    throw g.refuse(node, "cuts the batch, or something else than pictures, for which there is no layer");
  const layout = g.layoutOf(x);
  const own = axisIn(layout, axis);
  const cut = [from, x.shape[axis] - to];
  const config =
    own === 3
      ? { cropping: [[0, 0], cut], data_format: "channels_first" }
      : { cropping: own === 1 ? [cut, [0, 0]] : [[0, 0], cut], data_format: "channels_last" };
  g.define(node.outputs[0], g.add("Cropping2D", [g.layer(x, layout)], config), layout);
};

const sum: Emit = (g, node) => {
  const [x] = node.inputs;
  const { axes, keepDims } = node.attrs as Attrs & { axes: readonly number[]; keepDims: boolean };
  if (x.shape.length !== 4 || axes.join() !== "2,3")
    throw g.refuse(node, "sums over other axes than rows and columns, for which there is no layer");
  const [, c, h, w] = x.shape;
  const from = g.layer(x, "last");
  const mean = keepDims
    ? globalAverage(g, from, c)
    : g.add("GlobalAveragePooling2D", [from], { data_format: "channels_last" });
  g.define(node.outputs[0], g.scaled(mean, c, h * w, 0), keepDims ? "last" : "plain");
};

const alongLast =
  (activation: string): Emit =>
  (g, node) => {
    const [x] = node.inputs;
    const axis = node.attrs["axis"] as number;
    const layout: Layout = x.shape.length === 4 && axis === 1 ? "last" : "plain";
    if (layout === "plain" && axis !== x.shape.length - 1)
      throw g.refuse(node, `runs along axis ${axis}, but layers have only the last one`);
    g.define(node.outputs[0], g.add("Activation", [g.layer(x, layout)], { activation }), layout);
  };

export const LAYERS: Readonly<Record<string, Emit>> = {
  ...ELEMENTWISE,
  conv2d,
  normalize,
  maxPool2d,
  avgPool2d,
  matmul,
  reshape,
  permute,
  concat,
  pad,
  slice,
  sum,
  softmax: alongLast("softmax"),
  logSoftmax: alongLast("logSoftmax"),
};

/** Adds the layers of a node. */
export function emit(g: TfjsGraph, node: Node): void {
  const name = node.op?.name ?? "";
  if (!Object.hasOwn(LAYERS, name)) throw g.refuse(node, "has no counterpart there");
  g.begin(node);
  LAYERS[name](g, node);
}
