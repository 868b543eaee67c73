// A TensorFlow.js layers model while it is written: layers in order, their weights, and in which order of axes each
// value lies. Pictures are NHWC there ("last"); whatever else has axes in the order of our shapes ("plain").

import { UsageError } from "../core/error.ts";
import { type Shape, show } from "../core/shape.ts";
import type { Node, Value } from "../graph/node.ts";
import { type Constant, placeOf, type Traced } from "./trace.ts";

export type Layout = "last" | "plain";

/** A weight of a layer; `half` where its numbers are those of a parameter, and so halves if the file is f16. */
export interface LayerWeight {
  readonly name: string;
  readonly shape: Shape;
  readonly data: Float32Array;
  readonly half: boolean;
}

export type Config = Readonly<Record<string, unknown>>;

/** A value in the file: the layer that gives it, and its order of axes. */
interface Placed {
  readonly layer: string;
  readonly layout: Layout;
}

/** Weights of a layer by their names in it. */
export type Weights = Readonly<Record<string, Omit<LayerWeight, "name">>>;

/** Layers that go before or after a module's own are called so behind its name, which is left to that one. */
const HELPERS: Readonly<Record<string, string>> = {
  ZeroPadding2D: "_pad",
  Cropping2D: "_crop",
  Permute: "_permute",
  Reshape: "_reshape",
  Add: "_add",
  Multiply: "_multiply",
};

/** NCHW axis → its place in NHWC. */
const LAST = [0, 3, 1, 2] as const;

export const axisIn = (layout: Layout, axis: number): number => (layout === "last" ? LAST[axis] : axis);

export class TfjsGraph {
  readonly graph: Traced;
  readonly layers: Config[] = [];
  readonly weights: LayerWeight[] = [];
  readonly #placed = new Map<Value, Placed>();
  readonly #turned = new Map<Value, string>();
  readonly #used = new Set<string>();
  readonly #positive = new Set<Value>();
  readonly #nameOf: (path: string) => string;
  #place = "";

  /** `nameOf` gives the name of a module's layer for the module's path. */
  constructor(graph: Traced, nameOf: (path: string) => string) {
    this.graph = graph;
    this.#nameOf = nameOf;
    const { shape } = graph.input;
    const layout = shape.length === 4 ? "last" : "plain";
    const [, c, h, w] = shape;
    const own = layout === "last" ? [h, w, c] : shape.slice(1);
    const name = this.#unique("input");
    this.layers.push({
      class_name: "InputLayer",
      name,
      config: { batch_input_shape: [null, ...own], dtype: "float32", sparse: false, name },
      inbound_nodes: [],
    });
    this.#placed.set(graph.input, { layer: name, layout });
  }

  #unique(wanted: string): string {
    const name = wanted.replace(/[^\w.-]/g, "_").replace(/^[^A-Za-z0-9]+/, "") || "layer";
    let own = name;
    for (let n = 1; this.#used.has(own); n++) own = `${name}_${n}`;
    this.#used.add(own);
    return own;
  }

  /** What is added from now on belongs to this node: it is named after its module. */
  begin(node: Node): void {
    const path = node.site.layer?.path;
    this.#place = path ? this.#nameOf(path) : (node.op?.name ?? "");
  }

  /** Adds a layer over the layers `from`, and gives its name. */
  add(type: string, from: readonly string[], config: Config = {}, weights: Weights = {}): string {
    const name = this.#unique(`${this.#place}${HELPERS[type] ?? ""}`);
    this.layers.push({
      class_name: type,
      name,
      config: { name, trainable: true, ...config },
      inbound_nodes: [from.map((layer) => [layer, 0, 0, {}])],
    });
    for (const [own, weight] of Object.entries(weights))
      this.weights.push({ name: `${name}/${own}`, ...weight });
    return name;
  }

  /** The value is what that layer gives. Throws where its rows are not those of the batch. */
  define(v: Value, layer: string, layout: Layout): void {
    const free = this.graph.batchAxes(v);
    if (free.join() !== "0" || v.shape[0] !== this.graph.input.shape[0])
      throw this.refuse(v.node, `gives ${show(v)}, whose first axis is not the batch alone`);
    this.#placed.set(v, { layer, layout });
  }

  /** How the value lies; throws for a constant, and for an output that no layer gives. */
  #placeOf(v: Value): Placed {
    const placed = this.#placed.get(v);
    if (placed) return placed;
    if (this.graph.constantOf(v))
      throw new UsageError(`TensorFlow.js: the constant ${show(v)} stands where a layer needs an input`);
    throw this.refuse(v.node, `has an output ${v.index} that is used, for which there is no layer`);
  }

  layoutOf(v: Value): Layout {
    return this.#placeOf(v).layout;
  }

  /** The layer that gives the value in that order of axes: its own, or one that turns it. */
  layer(v: Value, layout: Layout): string {
    const placed = this.#placeOf(v);
    if (placed.layout === layout) return placed.layer;
    const known = this.#turned.get(v);
    if (known !== undefined) return known;
    if (v.shape.length !== 4) throw new Error(`${show(v)} has no order of axes but its own`);
    const turned = this.add("Permute", [placed.layer], { dims: layout === "last" ? [2, 3, 1] : [3, 1, 2] });
    this.#turned.set(v, turned);
    return turned;
  }

  constantOf(v: Value): Constant | null {
    return this.graph.constantOf(v);
  }

  /** A value that must be a constant of real numbers: the weight of a layer. */
  weightOf(node: Node, v: Value): Constant & { readonly data: Float32Array } {
    const constant = this.graph.constantOf(v);
    if (constant?.data instanceof Float32Array) return { ...constant, data: constant.data };
    throw this.refuse(node, `has the weight ${show(v)}, which hangs on the input or is not real`);
  }

  /** Remembers that a value is nowhere negative: then padding with zeros changes no maximum. */
  markPositive(v: Value): void {
    this.#positive.add(v);
  }

  isPositive(v: Value): boolean {
    return this.#positive.has(v);
  }

  /** x·scale + shift along the last axis, as a batch norm whose statistics are 0 and 1. */
  affine(from: string, scale: ArrayLike<number>, shift: ArrayLike<number>): string {
    const shape = [scale.length];
    const weight = (data: ArrayLike<number>) => ({ shape, data: Float32Array.from(data), half: false });
    const fill = (v: number) => weight(new Float32Array(scale.length).fill(v));
    return this.add(
      "BatchNormalization",
      [from],
      { axis: -1, momentum: 0.99, epsilon: 0, center: true, scale: true },
      { gamma: weight(scale), beta: weight(shift), moving_mean: fill(0), moving_variance: fill(1) },
    );
  }

  /** The same with two numbers, for a value whose last axis in the file has `extent` elements. */
  scaled(from: string, extent: number, scale: number, shift: number): string {
    return this.affine(from, new Array<number>(extent).fill(scale), new Array<number>(extent).fill(shift));
  }

  refuse(node: Node, sentence: string): UsageError {
    return new UsageError(`TensorFlow.js: the operation ${node.op?.name}${placeOf(node)} ${sentence}`);
  }
}

/** Extent of the last axis of a value as it lies. */
export const lastExtent = (v: Value, layout: Layout): number =>
  layout === "last" ? v.shape[1] : v.shape[v.shape.length - 1];
