// The datasets of an HDF5 file by their paths, and the attributes of its groups. What reads the bytes is the HDF
// Group's library (hdf5_library.ts); here every size it tells is checked before memory is given to it.

import { DataError, messageOf } from "../core/error.ts";
import { HDF5_CLASS, type Hdf5Metadata, type Hdf5Module } from "./hdf5_library.ts";
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

export interface Hdf5File {
  readonly tensors: Weights;
  /** Attributes of groups that are text, numbers or lists of them, as "group/attribute". */
  readonly extras: Map<string, Plain>;
  readonly skipped: Skipped[];
}

const MAX_DEPTH = 64;
/** Groups, datasets and attributes visited: each takes more than 16 bytes of a file whose links form no rings. */
const mostObjects = (bytes: number): number => Math.min(200_000, 1000 + bytes / 16);
const MAX_NAME = 4096;
/** Files read so far: a page's library must not take the next one for one that it failed to close. */
let reads = 0;

/** Reads all of the file's datasets with a library that no other file was read with. Throws DataError. */
export function readWith(library: Hdf5Module, source: Source, skipUnsupported: boolean): Hdf5File {
  return within(source, () => {
    library.activate_throwing_error_handler();
    const path = `/weights${++reads}.h5`;
    // The file is opened for reading only, so it need not be copied.
    library.FS.writeFile(path, source.bytes, { canOwn: true });
    let id = -1n;
    try {
      id = library.open(path, 0, false, -1, -1);
      if (id < 0n) throw source.error("is a damaged HDF5 file");
      const reader = new Reader(source, library, id, skipUnsupported);
      reader.group("", 0);
      return reader.file;
    } finally {
      if (id >= 0n) closeQuietly(library, id);
      library.FS.unlink(path);
    }
  });
}

/** What the library throws, and what breaks within it, as a sentence about the file. */
function within<T>(source: Source, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw source.error(`is a damaged HDF5 file, or one that asks for too much memory (${causeOf(error)})`);
  }
}

/** The innermost cause of the library's report, which goes from the call down to what failed. */
function causeOf(error: unknown): string {
  const text = messageOf(error);
  const causes = [...text.matchAll(/ in \w+\(\): (.*)/g)];
  return (causes.at(-1)?.[1] ?? text.trim().split("\n")[0]).slice(0, 200) || "its reader gave up";
}

function closeQuietly(library: Hdf5Module, id: bigint): void {
  try {
    library.close_file(id);
  } catch {
    // It failed before, and that is what is told.
  }
}

class Reader {
  readonly file: Hdf5File = { tensors: new Map(), extras: new Map(), skipped: [] };
  readonly #source: Source;
  readonly #library: Hdf5Module;
  readonly #id: bigint;
  readonly #skip: boolean;
  #objects = 0;

  constructor(source: Source, library: Hdf5Module, id: bigint, skip: boolean) {
    this.#source = source;
    this.#library = library;
    this.#id = id;
    this.#skip = skip;
  }

  /** A group's attributes and all below it; the root's path is empty. */
  group(path: string, depth: number): void {
    const source = this.#source;
    // Links may form rings and multiply, so what is counted is what is visited.
    if (depth > MAX_DEPTH) throw source.error(`is nested more than ${MAX_DEPTH} groups deep`);
    const at = path || "/";
    for (const name of this.#library.get_attribute_names(this.#id, at)) this.#attribute(path, at, name);
    for (const name of this.#library.get_names(this.#id, at, false)) this.#member(path, name, depth);
  }

  #count(path: string): void {
    if (++this.#objects > mostObjects(this.#source.bytes.length)) {
      throw this.#source.error(
        `lists more than ${this.#objects - 1} objects, more than it can hold; refused`,
      );
    }
    if (path.length > MAX_NAME) {
      throw this.#source.error(`holds a name of more than ${MAX_NAME} characters, "${path.slice(0, 40)}…"`);
    }
    this.#source.spend(64 + 2 * path.length, "the names of its tensors");
  }

  #member(parent: string, name: string, depth: number): void {
    const path = parent === "" ? name : `${parent}/${name}`;
    this.#count(path);
    const library = this.#library;
    const type = this.#typeOf(path);
    if (type === library.H5G_GROUP) this.group(path, depth + 1);
    else if (type === library.H5G_DATASET) this.#dataset(path);
    else if (type === library.H5G_LINK || type === library.H5G_UDLINK) {
      this.#leaveOut(path, "is a link that leads out of the file or nowhere");
    } else if (type !== library.H5G_TYPE) {
      throw this.#source.error(`is a damaged HDF5 file: it has no object "${path}", which it lists`);
    }
  }

  /** The kind of an object, or of the link that leads to it where there is none. */
  #typeOf(path: string): number {
    const library = this.#library;
    if (library.get_symbolic_link(this.#id, path) === null) return library.get_type(this.#id, path);
    try {
      return library.get_type(this.#id, path);
    } catch {
      // A link that leads nowhere is an error to the library, and no damage.
      return library.H5G_LINK;
    }
  }

  #leaveOut(name: string, reason: string): void {
    if (!this.#skip) throw this.#source.error(`tensor "${name}" ${reason}, ${NOT_READ}`);
    this.file.skipped.push({ name, reason });
  }

  #dataset(path: string): void {
    const source = this.#source;
    const meta = this.#library.get_dataset_metadata(this.#id, path);
    const { shape } = meta;
    const dtype = this.#dtypeOf(path, meta);
    if (shape === null || dtype === null || meta.virtual_sources) {
      const what = meta.virtual_sources ? "a virtual dataset, made of other files" : kindOf(meta);
      this.#leaveOut(path, `is ${what}`);
      return;
    }
    const count = countOf(shape);
    if (count === null || !shape.every((d) => Number.isSafeInteger(d) && d >= 0)) {
      throw source.error(`tensor "${path}" has an impossible shape [${shape}]`);
    }
    const bytes = this.#bytes(path, count * bytesOf(dtype), (address) =>
      this.#library.get_dataset_data(this.#id, path, null, null, null, address),
    );
    this.file.tensors.set(path, entryOf(source, path, dtype, shape, bytes));
  }

  #dtypeOf(path: string, meta: Hdf5Metadata): WeightDType | null {
    if (meta.type !== HDF5_CLASS.opaque) return plainDType(meta);
    // Keras 3 writes bfloat16 as two opaque bytes, and says so beside them.
    if (meta.size !== 2) return null;
    const says = this.#library.get_attribute_names(this.#id, path).includes("dtype");
    return says && this.#text(path, "dtype") === "bfloat16" ? "bf16" : null;
  }

  #text(path: string, name: string): Plain {
    const meta = this.#library.get_attribute_metadata(this.#id, path, name);
    return meta.type === HDF5_CLASS.string ? this.#strings(path, name, meta) : null;
  }

  /** `length` bytes that `read` writes at an address of the library's memory; checked, paid for, copied out. */
  #bytes(path: string, length: number, read: (address: bigint) => number): Uint8Array {
    const library = this.#library;
    const what = `"${path}"`;
    this.#source.spend(2 * length, what);
    if (length === 0) return new Uint8Array(0);
    const address = library._malloc(length);
    if (address === 0)
      throw this.#source.error(`${what} takes ${length} bytes, more than the file justifies`);
    try {
      // What a reader leaves out must not be what lay there before.
      library.HEAPU8.fill(0, address, address + length);
      if (read(BigInt(address)) < 0) throw this.#source.error(`${what} cannot be read: damaged or cut short`);
      return library.HEAPU8.slice(address, address + length);
    } finally {
      library._free(address);
    }
  }

  #attribute(path: string, at: string, name: string): void {
    const key = path === "" ? name : `${path}/${name}`;
    this.#count(key);
    const meta = this.#library.get_attribute_metadata(this.#id, at, name);
    if (meta.shape === null) return;
    if (meta.type === HDF5_CLASS.string) {
      this.file.extras.set(key, this.#strings(at, name, meta));
      return;
    }
    const dtype = plainDType(meta);
    if (dtype === null || dtype === "f16") return;
    const length = this.#length(key, meta);
    const bytes = this.#bytes(key, length, (address) =>
      this.#library.get_attribute_data(this.#id, at, name, address),
    );
    const { data } = entryOf(this.#source, key, dtype, [meta.total_size], bytes);
    const numbers = Array.from(data as ArrayLike<number | bigint>, (v) => (dtype === "bool" ? v === 1 : v));
    this.file.extras.set(key, meta.shape.length === 0 ? (numbers[0] ?? null) : numbers);
  }

  #length(name: string, meta: Hdf5Metadata): number {
    const length = meta.size * meta.total_size;
    if (Number.isSafeInteger(length) && length >= 0) return length;
    throw this.#source.error(`its attribute "${name}" has an impossible size`);
  }

  /** The text or list of texts that an attribute holds. */
  #strings(at: string, name: string, meta: Hdf5Metadata): Plain {
    const { size, vlen } = meta;
    const bytes = this.#bytes(`${at}/${name}`, this.#length(name, meta), (address) =>
      this.#library.get_attribute_data(this.#id, at, name, address),
    );
    const texts: string[] = [];
    for (let i = 0; i + size <= bytes.length; i += size) {
      // A text of any length is an address of the library's memory.
      const text = vlen
        ? this.#textAt(new DataView(bytes.buffer).getUint32(i, true))
        : fixedText(bytes, i, size);
      this.#source.spend(16 + 2 * text.length, "the texts of its attributes");
      texts.push(text);
    }
    return meta.shape?.length === 0 ? (texts[0] ?? "") : texts;
  }

  #textAt(address: number): string {
    return address === 0 ? "" : this.#library.UTF8ToString(address);
  }
}

function fixedText(bytes: Uint8Array, at: number, size: number): string {
  const part = bytes.subarray(at, at + size);
  const end = part.indexOf(0);
  return new TextDecoder().decode(end < 0 ? part : part.subarray(0, end));
}

/** The dtype of integers, floats and h5py's booleans, which are an enumeration of FALSE and TRUE; null for others. */
function plainDType(meta: Hdf5Metadata): WeightDType | null {
  const { type, size, signed } = meta;
  if (type === HDF5_CLASS.float) return FLOATS[size] ?? null;
  if (type === HDF5_CLASS.integer) return (signed ? SIGNED : UNSIGNED)[size] ?? null;
  const members = meta.enum_type?.members;
  const isBool = type === HDF5_CLASS.enum && size === 1 && members?.["FALSE"] === 0 && members["TRUE"] === 1;
  return isBool ? "bool" : null;
}

const FLOATS: Readonly<Record<number, WeightDType>> = { 2: "f16", 4: "f32", 8: "f64" };
const SIGNED: Readonly<Record<number, WeightDType>> = { 1: "i8", 2: "i16", 4: "i32", 8: "i64" };
const UNSIGNED: Readonly<Record<number, WeightDType>> = { 1: "u8", 2: "u16", 4: "u32", 8: "u64" };

function kindOf(meta: Hdf5Metadata): string {
  if (meta.shape === null) return "empty (a null dataspace)";
  if (meta.type === HDF5_CLASS.string) return "text";
  if (meta.type === HDF5_CLASS.compound) return "compound (complex numbers?)";
  const name =
    Object.entries(HDF5_CLASS).find(([, type]) => type === meta.type)?.[0] ?? `of class ${meta.type}`;
  return `${name} of ${meta.size} bytes`;
}
