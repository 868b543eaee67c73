// From the value a pickle describes to flat names: levels of dicts, lists, tuples and objects joined by "/", list
// items by index. A pickled nn.Module becomes what its state_dict() would have been ("layer1.0.conv1.weight").

import { isForeign } from "./globals.ts";
import type { Source } from "./source.ts";
import type { Plain } from "./types.ts";
import {
  NumpyArray,
  PyDict,
  PyFloat,
  type PyGlobal,
  PyList,
  PyRecord,
  PySet,
  PyTuple,
  type PyValue,
  StorageRef,
  TensorRef,
  UnreadableTensor,
} from "./values.ts";

/** Tensors and plain values of a checkpoint by flat name, in the file's order. */
export interface Flat {
  readonly tensors: Map<string, TensorRef | UnreadableTensor>;
  readonly extras: Map<string, Plain>;
  /** Classes of objects among them that Thaw does not know (rule 5 in globals.ts). */
  readonly foreign: Set<string>;
}

const MAX_DEPTH = 200;
const MAX_VISITS = 10_000_000;
const MAX_NAME = 4096;
/** Bytes that an entry of a map takes beside its name. */
const ENTRY = 64;

/** Names every tensor and plain value below `root`. Throws DataError where two tensors get one name. */
export function flatten(source: Source, root: PyValue): Flat {
  const walk = new Walk(source);
  walk.visit("", root);
  return walk.flat;
}

class Walk {
  readonly flat: Flat = { tensors: new Map(), extras: new Map(), foreign: new Set() };
  readonly #source: Source;
  /** Containers between the root and here: one that contains itself is entered once. */
  readonly #path = new Set<PyValue>();
  #visits = 0;
  /** The object among whose arguments this is. */
  #caller: PyRecord | null = null;

  constructor(source: Source) {
    this.#source = source;
  }

  #count(n = 1): void {
    // Shared values are visited once per name, so a few bytes can describe any number of visits.
    this.#visits += n;
    if (this.#visits > MAX_VISITS) throw this.#source.error("describes more than 10,000,000 values; refused");
  }

  visit(name: string, value: PyValue): void {
    this.#count();
    if (value instanceof PyFloat) this.#extra(name, value.value);
    else if (value instanceof TensorRef || value instanceof UnreadableTensor) this.#tensor(name, value);
    else if (value instanceof NumpyArray) {
      if (value.tensor) this.#tensor(name, value.tensor);
    } else if (value instanceof StorageRef) this.#tensor(name, whole(value));
    else if (isContainer(value)) this.#enter(name, value);
    else if (isPlain(value)) this.#extra(name, value);
  }

  #tensor(name: string, tensor: TensorRef | UnreadableTensor): void {
    if (this.flat.tensors.has(name)) throw this.#source.error(`holds two tensors called "${name}"`);
    this.#source.spend(ENTRY + 2 * name.length, "the names of its tensors");
    this.flat.tensors.set(name, this.#caller ? asArgument(this.#caller) : tensor);
  }

  #extra(name: string, value: Plain): void {
    this.#source.spend(ENTRY + 2 * name.length, "the names of its values");
    this.flat.extras.set(name, value);
  }

  #enter(name: string, container: Container): void {
    if (this.#path.has(container)) return;
    if (this.#path.size >= MAX_DEPTH)
      throw this.#source.error(`is nested more than ${MAX_DEPTH} levels deep`);
    this.#path.add(container);
    if (container instanceof PyRecord) this.#object(name, container);
    const list = plainList(container);
    if (list) {
      this.#count(list.length);
      this.#extra(name, list);
    } else if (container instanceof PyRecord && moduleParts(container)) this.#module(name, "", container);
    else for (const [key, value] of children(container)) this.visit(this.#join(name, key), value);
    this.#path.delete(container);
  }

  /** An object's class, and the arguments of its making as its first parts. */
  #object(name: string, object: PyRecord): void {
    this.#class(object.type);
    const outer = this.#caller;
    if (object.called) this.#caller ??= object;
    for (const [key, value] of listItems(object.args)) this.visit(this.#join(name, key), value);
    this.#caller = outer;
  }

  #class(type: PyGlobal): void {
    if (!isForeign(type) || this.flat.foreign.has(type.path)) return;
    this.#source.spend(ENTRY + 2 * type.path.length, "the names of its classes");
    this.flat.foreign.add(type.path);
  }

  #join(name: string, key: string): string {
    this.#checkLength(name, key);
    return name === "" ? key : `${name}/${key}`;
  }

  #dotted(prefix: string, key: PyValue): string {
    const last = keyName(key, 0);
    this.#checkLength(prefix, last);
    return prefix + last;
  }

  #checkLength(name: string, key: string): void {
    if (name.length + key.length > MAX_NAME) {
      throw this.#source.error(`holds a name of more than ${MAX_NAME} characters, "${key.slice(0, 40)}…"`);
    }
  }

  /** The tensors of a pickled module under PyTorch's dotted names, below the level called `level`. */
  #module(level: string, prefix: string, module: PyRecord): void {
    const parts = moduleParts(module) as ModuleParts;
    this.#class(module.type);
    this.#packed(level, prefix, module);
    const transient = module.attribute("_non_persistent_buffers_set");
    const hidden = new Set(transient instanceof PySet ? transient.items : []);
    this.#count(hidden.size);
    for (const dict of [parts.parameters, parts.buffers]) {
      for (const [key, value] of dict.entries()) {
        this.#count();
        if (value === null || hidden.has(key)) continue;
        this.visit(this.#join(level, this.#dotted(prefix, key)), value);
      }
    }
    for (const [key, child] of parts.modules.entries()) {
      this.#count();
      if (child === null) continue;
      if (!(child instanceof PyRecord) || !moduleParts(child)) {
        // A module with a state of its own making (quantised convolutions) must not vanish without a word.
        this.visit(this.#join(level, this.#dotted(prefix, key)), child);
        continue;
      }
      if (this.#path.has(child)) continue;
      if (this.#path.size >= MAX_DEPTH)
        throw this.#source.error(`is nested more than ${MAX_DEPTH} modules deep`);
      this.#path.add(child);
      this.#module(level, `${this.#dotted(prefix, key)}.`, child);
      this.#path.delete(child);
    }
  }

  /**
   * Attributes beside the three dicts that hold tensors of the module's state_dict() all the same: a TorchScript
   * object with (what it was packed from, the name of its class), as quantised layers keep their weights.
   */
  #packed(level: string, prefix: string, module: PyRecord): void {
    for (const [key, value] of module.attributes()) {
      this.#count();
      const packed = value instanceof PyRecord && value.type.path === "torch.ScriptObject";
      const state = packed ? value.states[0] : undefined;
      const content = state instanceof PyTuple ? state.items[0] : state;
      if (content !== undefined) this.visit(this.#join(level, this.#dotted(prefix, key)), content);
    }
  }
}

type Container = PyDict | PyList | PyTuple | PySet | PyRecord;

function isContainer(value: PyValue): value is Container {
  return (
    value instanceof PyDict ||
    value instanceof PyList ||
    value instanceof PyTuple ||
    value instanceof PySet ||
    value instanceof PyRecord
  );
}

function isPlain(value: PyValue): value is null | boolean | number | bigint | string {
  return value === null || typeof value !== "object";
}

function isShort(value: PyValue): boolean {
  return (
    (isPlain(value) || value instanceof PyFloat) && !(typeof value === "string" && value.length > MAX_NAME)
  );
}

/** A list of nothing but plain values, such as class names, stays one list. */
function plainList(container: Container): Plain[] | null {
  if (container instanceof PyDict || container instanceof PyRecord) return null;
  if (!container.items.every((item) => isPlain(item) || item instanceof PyFloat)) return null;
  return container.items.map((item) => (item instanceof PyFloat ? item.value : (item as Plain)));
}

/** A storage on its own, seen as a tensor of one dimension. */
function whole(storage: StorageRef): TensorRef | UnreadableTensor {
  if (storage.type.dtype === null) return new UnreadableTensor(`is ${storage.type.label}`);
  return new TensorRef(storage, storage.type, 0, [storage.count], [1]);
}

/** What is said of a tensor that an unknown class was called with. */
function asArgument(caller: PyRecord): UnreadableTensor {
  return new UnreadableTensor(
    `is an argument of a call of ${caller.type.path}, which may make anything of it`,
  );
}

/** A container's parts with their names. An object gives its dict and list items and its state. */
function* children(container: Container): Iterable<[string, PyValue]> {
  if (container instanceof PyDict) yield* dictItems(container);
  else if (!(container instanceof PyRecord)) yield* listItems(container.items);
  else {
    yield* listItems(container.list.items);
    yield* dictItems(container.dict);
    for (const state of container.states) {
      if (state instanceof PyDict) yield* dictItems(state);
      else yield ["state", state];
    }
  }
}

function* listItems(items: readonly PyValue[]): Iterable<[string, PyValue]> {
  for (const [i, value] of items.entries()) yield [String(i), value];
}

function* dictItems(dict: PyDict): Iterable<[string, PyValue]> {
  let i = 0;
  for (const [key, value] of dict.entries()) yield [keyName(key, i++), value];
}

/** A dict key as part of a name: text and numbers as Python prints them, anything else by its place. */
function keyName(key: PyValue, place: number): string {
  if (typeof key === "string") return key;
  if (typeof key === "number" || typeof key === "bigint") return String(key);
  // Python prints a float of 16 digits with ".0", and larger ones as JavaScript prints larger ones.
  if (key instanceof PyFloat) return Math.abs(key.value) < 1e16 ? key.value.toFixed(1) : String(key.value);
  if (typeof key === "boolean") return key ? "True" : "False";
  if (key instanceof Uint8Array && key.length < MAX_NAME) return new TextDecoder().decode(key);
  if (key instanceof PyTuple && key.items.length < 16 && key.items.every(isShort)) {
    return `(${key.items.map((item) => keyName(item, 0)).join(", ")})`;
  }
  return key === null ? "None" : `#${place}`;
}

interface ModuleParts {
  readonly parameters: PyDict;
  readonly buffers: PyDict;
  readonly modules: PyDict;
}

/** The three dicts that make an object an nn.Module, or null. */
function moduleParts(record: PyRecord): ModuleParts | null {
  const parameters = record.attribute("_parameters");
  const buffers = record.attribute("_buffers");
  const modules = record.attribute("_modules");
  const all = parameters instanceof PyDict && buffers instanceof PyDict && modules instanceof PyDict;
  return all ? { parameters, buffers, modules } : null;
}
