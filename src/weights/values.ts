// What the unpickler builds: inert stand-ins for Python's values. None of them can run anything; a class the file
// names is only its name, an object of it only the data that the file gave for it.

import type { Source } from "./source.ts";
import type { WeightDType } from "./types.ts";

export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PyFloat
  | Uint8Array
  | PyTuple
  | PyList
  | PyDict
  | PySet
  | PyGlobal
  | PyRecord
  | StorageRef
  | TensorRef
  | UnreadableTensor
  | NumpyDType
  | NumpyArray;

/** A float without a fraction, such as 4.0, which a number here could not tell from the integer 4. */
export class PyFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** A float as a value: a plain number where that is no integer. */
export const float = (value: number): number | PyFloat =>
  Number.isInteger(value) ? new PyFloat(value) : value;

export class PyTuple {
  readonly items: readonly PyValue[];

  constructor(items: readonly PyValue[]) {
    this.items = items;
  }
}

/** A list or a deque. */
export class PyList {
  readonly items: PyValue[];

  constructor(items: PyValue[]) {
    this.items = items;
  }
}

/** A set or a frozenset, in the file's order. */
export class PySet {
  readonly items: PyValue[];

  constructor(items: PyValue[]) {
    this.items = items;
  }
}

/** A dict, OrderedDict, defaultdict or Counter, in the file's order. */
export class PyDict {
  // Made on first use: an empty dict is one byte in a pickle and must not cost a Map here.
  #map: Map<PyValue, PyValue> | null = null;

  set(key: PyValue, value: PyValue): void {
    this.#map ??= new Map();
    this.#map.set(key, value);
  }

  get(key: PyValue): PyValue | undefined {
    return this.#map?.get(key);
  }

  entries(): Iterable<[PyValue, PyValue]> {
    return this.#map ?? [];
  }
}

/** A class or function by name only. */
export class PyGlobal {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }

  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** An object of a class Thaw does not know: the arguments and state the file gives, and items if it is a container. */
export class PyRecord {
  readonly type: PyGlobal;
  readonly args: readonly PyValue[];
  /** Whether the class was called with `args`, which may then be anything, or they are the object's own items. */
  readonly called: boolean;
  readonly states: PyValue[] = [];
  readonly list = new PyList([]);
  readonly dict = new PyDict();

  constructor(type: PyGlobal, args: readonly PyValue[], called: boolean) {
    this.type = type;
    this.args = args;
    this.called = called;
  }

  /** The attributes that its states set. */
  *attributes(): Iterable<[PyValue, PyValue]> {
    for (const state of this.states) if (state instanceof PyDict) yield* state.entries();
  }

  /** An attribute that the state sets, or undefined. */
  attribute(name: string): PyValue | undefined {
    for (const state of this.states) {
      const value = state instanceof PyDict ? state.get(name) : undefined;
      if (value !== undefined) return value;
    }
    return undefined;
  }
}

/** What the elements of a storage are; `dtype` is null for those Thaw does not read, and `label` says what they are. */
export interface ElementType {
  readonly dtype: WeightDType | null;
  readonly bytes: number;
  readonly label: string;
}

/** `count` elements somewhere in the file; `load` gives exactly count · type.bytes bytes, or throws DataError. */
export class StorageRef {
  readonly type: ElementType;
  readonly count: number;
  readonly load: () => Uint8Array;

  constructor(type: ElementType, count: number, load: () => Uint8Array) {
    this.type = type;
    this.count = count;
    this.load = load;
  }
}

/** A tensor as a window on a storage: `offset` and `strides` count elements of `type`. */
export class TensorRef {
  readonly storage: StorageRef;
  readonly type: ElementType;
  readonly offset: number;
  readonly shape: number[];
  readonly strides: readonly number[];

  constructor(
    storage: StorageRef,
    type: ElementType,
    offset: number,
    shape: number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.type = type;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** A tensor of a kind that Thaw does not read; `reason` completes "tensor x …". */
export class UnreadableTensor {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

/** A NumPy element type such as "f4"; its byte order comes later, by BUILD. */
export class NumpyDType {
  readonly code: string;
  bigEndian = false;

  constructor(code: string) {
    this.code = code;
  }
}

/** A NumPy array; empty until BUILD gives its content, and null for ever when that is no plain numbers. */
export class NumpyArray {
  tensor: TensorRef | UnreadableTensor | null = null;
}

/** Bounds on the work a pickle may ask for, counted over all pickles of one file. */
export class Limits {
  #steps = 10_000_000;
  #containers = 2_000_000;
  readonly #source: Source;

  constructor(source: Source) {
    this.#source = source;
  }

  /** `n` opcodes executed, or items copied. */
  step(n = 1): void {
    this.#steps -= n;
    if (this.#steps < 0) throw this.#source.error("its pickle runs to more than 10,000,000 steps; refused");
  }

  /** One more tuple, list, dict, set or object. */
  container(): void {
    if (--this.#containers < 0) {
      throw this.#source.error("its pickle makes more than 2,000,000 containers; refused");
    }
  }
}

/** Values that are objects here, as messages call them; not by the names of classes, which a bundler shortens. */
const KINDS = [
  [PyFloat, "a float"],
  [Uint8Array, "bytes"],
  [PyTuple, "a tuple"],
  [PyList, "a list"],
  [PyDict, "a dict"],
  [PySet, "a set"],
  [StorageRef, "a storage"],
  [TensorRef, "a tensor"],
  [UnreadableTensor, "a tensor"],
  [NumpyDType, "a NumPy dtype"],
  [NumpyArray, "a NumPy array"],
] as const;

/** What a Python value is called in messages. */
export function describe(value: PyValue | undefined): string {
  if (value === undefined) return "nothing";
  if (value === null) return "None";
  if (value instanceof PyGlobal) return value.path;
  if (value instanceof PyRecord) return `an object of ${value.type.path}`;
  return KINDS.find(([kind]) => value instanceof kind)?.[1] ?? `a ${typeof value}`;
}
