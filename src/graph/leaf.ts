// Where leaves get their data: persistent state, results of earlier flushes (or host data), per-step scalars.
// Backends keep what they need per source in their own maps; nothing here names a device.

import type { DType, HostArray } from "../core/dtype.ts";
import { DeviceError } from "../core/error.ts";
import { numel, type Shape, show, type TypeOf } from "../core/shape.ts";
import { leaf, type Value } from "./node.ts";

export type Source = StateRead | Result | Scalars;

let nextId = 1;

/** The backend in whose memory something lies. What a closed one held is gone. */
export interface Holder {
  readonly closed: boolean;
}

/** Whether what `holder` has cannot be had: by `user`, or at all. */
const gone = (holder: Holder | null, user: Holder | null) =>
  holder !== null && holder !== user && (user !== null || holder.closed);

/**
 * Persistent device memory with a version: parameters, running statistics, gradients, optimizer moments.
 * Several tensors may lie in one storage (flat state), each in its own slice.
 */
export class Storage {
  readonly kind = "storage";
  readonly id = nextId++;
  readonly label: string;
  readonly dtype: DType;
  /** Elements. */
  readonly size: number;
  /** Counts the changes recorded on it; a read names the version that it sees. */
  version = 0;
  /** Initial contents, until a backend has taken them; null means zeros. */
  initial: HostArray | null;
  /** Whether a flush uses it or an assignment is recorded: from then on its contents are the device's matter. */
  touched = false;
  /** Whether a read of it was recorded: contents may not be replaced under that. */
  seen = false;
  /** The backend that has taken it; null until then. */
  holder: Holder | null = null;

  constructor(label: string, dtype: DType, size: number, initial: HostArray | null = null) {
    this.label = label;
    this.dtype = dtype;
    this.size = size;
    this.initial = initial;
  }

  /** Stretches without overlap, by where they begin: where they end, and the version that changed them last. */
  readonly #changes = new Map<number, { readonly to: number; readonly version: number }>();

  /** Counts a change of a slice; returns the version that it makes. */
  change({ offset, shape }: StateSlice): number {
    const to = offset + numel(shape);
    if (this.#changes.get(offset)?.to !== to) this.#clear(offset, to);
    this.#changes.set(offset, { to, version: ++this.version });
    return this.version;
  }

  /** Whether any of a slice has been changed since that version. */
  changedAfter({ offset, shape }: StateSlice, version: number): boolean {
    if (this.version <= version) return false;
    const end = offset + numel(shape);
    for (const [from, c] of this.#changes)
      if (c.version > version && from < end && offset < c.to) return true;
    return false;
  }

  /** Forgets the changes after a version: they were recorded and will not happen. */
  revert(version: number): void {
    this.version = version;
    // What the stretches were before is not kept; to call them changed at that version errs on the safe side.
    for (const [from, c] of this.#changes)
      if (c.version > version) this.#changes.set(from, { to: c.to, version });
  }

  #clear(from: number, to: number): void {
    for (const [start, c] of [...this.#changes]) {
      if (c.to <= from || start >= to) continue;
      this.#changes.delete(start);
      if (start < from) this.#changes.set(start, { to: from, version: c.version });
      if (c.to > to) this.#changes.set(to, c);
    }
  }
}

/** Throws when the storage's contents were on another device than `user`, or on one that has been closed. */
export function checkStorage(storage: Storage, user: Holder | null = null): void {
  if (gone(storage.holder, user))
    throw new DeviceError(
      `${storage.label} lives on a device that was closed by init() or close(); build or load the model again`,
    );
}

/** A slice of a storage with a shape: what a parameter or buffer is. */
export interface StateSlice extends TypeOf {
  readonly storage: Storage;
  /** Elements from the start of the storage. */
  readonly offset: number;
}

/** One read of a slice at one version. */
export class StateRead {
  readonly kind = "state";
  readonly slice: StateSlice;
  readonly version: number;

  constructor(slice: StateSlice, version: number) {
    this.slice = slice;
    this.version = version;
  }
}

/** The value of a slice as of now. */
export function readState(slice: StateSlice): Value {
  slice.storage.seen = true;
  const version = slice.storage.version;
  const key = `s${slice.storage.id}.${version}@${slice.offset}[${slice.shape.join(",")}]`;
  return leaf(new StateRead(slice, version), slice, key);
}

let stale = 0;

/** Stands for a slice at a version that is gone: a value of its own, which no flush could compute. */
export function staleState({ slice, version }: { slice: StateSlice; version: number }): Value {
  return leaf(new StateRead(slice, version), slice, `x${stale++}`);
}

/** An assignment to a slice in program order: an effect of the trace. */
export interface Assign {
  readonly slice: StateSlice;
  readonly value: Value;
  /** The storage's version after it. */
  readonly version: number;
  /** Where it stands in program order: nodes with a smaller id came before it. */
  readonly at: number;
}

/** Who may ask for a result. */
export interface Reader {
  readonly needed: boolean;
}

/**
 * A value that has been, or is about to be, computed by a flush, or that came from the host. Backends fill
 * `location`; `failure` is set when the flush that should have made it failed.
 */
export class Result implements TypeOf {
  readonly kind = "result";
  readonly id = nextId++;
  readonly shape: Shape;
  readonly dtype: DType;
  location: Location | null = null;
  failure: Error | null = null;
  /** Work that will read it, whether or not the user still holds it: queued runs and reads, nodes, recorded steps. */
  pins = 0;
  #readers: WeakRef<Reader>[] = [];

  constructor(type: TypeOf) {
    this.shape = type.shape;
    this.dtype = type.dtype;
  }

  /** Remembers one who may ask for it for as long as that one says that it is needed. */
  readBy(reader: Reader): void {
    if (this.#readers.length >= 8) this.#readers = this.#readers.filter((r) => r.deref() !== undefined);
    this.#readers.push(new WeakRef(reader));
  }

  /** Whether anybody may still ask for it: a backend keeps what it computed, or saves it to the host. */
  get needed(): boolean {
    return this.pins > 0 || this.#readers.some((r) => r.deref()?.needed ?? false);
  }
}

/** Host data as a result: where `tensor(data, shape)` starts. */
export interface HostLocation {
  readonly kind: "host";
  readonly data: HostArray;
}

/** Data in a backend's memory; `host` is the copy that a read has made. */
export interface DeviceLocation {
  readonly kind: "device";
  readonly holder: Holder;
  host: HostArray | null;
}

export type Location = HostLocation | DeviceLocation;

export function hostResult(data: HostArray, type: TypeOf): Result {
  if (data.length !== numel(type.shape)) {
    throw new RangeError(`host data has ${data.length} elements for shape [${type.shape.join(",")}]`);
  }
  const result = new Result(type);
  result.location = { kind: "host", data };
  return result;
}

export function isHost(location: Location | null | undefined): location is HostLocation {
  return location?.kind === "host";
}

/** The host's copy of a result, if there is one: it outlives the device. */
export function hostCopy({ location }: Result): HostArray | null {
  return location && (isHost(location) ? location.data : location.host);
}

/** Throws when the result's only data were on another device than `user`, or on one that has been closed. */
export function checkResult(result: Result, user: Holder | null = null): void {
  const { location } = result;
  if (location?.kind === "device" && !location.host && gone(location.holder, user))
    throw new DeviceError(
      `${show(result)} was computed on a device that was closed by init() or close(), and not read before; compute it again`,
    );
}

export function readResult(result: Result): Value {
  return leaf(result, result, `r${result.id}`);
}

/** Numbers that change from run to run of one plan: learning rates, step counts, seeds. */
export class Scalars implements TypeOf {
  readonly kind = "scalars";
  readonly id = nextId++;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly label: string;
  /** Called once per run of the plan, in order; a device rounds to the dtype. */
  readonly next: () => readonly number[];

  constructor(label: string, dtype: DType, length: number, next: () => readonly number[]) {
    this.label = label;
    this.dtype = dtype;
    this.shape = [length];
    this.next = next;
  }
}

export function readScalars(scalars: Scalars): Value {
  return leaf(scalars, scalars, `h${scalars.id}`);
}
