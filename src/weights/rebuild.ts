// What torch.save writes for a tensor: a call of torch._utils._rebuild_… with a storage, an offset, a shape and
// strides. Names and arguments are those of PyTorch 0.1 to 2.x (torch/_utils.py, torch/_tensor.py). Kinds that Thaw
// does not read (quantised, complex, sparse, …) become an UnreadableTensor, so that the rest of a file stays legible.

import { count, counts } from "./arguments.ts";
import type { PickleHost } from "./pickle.ts";
import type { WeightDType } from "./types.ts";
import {
  describe,
  type ElementType,
  PyDict,
  PyGlobal,
  PyTuple,
  type PyValue,
  StorageRef,
  TensorRef,
  UnreadableTensor,
} from "./values.ts";

function readable(dtype: WeightDType, bytes: number): ElementType {
  return { dtype, bytes, label: dtype };
}

function unreadable(label: string, bytes: number): ElementType {
  return { dtype: null, bytes, label };
}

/** Element types by PyTorch's name of the dtype. */
const DTYPES: ReadonlyMap<string, ElementType> = new Map([
  ["float64", readable("f64", 8)],
  ["float32", readable("f32", 4)],
  ["float16", readable("f16", 2)],
  ["bfloat16", readable("bf16", 2)],
  ["int64", readable("i64", 8)],
  ["int32", readable("i32", 4)],
  ["int16", readable("i16", 2)],
  ["int8", readable("i8", 1)],
  ["uint64", readable("u64", 8)],
  ["uint32", readable("u32", 4)],
  ["uint16", readable("u16", 2)],
  ["uint8", readable("u8", 1)],
  ["bool", readable("bool", 1)],
  ["complex32", unreadable("complex (complex32)", 4)],
  ["complex64", unreadable("complex (complex64)", 8)],
  ["complex128", unreadable("complex (complex128)", 16)],
  ["qint8", unreadable("quantised (qint8)", 1)],
  ["quint8", unreadable("quantised (quint8)", 1)],
  ["qint32", unreadable("quantised (qint32)", 4)],
  ["quint4x2", unreadable("quantised (quint4x2)", 1)],
  ["quint2x4", unreadable("quantised (quint2x4)", 1)],
  ["float8_e4m3fn", unreadable("of 8-bit floats (float8_e4m3fn)", 1)],
  ["float8_e5m2", unreadable("of 8-bit floats (float8_e5m2)", 1)],
  ["float8_e4m3fnuz", unreadable("of 8-bit floats (float8_e4m3fnuz)", 1)],
  ["float8_e5m2fnuz", unreadable("of 8-bit floats (float8_e5m2fnuz)", 1)],
]);

/** The dtype that a storage class stands for: torch.FloatStorage, torch.cuda.HalfStorage, … */
const STORAGES: ReadonlyMap<string, string> = new Map([
  ["DoubleStorage", "float64"],
  ["FloatStorage", "float32"],
  ["HalfStorage", "float16"],
  ["BFloat16Storage", "bfloat16"],
  ["LongStorage", "int64"],
  ["IntStorage", "int32"],
  ["ShortStorage", "int16"],
  ["CharStorage", "int8"],
  ["ByteStorage", "uint8"],
  ["BoolStorage", "bool"],
  ["UntypedStorage", "uint8"],
  ["_UntypedStorage", "uint8"],
  ["ComplexHalfStorage", "complex32"],
  ["ComplexFloatStorage", "complex64"],
  ["ComplexDoubleStorage", "complex128"],
  ["QInt8Storage", "qint8"],
  ["QUInt8Storage", "quint8"],
  ["QInt32Storage", "qint32"],
  ["QUInt4x2Storage", "quint4x2"],
  ["QUInt2x4Storage", "quint2x4"],
]);

/** The element type of a storage class that a pickle names; throws DataError for classes that are none. */
export function storageType(host: PickleHost, value: PyValue | undefined): ElementType {
  const name =
    value instanceof PyGlobal && /^torch(\.|$)/.test(value.module) ? STORAGES.get(value.name) : undefined;
  if (name === undefined) throw host.source.error(`its pickle names ${describe(value)} as a kind of storage`);
  return DTYPES.get(name) as ElementType;
}

function dtypeOf(host: PickleHost, value: PyValue | undefined): ElementType {
  const type = value instanceof PyGlobal && value.module === "torch" ? DTYPES.get(value.name) : undefined;
  if (!type)
    throw host.source.error(`its pickle names ${describe(value)} as a dtype, which Thaw does not know`);
  return type;
}

/** _rebuild_tensor(storage, offset, size, stride) and the like; `type` where it is not the storage's own. */
function plainTensor(host: PickleHost, args: readonly PyValue[], type?: ElementType): PyValue {
  const [storage, offset, size, stride] = args;
  if (!(storage instanceof StorageRef)) {
    throw host.source.error(`its pickle builds a tensor on ${describe(storage)} instead of a storage`);
  }
  const shape = counts(host, size, "a tensor's shape");
  const strides = counts(host, stride, "a tensor's strides");
  if (shape.length !== strides.length) {
    throw host.source.error(`its pickle gives a tensor ${shape.length} sizes but ${strides.length} strides`);
  }
  const element = type ?? storage.type;
  if (element.dtype === null) return new UnreadableTensor(`is ${element.label}`);
  return new TensorRef(storage, element, count(host, offset, "a tensor's offset"), shape, strides);
}

/** _rebuild_tensor_v2: a seventh argument may say that the stored numbers are to be negated when used. */
function tensorV2(host: PickleHost, args: readonly PyValue[], metadata: PyValue | undefined): PyValue {
  if (metadata instanceof PyDict && (metadata.get("neg") || metadata.get("conj"))) {
    return new UnreadableTensor("is stored negated or conjugated");
  }
  return plainTensor(host, args);
}

function quantised(args: readonly PyValue[]): UnreadableTensor {
  const [storage, , , , parameters] = args;
  const kind = storage instanceof StorageRef ? storage.type.label : "quantised";
  const scheme = parameters instanceof PyTuple ? parameters.items[0] : undefined;
  const how = scheme instanceof PyGlobal ? `, ${scheme.name.replaceAll("_", " ")}` : "";
  return new UnreadableTensor(`is ${kind}${how}`);
}

/** _rebuild_from_type_v2(function, type, args, attributes): a subclass of Tensor, or one with Python attributes. */
function fromType(host: PickleHost, args: readonly PyValue[]): PyValue | undefined {
  const [inner, , innerArgs] = args;
  // Not twice, which PyTorch never writes: it would let a file nest calls as deep as it likes.
  if (!(inner instanceof PyGlobal) || inner.name.startsWith("_rebuild_from_type")) return undefined;
  return innerArgs instanceof PyTuple ? rebuildTorch(host, inner, innerArgs.items) : undefined;
}

function parameter(args: readonly PyValue[]): PyValue | undefined {
  const data = args[0];
  return data instanceof TensorRef || data instanceof UnreadableTensor ? data : undefined;
}

/** The tensor that a call of PyTorch's rebuilds, or undefined where it is none of those calls. */
export function rebuildTorch(
  host: PickleHost,
  target: PyGlobal,
  args: readonly PyValue[],
): PyValue | undefined {
  if (!/^torch(\.|$)/.test(target.module)) return undefined;
  switch (target.name) {
    case "_rebuild_tensor":
      return plainTensor(host, args);
    case "_rebuild_tensor_v2":
      return tensorV2(host, args, args[6]);
    case "_rebuild_tensor_v3":
      return plainTensor(host, args, dtypeOf(host, args[6]));
    case "_rebuild_parameter":
    case "_rebuild_parameter_with_state":
    case "Parameter":
    case "Variable":
    case "Buffer":
      return parameter(args);
    case "_rebuild_from_type":
    case "_rebuild_from_type_v2":
      return fromType(host, args);
    case "_rebuild_qtensor":
      return quantised(args);
    case "_rebuild_sparse_tensor":
    case "_rebuild_sparse_csr_tensor":
      return new UnreadableTensor("is sparse");
    case "_rebuild_meta_tensor_no_storage":
      return new UnreadableTensor("is on the meta device and has no values");
  }
  if (target.name.startsWith("_rebuild_")) return new UnreadableTensor(`needs torch's ${target.name}`);
  return undefined;
}
