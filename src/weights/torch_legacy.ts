// PyTorch's legacy stream (torch.save from 0.1.10 to 1.5, and _use_new_zipfile_serialization=False since): pickles of
// a magic number, a version, the writer's system and the object; then the list of storage keys and, in that order,
// each storage as its length (int64) and raw little-endian elements. Also plain pickles without that frame.
// Layout: torch/serialization.py, _legacy_save and _legacy_load.

import { count } from "./arguments.ts";
import { type PickleHost, pickleCursor, unpickle, unpickleInteger } from "./pickle.ts";
import { storageType } from "./rebuild.ts";
import type { Cursor, Source } from "./source.ts";
import { aligned } from "./tensor_data.ts";
import { describe, type ElementType, Limits, PyList, PyTuple, type PyValue, StorageRef } from "./values.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;

/** A storage that the object refers to; its bytes come after the object in the stream. */
interface Stored {
  readonly type: ElementType;
  readonly count: number;
  bytes: Uint8Array | null;
}

/** The object of a torch.save stream or of a plain pickle, and which of them it was. Throws DataError. */
export function readPickleFile(source: Source): { format: "pytorch-legacy" | "pickle"; root: PyValue } {
  const limits = new Limits(source);
  const cursor = pickleCursor(source);
  const host = plainHost(source, limits);
  const first = unpickle(host, cursor);
  if (first === MAGIC) return { format: "pytorch-legacy", root: readStream(host, cursor) };
  if (cursor.left > 0) {
    throw source.error(
      `begins like a pickle but is no PyTorch checkpoint: ${cursor.left} bytes follow its first value, ${describe(first)}`,
    );
  }
  return { format: "pickle", root: first };
}

/** A torch.save stream inside a pickle (torch.storage._load_from_bytes), which may not hold yet another. */
export function loadStream(source: Source, limits: Limits): PyValue {
  const cursor = pickleCursor(source);
  const host: PickleHost = {
    ...plainHost(source, limits),
    loadFromBytes: () => {
      throw source.error("its pickle holds a PyTorch stream within a stream within it; refused");
    },
  };
  if (unpickle(host, cursor) !== MAGIC)
    throw source.error("its pickle holds bytes that are no PyTorch stream");
  return readStream(host, cursor);
}

/** A pickle that has no storages of its own. */
function plainHost(source: Source, limits: Limits): PickleHost {
  return {
    source,
    limits,
    persistent: (id) => {
      throw source.error(`its pickle refers to ${describe(id)} outside of it, and there is nothing`);
    },
    loadFromBytes: (bytes) => loadStream(source.part(bytes), limits),
  };
}

/** The rest of the stream after the magic number. */
function readStream(host: PickleHost, cursor: Cursor): PyValue {
  const { source } = host;
  const version = unpickleInteger(host, cursor, "the version of its PyTorch stream");
  if (version !== VERSION)
    throw source.error(`is a PyTorch stream of version ${version}; Thaw reads ${VERSION}`);
  unpickle(host, cursor);
  const stored = new Map<string, Stored>();
  const object = unpickle({ ...host, persistent: (id) => persistent(host, stored, id) }, cursor);
  const keys = unpickle(host, cursor);
  if (!(keys instanceof PyList)) throw source.error(`lists its storages as ${describe(keys)}`);
  for (const key of keys.items) {
    if (!isKey(key)) throw source.error(`lists ${describe(key)} as the key of a storage`);
    readStorage(source, cursor, stored.get(String(key)), String(key));
  }
  for (const [key, storage] of stored) {
    if (!storage.bytes) throw source.error(`refers to the storage ${key}, which does not follow`);
  }
  return object;
}

/** Keys of storages: text, and numbers in the oldest files. */
function isKey(value: PyValue | undefined): value is string | number | bigint {
  return typeof value === "string" || typeof value === "number" || typeof value === "bigint";
}

function readStorage(source: Source, cursor: Cursor, storage: Stored | undefined, key: string): void {
  if (!storage || storage.bytes) {
    throw source.error(`lists a storage ${key} that its object does not refer to, or lists it twice`);
  }
  const n = cursor.size("a storage's length");
  if (n !== storage.count) {
    throw source.error(`its storage ${key} holds ${n} elements where ${storage.count} were announced`);
  }
  storage.bytes = cursor.take(n * storage.type.bytes);
}

/** ("storage", type, key, device, elements, view) or ("module", class, file, source), whose value is the class. */
function persistent(host: PickleHost, stored: Map<string, Stored>, id: PyValue): PyValue {
  const { source } = host;
  const [kind, typeName, key, , number, view] = id instanceof PyTuple ? id.items : [];
  if (kind === "module" && typeName !== undefined) return typeName;
  if (kind !== "storage" || !isKey(key)) {
    throw source.error(`its pickle refers to ${describe(kind ?? id)} outside of it, not to a storage`);
  }
  const type = storageType(host, typeName);
  const n = count(host, number, "the length of a storage");
  const name = String(key);
  const storage = stored.get(name) ?? { type, count: n, bytes: null };
  stored.set(name, storage);
  return viewOf(host, storage, type, n, view);
}

/** The storage itself, or the view on it that (key, offset, elements) describes. */
function viewOf(host: PickleHost, storage: Stored, type: ElementType, n: number, view?: PyValue): StorageRef {
  const bytes = () => {
    if (!storage.bytes) throw host.source.error("its pickle uses a storage before it was read");
    // Aligned once, so that all tensors of a storage share one copy.
    storage.bytes = aligned(host.source, storage.bytes);
    return storage.bytes;
  };
  const held = storage.count * storage.type.bytes;
  const window = view instanceof PyTuple ? view.items : null;
  const from = window ? count(host, window[1], "the offset of a view") : 0;
  const size = window ? count(host, window[2], "the length of a view") : n;
  if ((from + size) * type.bytes > held) {
    throw host.source.error(`its pickle sees ${size} elements from ${from} on in a storage of ${held} bytes`);
  }
  return new StorageRef(type, size, () => bytes().subarray(from * type.bytes, (from + size) * type.bytes));
}
