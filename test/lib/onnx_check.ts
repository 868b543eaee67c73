// Takes an ONNX file apart and checks what onnx.checker checks, as far as Thaw's files go: versions, names used after
// they are defined and defined once, operations of opset 17 with as many inputs and the attributes that they have,
// tensors of as many bytes as their shapes say.
import { expect } from "vitest";
import { type ProtoField, packedVarints, protoFields, protoText } from "../../src/weights/protobuf.ts";
import { Source } from "../../src/weights/source.ts";

export interface OnnxTensor {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  readonly raw: Uint8Array;
}

export interface OnnxNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, number>;
}

export interface OnnxFile {
  readonly opset: number;
  readonly nodes: readonly OnnxNode[];
  readonly tensors: ReadonlyMap<string, OnnxTensor>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

type Fields = readonly ProtoField[];
const fieldsOf = (bytes: Uint8Array): Fields => [...protoFields(new Source("the file", bytes), "a message")];
const all = (fields: Fields, n: number) =>
  fields.flatMap((f) => (f.field === n && f.wire === "bytes" ? [f.bytes] : []));
const numbers = (fields: Fields, n: number) =>
  fields.flatMap((f) => {
    if (f.field !== n) return [];
    if (f.wire === "varint") return [Number(BigInt.asIntN(64, f.value))];
    return packedVarints(new Source("the file", f.bytes), "numbers").map(Number);
  });
const texts = (fields: Fields, n: number) =>
  all(fields, n).map((b) => protoText(new Source("the file", b), b, "a text"));

const BYTES: Readonly<Record<number, number>> = { 1: 4, 6: 4, 7: 8, 9: 1, 10: 2 };

/** Of opset 17: least and most inputs, and attributes by their types (1 float, 2 int, 7 ints). */
const OPS: Readonly<Record<string, readonly [number, number, Readonly<Record<string, number>>]>> = {
  ...Object.fromEntries(
    "Neg Abs Sign Floor Ceil Exp Log Sqrt Reciprocal Sin Cos Relu Sigmoid Tanh Softplus Identity Erf Not HardSwish GlobalAveragePool"
      .split(" ")
      .map((name) => [name, [1, 1, {}] as const]),
  ),
  ...Object.fromEntries(
    "Add Sub Mul Div Pow Equal Greater GreaterOrEqual Less LessOrEqual MatMul Expand Max Min"
      .split(" ")
      .map((name) => [name, [2, 2, {}] as const]),
  ),
  Constant: [0, 0, { value: 4 }],
  Reshape: [2, 2, { allowzero: 2 }],
  Where: [3, 3, {}],
  Cast: [1, 1, { to: 2 }],
  Clip: [1, 3, {}],
  Pad: [2, 3, {}],
  Slice: [3, 5, {}],
  LeakyRelu: [1, 1, { alpha: 1 }],
  Elu: [1, 1, { alpha: 1 }],
  HardSigmoid: [1, 1, { alpha: 1, beta: 1 }],
  Conv: [2, 3, { kernel_shape: 7, strides: 7, pads: 7, dilations: 7, group: 2 }],
  BatchNormalization: [5, 5, { epsilon: 1, momentum: 1, training_mode: 2 }],
  MaxPool: [1, 1, { kernel_shape: 7, strides: 7, pads: 7, dilations: 7, ceil_mode: 2 }],
  AveragePool: [1, 1, { kernel_shape: 7, strides: 7, pads: 7, count_include_pad: 2, ceil_mode: 2 }],
  Gemm: [2, 3, { transA: 2, transB: 2, alpha: 1, beta: 1 }],
  Transpose: [1, 1, { perm: 7 }],
  Concat: [1, 1000, { axis: 2 }],
  Softmax: [1, 1, { axis: 2 }],
  LogSoftmax: [1, 1, { axis: 2 }],
  ArgMax: [1, 1, { axis: 2, keepdims: 2, select_last_index: 2 }],
  ReduceSum: [1, 2, { keepdims: 2, noop_with_empty_axes: 2 }],
  ReduceMax: [1, 1, { axes: 7, keepdims: 2 }],
  ReduceMin: [1, 1, { axes: 7, keepdims: 2 }],
};

function nodeOf(bytes: Uint8Array): OnnxNode {
  const f = fieldsOf(bytes);
  const [type] = texts(f, 4);
  const attributes = all(f, 5).map((a) => {
    const inner = fieldsOf(a);
    all(inner, 5).forEach(tensorOf);
    return [texts(inner, 1)[0], numbers(inner, 20)[0]] as const;
  });
  expect(new Set(attributes.map(([name]) => name)).size, type).toBe(attributes.length);
  return { type, inputs: texts(f, 1), outputs: texts(f, 2), attributes: new Map(attributes) };
}

function tensorOf(bytes: Uint8Array): OnnxTensor {
  const f = fieldsOf(bytes);
  const tensor = {
    name: texts(f, 8)[0] ?? "",
    type: numbers(f, 2)[0],
    shape: numbers(f, 1),
    raw: all(f, 9)[0] ?? new Uint8Array(0),
  };
  const count = tensor.shape.reduce((n, d) => n * d, 1);
  expect(tensor.raw.length, tensor.name).toBe(count * BYTES[tensor.type]);
  return tensor;
}

function checkNode(node: OnnxNode, known: ReadonlySet<string>): void {
  expect(Object.keys(OPS), "an operation of opset 17").toContain(node.type);
  const [least, most, attributes] = OPS[node.type];
  expect(node.inputs.length, node.type).toBeGreaterThanOrEqual(least);
  expect(node.inputs.length, node.type).toBeLessThanOrEqual(most);
  for (const [i, name] of node.inputs.entries())
    if (name !== "" || i < least) expect(known.has(name), `${node.type} reads ${name}`).toBe(true);
  for (const [name, type] of node.attributes) expect(attributes[name], `${node.type} ${name}`).toBe(type);
}

/** The file's parts. Fails where the file is not what ONNX asks for. */
export function checkOnnx(bytes: Uint8Array): OnnxFile {
  const model = fieldsOf(bytes);
  expect(numbers(model, 1)).toEqual([8]);
  const [opset] = all(model, 8).map(fieldsOf);
  expect(texts(opset, 1)).toEqual([""]);
  const graph = fieldsOf(all(model, 7)[0]);
  expect(texts(graph, 2)[0]).toMatch(/^\w+$/);
  const tensors = all(graph, 5).map(tensorOf);
  const inputs = all(graph, 11).map((b) => texts(fieldsOf(b), 1)[0]);
  const outputs = all(graph, 12).map((b) => texts(fieldsOf(b), 1)[0]);
  const known = new Set<string>();
  for (const name of [...inputs, ...tensors.map((t) => t.name)]) {
    expect(known.has(name), `${name} is defined twice`).toBe(false);
    known.add(name);
  }
  const nodes = all(graph, 1).map(nodeOf);
  const made = new Set<string>();
  for (const node of nodes) {
    checkNode(node, known);
    for (const name of node.outputs) {
      expect(known.has(name), `${name} is defined twice`).toBe(false);
      known.add(name);
      made.add(name);
    }
  }
  for (const name of outputs) expect(made.has(name), `output ${name}`).toBe(true);
  const used = new Set(nodes.flatMap((n) => n.inputs));
  for (const { name } of tensors) expect(used.has(name), `${name} is read`).toBe(true);
  const metadata = all(model, 14).map((b) => {
    const f = fieldsOf(b);
    return [texts(f, 1)[0], texts(f, 2)[0]] as const;
  });
  return {
    opset: numbers(opset, 2)[0],
    nodes,
    tensors: new Map(tensors.map((t) => [t.name, t])),
    metadata: new Map(metadata),
    inputs,
    outputs,
  };
}
