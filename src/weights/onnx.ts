// The initialisers of an ONNX model as a state dict. Only what that needs is read: names, shapes, element types and
// data. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3

import { type ProtoField, packedVarints, packedWords, protoFields, protoText } from "./protobuf.ts";
import type { Source } from "./source.ts";
import { entryOf } from "./tensor_data.ts";
import {
  bytesOf,
  countOf,
  NOT_READ,
  type Plain,
  type Skipped,
  type WeightDType,
  type Weights,
} from "./types.ts";

export interface OnnxFile {
  readonly tensors: Weights;
  /** ir_version, producer, opset, the graph's name, inputs and outputs, and metadata_props/KEY. */
  readonly extras: Map<string, Plain>;
  readonly skipped: Skipped[];
}

const MAX_RANK = 64;

/** TensorProto.DataType. */
const DTYPES: Readonly<Record<number, WeightDType>> = {
  1: "f32",
  2: "u8",
  3: "i8",
  4: "u16",
  5: "i16",
  6: "i32",
  7: "i64",
  9: "bool",
  10: "f16",
  11: "f64",
  12: "u32",
  13: "u64",
  16: "bf16",
};

const UNREAD: Readonly<Record<number, string>> = { 8: "text", 14: "complex64", 15: "complex128" };

/** Fields of ModelProto by number with their wire type: what tells an ONNX file, which has no magic number. */
const MODEL_FIELDS: Readonly<Record<number, ProtoField["wire"]>> = {
  1: "varint",
  2: "bytes",
  3: "bytes",
  4: "bytes",
  5: "varint",
  6: "bytes",
  7: "bytes",
  8: "bytes",
  14: "bytes",
  20: "bytes",
  25: "bytes",
};

/** Whether bytes begin as an ONNX model does: known fields up to a graph, which may be cut short. */
export function looksLikeOnnx(source: Source): boolean {
  let seen = 0;
  try {
    for (const { field, wire } of protoFields(source, "it")) {
      if (MODEL_FIELDS[field] !== wire) return false;
      if (field === 7) return true;
      seen++;
    }
  } catch {
    // What is cut short in its first field says nothing; later on it has said enough.
    return seen >= 1;
  }
  return false;
}

/** The file's arrays by the names of its initialisers. Throws DataError for what is damaged or not read. */
export function readOnnx(source: Source, skipUnsupported: boolean): OnnxFile {
  const file: OnnxFile = { tensors: new Map(), extras: new Map(), skipped: [] };
  let graph: Uint8Array | null = null;
  for (const f of protoFields(source, "its ONNX model")) {
    if (f.field === 7 && f.wire === "bytes") {
      if (graph) throw source.error("holds two ONNX graphs");
      graph = f.bytes;
    } else readModelField(source, f, file.extras);
  }
  if (!graph) throw source.error("is an ONNX model without a graph");
  readGraph(source.part(graph), file, skipUnsupported);
  return file;
}

const MODEL_TEXTS: Readonly<Record<number, string>> = {
  2: "producer_name",
  3: "producer_version",
  6: "doc_string",
};

function readModelField(source: Source, f: ProtoField, extras: Map<string, Plain>): void {
  if (f.wire === "varint") {
    if (f.field === 1) extras.set("ir_version", Number(f.value));
    return;
  }
  const part = source.part(f.bytes);
  if (MODEL_TEXTS[f.field]) extras.set(MODEL_TEXTS[f.field], protoText(source, f.bytes, "its ONNX model"));
  else if (f.field === 8) {
    const { text, number } = pairOf(part, "its opset");
    if (!text[1] || text[1] === "ai.onnx") extras.set("opset", number);
  } else if (f.field === 14) {
    const { text } = pairOf(part, "its metadata");
    extras.set(`metadata_props/${text[1] ?? ""}`, text[2] ?? "");
  }
}

/** OperatorSetIdProto (domain, version) and StringStringEntryProto (key, value): the texts by field, and the number. */
function pairOf(source: Source, what: string): { text: Record<number, string>; number: number } {
  const text: Record<number, string> = {};
  let number = 0;
  for (const f of protoFields(source, what)) {
    if (f.wire === "varint") number = Number(f.value);
    else text[f.field] = protoText(source, f.bytes, what);
  }
  return { text, number };
}

function readGraph(source: Source, file: OnnxFile, skipUnsupported: boolean): void {
  const inputs: string[] = [];
  const outputs: string[] = [];
  for (const f of protoFields(source, "its ONNX graph")) {
    if (f.wire !== "bytes") continue;
    const part = source.part(f.bytes);
    if (f.field === 2) file.extras.set("graph", protoText(source, f.bytes, "its ONNX graph"));
    else if (f.field === 5) readTensor(part, file, skipUnsupported);
    else if (f.field === 11) inputs.push(nameOf(part));
    else if (f.field === 12) outputs.push(nameOf(part));
    else if (f.field === 15) leaveOut(source, file, sparseName(part), "is sparse", skipUnsupported);
  }
  // Up to IR version 3 initialisers were listed as inputs too.
  file.extras.set(
    "inputs",
    inputs.filter((name) => !file.tensors.has(name)),
  );
  file.extras.set("outputs", outputs);
}

/** The name of a ValueInfoProto. */
function nameOf(source: Source): string {
  const [text] = fieldsCalled(source, 1);
  return text ? protoText(source, text, "its ONNX graph") : "";
}

/** The name of a SparseTensorProto, which is that of its values. */
function sparseName(source: Source): string {
  const [values] = fieldsCalled(source, 1);
  return values ? partsOf(source.part(values)).name : "";
}

function fieldsCalled(source: Source, field: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const f of protoFields(source, "its ONNX graph")) {
    if (f.field === field && f.wire === "bytes") found.push(f.bytes);
  }
  return found;
}

function leaveOut(source: Source, file: OnnxFile, name: string, reason: string, skip: boolean): void {
  if (!skip) throw source.error(`tensor "${name}" ${reason}, ${NOT_READ}`);
  file.skipped.push({ name, reason });
}

/** A TensorProto's parts as they lie in the file. */
interface Parts {
  name: string;
  readonly shape: number[];
  type: number;
  external: boolean;
  raw: Uint8Array | null;
  /** float_data, int32_data, int64_data, double_data, uint64_data by field number; what is packed and what is not. */
  readonly typed: Map<number, ProtoField[]>;
}

function readTensor(source: Source, file: OnnxFile, skipUnsupported: boolean): void {
  const parts = partsOf(source);
  const { name, shape } = parts;
  if (file.tensors.has(name)) throw source.error(`holds two tensors called "${name}"`);
  const dtype = DTYPES[parts.type];
  if (parts.external || !dtype) {
    const what = `is ${UNREAD[parts.type] ?? `of element type ${parts.type}`}`;
    const reason = parts.external ? "lies in a file of its own (external data)" : what;
    leaveOut(source, file, name, reason, skipUnsupported);
    return;
  }
  const count = countOf(shape);
  if (count === null) throw source.error(`tensor "${name}" has an impossible shape [${shape}]`);
  const bytes = parts.raw ?? typedBytes(source, parts, dtype);
  if (bytes.length !== count * bytesOf(dtype)) {
    throw source.error(
      `tensor "${name}" is ${dtype}[${shape}], which takes ${count * bytesOf(dtype)} bytes, but ${bytes.length} are there`,
    );
  }
  file.tensors.set(name, entryOf(source, name, dtype, shape, bytes));
}

function partsOf(source: Source): Parts {
  const what = "an ONNX tensor";
  const parts: Parts = { name: "", shape: [], type: 0, external: false, raw: null, typed: new Map() };
  for (const f of protoFields(source, what)) {
    if (f.field === 1) {
      // More than any shape takes is not even looked at.
      const dims =
        f.wire === "varint" ? [f.value] : packedVarints(source.part(f.bytes.subarray(0, 1000)), what);
      for (const d of dims) parts.shape.push(Number(BigInt.asIntN(64, d)));
      if (parts.shape.length > MAX_RANK) throw source.error(`holds a tensor of more than ${MAX_RANK} axes`);
    } else if (f.field === 2 && f.wire === "varint") parts.type = Number(f.value);
    else if (f.field === 8 && f.wire === "bytes") parts.name = protoText(source, f.bytes, what);
    else if (f.field === 9 && f.wire === "bytes") parts.raw = f.bytes;
    else if (f.field === 13 || (f.field === 14 && f.wire === "varint" && f.value !== 0n))
      parts.external = true;
    else if ([4, 5, 7, 10, 11].includes(f.field)) {
      const list = parts.typed.get(f.field) ?? [];
      // A few bytes of the file become an object each where numbers are not packed.
      source.spend(64, "the numbers of a tensor");
      list.push(f);
      parts.typed.set(f.field, list);
    }
  }
  if (!parts.name) throw source.error("holds an ONNX tensor without a name");
  if (!parts.shape.every((d) => Number.isSafeInteger(d) && d >= 0)) {
    throw source.error(`tensor "${parts.name}" has an impossible shape [${parts.shape}]`);
  }
  return parts;
}

/** Which field holds the data of a type that are not raw, and the bytes of one number there (0: varints). */
const TYPED: Readonly<Partial<Record<WeightDType, readonly [field: number, bytes: number]>>> = {
  f32: [4, 4],
  f64: [10, 8],
  i64: [7, 0],
  u64: [11, 0],
  u32: [11, 0],
};

/** The data of a tensor whose numbers are typed fields, as row-major bytes. */
function typedBytes(source: Source, parts: Parts, dtype: WeightDType): Uint8Array {
  // All that is smaller than 32 bits, halves as their bits among it, shares int32_data.
  const [field, fixed] = TYPED[dtype] ?? [5, 0];
  const fields = parts.typed.get(field) ?? [];
  if (fixed > 0) {
    const bytes = fields.map((f) => (f.wire === "varint" ? new Uint8Array(0) : f.bytes));
    return joined(source, bytes, parts.name);
  }
  const size = bytesOf(dtype);
  const words = fields.map((f) => {
    if (f.wire === "varint") return new Uint8Array(BigUint64Array.of(f.value).buffer, 0, size);
    return packedWords(source.part(f.bytes), `tensor "${parts.name}"`, size);
  });
  return joined(source, words, parts.name);
}

function joined(source: Source, parts: readonly Uint8Array[], name: string): Uint8Array {
  if (parts.length === 1) return parts[0];
  const length = parts.reduce((n, p) => n + p.length, 0);
  source.spend(length, `tensor "${name}"`);
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
