// NumPy's part of pickles: element types, arrays and scalars, which training scripts like to leave in checkpoints.
// Layouts are those of NumPy's ndarray.__reduce__ and dtype.__reduce__ (NumPy 1 and 2).

import { halfToFloat } from "../core/half.ts";
import { type Call, counts } from "./arguments.ts";
import type { PickleHost } from "./pickle.ts";
import { swapBytes } from "./tensor_data.ts";
import { bytesOf, countOf, viewAs, type WeightDType } from "./types.ts";
import {
  describe,
  float,
  NumpyArray,
  NumpyDType,
  PyTuple,
  type PyValue,
  StorageRef,
  TensorRef,
  UnreadableTensor,
} from "./values.ts";

/** Plain element types by NumPy's code without byte order. */
const CODES: ReadonlyMap<string, WeightDType> = new Map([
  ["f8", "f64"],
  ["f4", "f32"],
  ["f2", "f16"],
  ["i8", "i64"],
  ["i4", "i32"],
  ["i2", "i16"],
  ["i1", "i8"],
  ["u8", "u64"],
  ["u4", "u32"],
  ["u2", "u16"],
  ["u1", "u8"],
  ["b1", "bool"],
]);

const dtype: Call = (host, args) => {
  const [code] = args;
  if (typeof code !== "string")
    throw host.source.error(`its pickle makes a NumPy dtype of ${describe(code)}`);
  const made = new NumpyDType(code.replace(/^[<>|=]/, ""));
  made.bigEndian = code.startsWith(">");
  return made;
};

/** dtype.__setstate__: (version, byte order, …). */
export function buildDType(host: PickleHost, object: NumpyDType, state: PyValue): void {
  const order = state instanceof PyTuple ? state.items[1] : undefined;
  if (order !== "<" && order !== ">" && order !== "|" && order !== "=") {
    throw host.source.error(`its pickle gives a NumPy dtype ${describe(order)} as byte order`);
  }
  object.bigEndian = order === ">";
}

/** Array bytes: bytes, or Python 2's str, which the unpickler gave as text where it happened to be UTF-8. */
function rawBytes(host: PickleHost, value: PyValue | undefined): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "string") return null;
  host.source.spend(value.length * 3, "a NumPy array");
  return new TextEncoder().encode(value);
}

/** A tensor on raw array bytes, or null where the elements are text, dates or objects. */
function arrayOn(
  host: PickleHost,
  type: PyValue | undefined,
  raw: PyValue | undefined,
  shape: number[],
  columnMajor: boolean,
): TensorRef | UnreadableTensor | null {
  if (!(type instanceof NumpyDType))
    throw host.source.error(`its pickle gives a NumPy array ${describe(type)} as dtype`);
  if (type.code.startsWith("c")) return new UnreadableTensor(`is complex (NumPy ${type.code})`);
  const dtype = CODES.get(type.code);
  const bytes = rawBytes(host, raw);
  if (!dtype || !bytes) return null;
  const n = countOf(shape);
  const size = bytesOf(dtype);
  if (n === null || n * size !== bytes.length) {
    throw host.source.error(
      `its pickle holds a NumPy array ${dtype}[${shape}] with ${bytes.length} bytes of data`,
    );
  }
  const load = () => (type.bigEndian ? swapBytes(host.source, bytes, size) : bytes);
  const storage = new StorageRef({ dtype, bytes: size, label: dtype }, n, load);
  return new TensorRef(storage, storage.type, 0, shape, stridesFor(shape, columnMajor));
}

function stridesFor(shape: readonly number[], columnMajor: boolean): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let k = 0; k < shape.length; k++) {
    const axis = columnMajor ? k : shape.length - 1 - k;
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

/** ndarray.__setstate__: ([version,] shape, dtype, column-major, data). */
export function buildArray(host: PickleHost, object: NumpyArray, state: PyValue): void {
  if (!(state instanceof PyTuple) || state.items.length < 4) {
    throw host.source.error(`its pickle gives a NumPy array ${describe(state)} as state`);
  }
  const [shape, type, columnMajor, raw] = state.items.slice(-4);
  object.tensor = arrayOn(host, type, raw, counts(host, shape, "a NumPy shape"), columnMajor === true);
}

/** numpy.core.numeric._frombuffer(buffer, dtype, shape, order), as protocol 5 writes arrays. */
const fromBuffer: Call = (host, args) => {
  const made = new NumpyArray();
  const [raw, type, shape, order] = args;
  made.tensor = arrayOn(host, type, raw, counts(host, shape, "a NumPy shape"), order === "F");
  return made;
};

const scalar: Call = (host, args) => {
  const [type, raw] = args;
  const array = arrayOn(host, type, raw, [], false);
  if (!(array instanceof TensorRef)) return null;
  const dtype = array.type.dtype as WeightDType;
  const value = viewAs(dtype, array.storage.load(), 0, 1, (n) => host.source.spend(n, "a NumPy scalar"))[0];
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (dtype === "bool") return value !== 0;
  if (dtype === "f16") return float(halfToFloat(value));
  return dtype === "f32" || dtype === "f64" ? float(value) : value;
};

/** NumPy's constructors by their full name. */
export const NUMPY_CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ["numpy.dtype", dtype],
  ["numpy.core.multiarray._reconstruct", () => new NumpyArray()],
  ["numpy.core.multiarray.scalar", scalar],
  ["numpy.core.numeric._frombuffer", fromBuffer],
]);
