// PyTorch's first format (torch.save up to 0.1.9): a tar archive of three files. `storages` holds pickled (key,
// device, type) each followed by its length and raw elements, then views; `tensors` holds pickled (key, storage,
// type) each followed by rank, sizes, strides and offset in binary; `pickle` is the object, in which a persistent id
// is the key of a tensor or storage. Layout: torch/serialization.py, legacy_load within _legacy_load.

import { count } from "./arguments.ts";
import { type PickleHost, pickleCursor, unpickle, unpickleInteger } from "./pickle.ts";
import { storageType } from "./rebuild.ts";
import { Cursor, type Source } from "./source.ts";
import { aligned } from "./tensor_data.ts";
import {
  describe,
  Limits,
  PyList,
  PyTuple,
  type PyValue,
  StorageRef,
  TensorRef,
  UnreadableTensor,
} from "./values.ts";

type Known = Map<string, PyValue>;

/** The object of the archive. Throws DataError. */
export function readTorchTar(source: Source): PyValue {
  const files = tarFiles(source);
  const part = (name: string) => {
    const bytes = files.get(name) ?? files.get(`./${name}`);
    if (!bytes)
      throw source.error("is a tar archive but no PyTorch checkpoint; unpack it and name the file inside");
    return source.part(bytes);
  };
  const limits = new Limits(source);
  const known: Known = new Map();
  const host = (of: Source): PickleHost => ({
    source: of,
    limits,
    persistent: (id) => persistent(of, known, id),
    loadFromBytes: () => {
      throw of.error("its pickle holds a newer PyTorch stream; refused");
    },
  });
  const [storages, tensors, object] = ["storages", "tensors", "pickle"].map((name) => host(part(name)));
  readStorages(storages, known);
  readTensors(tensors, known);
  return unpickle(object, pickleCursor(object.source));
}

/** The regular files of a tar archive (POSIX ustar), each with its header's checksum verified. */
function tarFiles(source: Source): Map<string, Uint8Array> {
  const cursor = new Cursor(source, "the tar archive");
  const files = new Map<string, Uint8Array>();
  while (cursor.left >= 512) {
    const header = cursor.take(512);
    if (header.every((b) => b === 0)) break;
    const stated = octal(source, header.subarray(148, 156));
    const sum = header.reduce((s, b, i) => s + (i >= 148 && i < 156 ? 32 : b), 0);
    if (sum !== stated) throw source.error("is a damaged tar archive: a header's checksum does not match");
    const size = octal(source, header.subarray(124, 136));
    const bytes = cursor.take(size);
    cursor.take(Math.min(cursor.left, (512 - (size % 512)) % 512));
    if (header[156] === 0x30 || header[156] === 0) files.set(text(header.subarray(0, 100)), bytes);
  }
  return files;
}

function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function octal(source: Source, field: Uint8Array): number {
  const digits = text(field).trim();
  if (!/^[0-7]{1,11}$/.test(digits))
    throw source.error("is a damaged tar archive: a header's number is none");
  return Number.parseInt(digits, 8);
}

/** A key as a map's name: Python 2 wrote longs, later versions text. */
function keyOf(source: Source, value: PyValue | undefined): string {
  if (typeof value === "string" || typeof value === "number" || typeof value === "bigint")
    return String(value);
  throw source.error(`its pickle uses ${describe(value)} as a key`);
}

function fields(source: Source, value: PyValue, n: number): readonly PyValue[] {
  if (value instanceof PyTuple && value.items.length === n) return value.items;
  throw source.error(`its pickle holds ${describe(value)} where ${n} values belong`);
}

function howMany(host: PickleHost, cursor: Cursor, what: string): number {
  return count(host, unpickleInteger(host, cursor, what), what);
}

function readStorages(host: PickleHost, known: Known): void {
  const { source } = host;
  const cursor = new Cursor(source, "its list of storages");
  for (let left = howMany(host, cursor, "its number of storages"); left > 0; left--) {
    const [key, , typeName] = fields(source, unpickle(host, cursor), 3);
    const type = storageType(host, typeName);
    const n = cursor.size("a storage's length");
    const bytes = aligned(source, cursor.take(n * type.bytes));
    known.set(keyOf(source, key), new StorageRef(type, n, () => bytes));
  }
  const views = unpickle(host, cursor);
  if (!(views instanceof PyList)) throw source.error(`its pickle lists storage views as ${describe(views)}`);
  for (const view of views.items) {
    const [key, root, offset, size] = fields(source, view, 4);
    const storage = known.get(keyOf(source, root));
    const from = count(host, offset, "the offset of a view");
    const n = count(host, size, "the length of a view");
    if (!(storage instanceof StorageRef) || from + n > storage.count) {
      throw source.error(`its pickle sees ${n} elements from ${from} on in a storage that has fewer`);
    }
    const { type } = storage;
    const bytes = storage.load().subarray(from * type.bytes, (from + n) * type.bytes);
    known.set(keyOf(source, key), new StorageRef(type, n, () => bytes));
  }
}

function readTensors(host: PickleHost, known: Known): void {
  const { source } = host;
  const cursor = new Cursor(source, "its list of tensors");
  for (let left = howMany(host, cursor, "its number of tensors"); left > 0; left--) {
    const [key, storageKey] = fields(source, unpickle(host, cursor), 3);
    const storage = known.get(keyOf(source, storageKey));
    if (!(storage instanceof StorageRef)) throw source.error("its pickle builds a tensor on no storage");
    const rank = cursor.i32();
    cursor.take(4);
    if (rank < 0 || rank > 64) throw source.error(`its pickle builds a tensor of ${rank} dimensions`);
    const shape = Array.from({ length: rank }, () => cursor.size("a tensor's extent"));
    const strides = Array.from({ length: rank }, () => cursor.size("a tensor's stride"));
    const offset = cursor.size("a tensor's offset");
    const tensor = storage.type.dtype
      ? new TensorRef(storage, storage.type, offset, shape, strides)
      : new UnreadableTensor(`is ${storage.type.label}`);
    known.set(keyOf(source, key), tensor);
  }
}

/** A tensor's or storage's key, or (class, file, source) of a module. */
function persistent(source: Source, known: Known, id: PyValue): PyValue {
  if (id instanceof PyTuple && id.items.length > 0) return id.items[0];
  const found = known.get(keyOf(source, id));
  if (found === undefined) throw source.error(`its pickle refers to ${String(id)}, which it does not hold`);
  return found;
}
