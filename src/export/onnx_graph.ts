// ONNX's messages (onnx.proto3, IR version 8) as far as a network of images needs them, and the graph while it grows:
// operations appended in order, constants kept once. Field numbers are those of the schema.

import { UsageError } from "../core/error.ts";
import { floatsToHalves } from "../core/half.ts";
import type { Node, Value } from "../graph/node.ts";
import { ProtoWriter } from "../weights/protobuf.ts";
import { type Constant, placeOf, type Traced } from "./trace.ts";

/** Element types by their numbers in TensorProto.DataType. */
export const ELEMENT = { f32: 1, i32: 6, i64: 7, bool: 9, f16: 10 } as const;

/** An attribute: a whole number, whole numbers, or (as `{ f }`) a real one, or a TensorProto. */
export type Attribute = number | readonly number[] | { readonly f: number } | ProtoWriter;

const ATTRIBUTE = { float: 1, int: 2, tensor: 4, ints: 7 } as const;

function attributeProto(name: string, value: Attribute): ProtoWriter {
  const w = new ProtoWriter().text(1, name);
  if (typeof value === "number") return w.varint(3, value).varint(20, ATTRIBUTE.int);
  if (value instanceof ProtoWriter) return w.message(5, value).varint(20, ATTRIBUTE.tensor);
  if ("f" in value) return w.float(2, value.f).varint(20, ATTRIBUTE.float);
  for (const v of value) w.varint(8, v);
  return w.varint(20, ATTRIBUTE.ints);
}

function tensorProto(
  name: string,
  type: number,
  shape: readonly number[],
  raw: ArrayBufferView,
): ProtoWriter {
  const w = new ProtoWriter();
  for (const d of shape) w.varint(1, d);
  if (name !== "") w.text(8, name);
  return w.varint(2, type).bytes(9, new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength));
}

/** An input or output of the graph; a text as extent is a free one. */
export function valueInfo(name: string, type: number, shape: readonly (number | string)[]): ProtoWriter {
  const dims = new ProtoWriter();
  for (const d of shape) {
    const dim = new ProtoWriter();
    dims.message(1, typeof d === "number" ? dim.varint(1, d) : dim.text(2, d));
  }
  const tensor = new ProtoWriter().varint(1, type).message(2, dims);
  return new ProtoWriter().text(1, name).message(2, new ProtoWriter().message(1, tensor));
}

/** The graph of a network while it is written. Names are texts; a value has one once its operation is written. */
export class OnnxGraph {
  readonly graph: Traced;
  readonly #half: boolean;
  readonly #nodes: ProtoWriter[] = [];
  readonly #tensors: ProtoWriter[] = [];
  readonly #names = new Map<Value, string>();
  readonly #used = new Set<string>();
  readonly #constants = new Map<string, string>();
  #place = "";

  constructor(graph: Traced, half: boolean, input: string) {
    this.graph = graph;
    this.#half = half;
    this.#names.set(graph.input, this.#unique(input));
  }

  #unique(name: string): string {
    let own = name;
    for (let n = 1; this.#used.has(own); n++) own = `${name}_${n}`;
    this.#used.add(own);
    return own;
  }

  /** What is appended from now on belongs to this node: it is named after its module. */
  begin(node: Node): void {
    this.#place = node.site.layer?.path ?? "";
  }

  /** The value is from now on called so. */
  define(v: Value, name: string): void {
    this.#names.set(v, name);
  }

  /** Name of a value that is known: an input, the output of an operation, or a constant, which is then written. */
  name(v: Value): string {
    const known = this.#names.get(v);
    if (known !== undefined) return known;
    const constant = this.graph.constantOf(v);
    if (!constant) {
      const { op } = v.node;
      throw new UsageError(
        `ONNX: output ${v.index} of ${op?.name}${placeOf(v.node)} is used, for which ONNX has no operation`,
      );
    }
    const name = this.#constant(constant);
    this.#names.set(v, name);
    return name;
  }

  /** The constant that a value is, or null. */
  constantOf(v: Value): Constant | null {
    return this.graph.constantOf(v);
  }

  /**
   * A parameter is an initialiser under its own name, widened again where it is stored as f16; anything else is a
   * Constant, so that the file's initialisers are a state dict and nothing else.
   */
  #constant({ name, shape, data }: Constant): string {
    if (name === null || data instanceof Int32Array)
      return this.#literal(data instanceof Int32Array ? ELEMENT.i32 : ELEMENT.f32, shape, data);
    const own = this.#unique(name);
    const [type, raw] = this.#half ? [ELEMENT.f16, floatsToHalves(data)] : [ELEMENT.f32, data];
    this.#tensors.push(tensorProto(own, type, shape, raw));
    return this.#half ? this.#append("Cast", [own], { to: ELEMENT.f32 }, `${own}/f32`) : own;
  }

  #literal(type: number, shape: readonly number[], raw: ArrayBufferView): string {
    return this.#append("Constant", [], { value: tensorProto("", type, shape, raw) }, "constant");
  }

  /** Real numbers as a constant; equal ones are written once. */
  floats(values: readonly number[], shape: readonly number[] = []): string {
    return this.#shared(`f${shape}:${values}`, ELEMENT.f32, shape, Float32Array.from(values));
  }

  /** Whole numbers (int64) as a constant: shapes, axes. */
  whole(values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.#shared(`i:${values}`, ELEMENT.i64, [values.length], data);
  }

  #shared(key: string, type: number, shape: readonly number[], data: ArrayBufferView): string {
    const known = this.#constants.get(key) ?? this.#literal(type, shape, data);
    this.#constants.set(key, known);
    return known;
  }

  /** Appends an operation with one output, and gives that output's name. An empty input is one left out. */
  op(type: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.#append(type, inputs, attributes, this.#place ? `${this.#place}/${type}` : type);
  }

  #append(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    wanted: string,
  ): string {
    const output = this.#unique(wanted);
    const w = new ProtoWriter();
    for (const name of inputs) w.text(1, name);
    w.text(2, output).text(3, output).text(4, type);
    for (const [name, value] of Object.entries(attributes)) w.message(5, attributeProto(name, value));
    this.#nodes.push(w);
    return output;
  }

  /** Appends the operation that gives the network's output its name, which no other value has. */
  output(v: Value, name: string): string {
    return this.#append("Identity", [this.name(v)], {}, name);
  }

  /** The GraphProto. */
  finish(name: string, inputs: readonly ProtoWriter[], outputs: readonly ProtoWriter[]): ProtoWriter {
    const w = new ProtoWriter();
    for (const node of this.#nodes) w.message(1, node);
    w.text(2, name);
    for (const tensor of this.#tensors) w.message(5, tensor);
    for (const input of inputs) w.message(11, input);
    for (const output of outputs) w.message(12, output);
    return w;
  }
}
