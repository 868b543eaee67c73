// Pools as layers of TensorFlow.js. Its own padding is TensorFlow's, with other windows than PyTorch's, so pictures are
// padded by a layer of their own.

import type { Node, Value } from "../graph/node.ts";
import type { Emit } from "./tfjs_elementwise.ts";
import type { TfjsGraph } from "./tfjs_graph.ts";
import { averaging, overhang, tileSize, type Window, windowOf } from "./windows.ts";

type Pads = readonly [top: number, bottom: number, left: number, right: number];

/** Zeros around pictures; nothing where there is no padding. */
export function zeroPad(g: TfjsGraph, x: string, [top, bottom, left, right]: Pads): string {
  if (top + bottom + left + right === 0) return x;
  return g.add("ZeroPadding2D", [x], {
    padding: [
      [top, bottom],
      [left, right],
    ],
    data_format: "channels_last",
  });
}

/** Padding that loses against every number of x. */
const LOW = 1e30;

/**
 * Pictures padded so that no maximum sees it: with zeros where x is not negative; else those get -1e30 added, from a
 * map of ones that is padded alike. (m·1e30 - 1e30 is 0 inside, exactly.)
 */
function lowPad(g: TfjsGraph, v: Value, x: string, pads: Pads): string {
  const padded = zeroPad(g, x, pads);
  if (padded === x || g.isPositive(v)) return padded;
  const channels = v.shape[1];
  const ones = zeroPad(g, g.scaled(x, channels, 0, 1), pads);
  return g.add("Add", [padded, g.scaled(ones, channels, LOW, -LOW)]);
}

function pool(g: TfjsGraph, type: string, x: string, w: Pick<Window, "kernel" | "stride">): string {
  const config = { pool_size: w.kernel, strides: w.stride, padding: "valid", data_format: "channels_last" };
  return g.add(type, [x], config);
}

function windowPads(w: Window, node: Node): { pads: Pads; extra: readonly [number, number] } {
  const extra = overhang(w, node.inputs[0].shape, node.outputs[0].shape);
  const [top, bottom, left, right] = w.padding;
  return { pads: [top, bottom + extra[0], left, right + extra[1]], extra };
}

export const maxPool2d: Emit = (g, node) => {
  const [x] = node.inputs;
  const w = windowOf(node.attrs);
  if (w.dilation.some((d) => d !== 1)) throw g.refuse(node, "is dilated, for which there is no layer");
  const { pads } = windowPads(w, node);
  const padded = lowPad(g, x, g.layer(x, "last"), pads);
  g.define(node.outputs[0], pool(g, "MaxPooling2D", padded, w), "last");
};

export const avgPool2d: Emit = (g, node) => {
  const [x] = node.inputs;
  const from = g.layer(x, "last");
  const { adaptive, countIncludePad, divisor } = node.attrs;
  if (adaptive) {
    g.define(node.outputs[0], adaptivePool(g, node, from), "last");
    return;
  }
  const w = windowOf(node.attrs);
  const { pads, extra } = windowPads(w, node);
  const counted = divisor !== null || (countIncludePad && extra.every((e) => e === 0));
  if (!counted && pads.some((p) => p !== 0))
    throw g.refuse(node, "averages over fewer elements at the border, for which there is no layer");
  const y = pool(g, "AveragePooling2D", zeroPad(g, from, pads), w);
  const factor = divisor === null ? 1 : (w.kernel[0] * w.kernel[1]) / (divisor as number);
  g.define(node.outputs[0], factor === 1 ? y : g.scaled(y, x.shape[1], factor, 0), "last");
};

/** The mean of each channel as a map of one pixel. */
export function globalAverage(g: TfjsGraph, from: string, channels: number): string {
  const mean = g.add("GlobalAveragePooling2D", [from], { data_format: "channels_last" });
  return g.add("Reshape", [mean], { target_shape: [1, 1, channels] });
}

function adaptivePool(g: TfjsGraph, node: Node, from: string): string {
  const [, c, h, w] = node.inputs[0].shape;
  const [, , oh, ow] = node.outputs[0].shape;
  if (oh === 1 && ow === 1) return globalAverage(g, from, c);
  const [kh, kw] = [tileSize(h, oh), tileSize(w, ow)];
  if (kh !== null && kw !== null)
    return pool(g, "AveragePooling2D", from, { kernel: [kh, kw], stride: [kh, kw] });
  // Windows of several sizes: averaging is linear along each axis, which a dense layer over the last axis is too.
  const columns = average(g, g.add("Permute", [from], { dims: [1, 3, 2] }), w, ow);
  const rows = average(g, g.add("Permute", [columns], { dims: [3, 2, 1] }), h, oh);
  return g.add("Permute", [rows], { dims: [3, 1, 2] });
}

function average(g: TfjsGraph, from: string, size: number, out: number): string {
  const m = averaging(size, out);
  const data = Float32Array.from({ length: size * out }, (_, i) => m[(i % out) * size + Math.floor(i / out)]);
  const kernel = { shape: [size, out], data, half: false };
  return g.add("Dense", [from], { units: out, use_bias: false, activation: "linear" }, { kernel });
}
