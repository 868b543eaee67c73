// PyTorch's zip archive (torch.save since 1.6): NAME/data.pkl describes the object, NAME/data/KEY holds one storage
// each, NAME/byteorder (since 2.0) says "little" or "big". Layout: torch/serialization.py, _save and _load.

import { count } from "./arguments.ts";
import { type PickleHost, pickleCursor, unpickle } from "./pickle.ts";
import { storageType } from "./rebuild.ts";
import { aligned, swapBytes } from "./tensor_data.ts";
import { loadStream } from "./torch_legacy.ts";
import { describe, Limits, PyTuple, type PyValue, StorageRef } from "./values.ts";
import { readMember, type Zip } from "./zip.ts";

/** The object that the archive holds. Throws DataError. */
export function readTorchZip(zip: Zip): PyValue {
  const { source } = zip;
  const folder = folderOf(zip);
  const pickle = member(zip, `${folder}data.pkl`);
  const limits = new Limits(source);
  const archive: Archive = { zip, folder, loads: new Map(), bigEndian: once(() => isBigEndian(zip, folder)) };
  const host: PickleHost = {
    source: source.part(pickle),
    limits,
    persistent: (id) => persistent(host, archive, id),
    loadFromBytes: (bytes) => loadStream(source.part(bytes), limits),
  };
  return unpickle(host, pickleCursor(host.source));
}

interface Archive {
  readonly zip: Zip;
  readonly folder: string;
  /** What gives the bytes of each storage, so that all its tensors share them. */
  readonly loads: Map<string, () => Uint8Array>;
  readonly bigEndian: () => boolean;
}

/** The folder in which data.pkl lies, with its slash; refuses the zip archives that are something else. */
function folderOf(zip: Zip): string {
  const { source } = zip;
  const names = [...zip.members.keys()];
  const found = names.filter((n) => /^([^/]*\/)?data\.pkl$/.test(n));
  if (found.length > 1)
    throw source.error(`holds ${found.length} pickles (${found.join(", ")}) where one belongs`);
  // The folder has the name of the file as it was saved, which may well be "code" or "barcode".
  const folders = found.length === 1 ? [found[0].slice(0, -"data.pkl".length)] : topFolders(names);
  if (folders.some((folder) => isTorchScript(names, folder))) {
    throw source.error(
      "is a TorchScript archive (a compiled program, not only weights); in Python, save model.state_dict() with torch.save instead",
    );
  }
  if (found.length === 1) return folders[0];
  const first = names.length ? `; its first member is ${names[0]}` : "";
  throw source.error(`is a zip archive without data.pkl, so no PyTorch checkpoint${first}`);
}

function topFolders(names: readonly string[]): string[] {
  return ["", ...new Set(names.map((n) => n.slice(0, n.indexOf("/") + 1)))];
}

/** A compiled program keeps its constants and code in the folder of its data. */
function isTorchScript(names: readonly string[], folder: string): boolean {
  return names.some((n) => n === `${folder}constants.pkl` || n.startsWith(`${folder}code/`));
}

function member(zip: Zip, name: string): Uint8Array {
  const found = zip.members.get(name);
  if (!found) throw zip.source.error(`has no member ${name}`);
  return readMember(zip, found);
}

function isBigEndian(zip: Zip, folder: string): boolean {
  if (!zip.members.has(`${folder}byteorder`)) return false;
  const order = new TextDecoder().decode(member(zip, `${folder}byteorder`).subarray(0, 20));
  if (order !== "little" && order !== "big") throw zip.source.error(`has the byte order "${order}"`);
  return order === "big";
}

/** ("storage", type, key, device, number of elements). */
function persistent(host: PickleHost, archive: Archive, id: PyValue): PyValue {
  const { zip, folder, loads } = archive;
  const [kind, typeName, key, , number] = id instanceof PyTuple ? id.items : [];
  if (kind !== "storage" || (typeof key !== "string" && typeof key !== "number")) {
    throw zip.source.error(`its pickle refers to ${describe(kind ?? id)} outside of it, not to a storage`);
  }
  const type = storageType(host, typeName);
  const n = count(host, number, "the length of a storage");
  const found = zip.members.get(`${folder}data/${key}`);
  if (!found) throw zip.source.error(`has no member data/${key}, which its pickle refers to`);
  if (found.size < n * type.bytes) {
    throw zip.source.error(
      `its member data/${key} holds ${found.size} bytes where ${n} elements of ${type.label} need ${n * type.bytes}`,
    );
  }
  // By element size too, because a storage seen as two types has its bytes swapped in two ways.
  const cacheKey = `${type.bytes}:${key}`;
  let load = loads.get(cacheKey);
  if (!load) {
    load = once(() => {
      const bytes = readMember(zip, found);
      return archive.bigEndian() ? swapBytes(zip.source, bytes, type.bytes) : aligned(zip.source, bytes);
    });
    loads.set(cacheKey, load);
  }
  return new StorageRef(type, n, load);
}

/** The same result at each call, computed at the first. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
