// The float64 interpreter as a backend: `init({ device: "cpu" })`. Slow and right: the oracle of the GPU backend, and
// a trainer where there is no GPU. State is kept in float64.

import type { HostArray } from "../core/dtype.ts";
import { numel } from "../core/shape.ts";
import { type NDArray, ndarray, toHost } from "../graph/array.ts";
import { type Evaluated, evaluateNode, valueIn } from "../graph/interpret.ts";
import {
  checkResult,
  checkStorage,
  type DeviceLocation,
  type Holder,
  hostCopy,
  type Result,
  type Source,
  type StateSlice,
  type Storage,
} from "../graph/leaf.ts";
import { type Node, reachable } from "../graph/node.ts";
import type { Backend, Cut, Run } from "./backend.ts";

interface F64Location extends DeviceLocation {
  readonly array: NDArray;
}

/** Versions of a storage are read when they are current: before the first effect, then after each. */
function readersByVersion(nodes: readonly Node[], cut: Cut): Map<string, Node[]> {
  const out = new Map<string, Node[]>();
  for (const node of nodes) {
    if (node.source?.kind !== "state") continue;
    const { slice, version } = node.source;
    const changed = version > (cut.base.get(slice.storage) as number);
    const key = changed ? `${slice.storage.id}.${version}` : "before";
    out.set(key, [...(out.get(key) ?? []), node]);
  }
  return out;
}

export class CpuBackend implements Backend, Holder {
  closed = false;
  readonly name = "float64 interpreter";
  readonly adapter = { vendor: "thaw", architecture: "", device: "", description: this.name, software: true };
  readonly choices = new Map();
  readonly bindingLimit = 2 ** 31;
  readonly #states = new Map<Storage, Float64Array>();

  async run(cut: Cut, run: Run): Promise<void> {
    const { nodes } = cut;
    const known: Evaluated = new Map();
    const readers = readersByVersion(nodes, cut);
    for (const node of readers.get("before") ?? []) known.set(node, [this.#leaf(node, run)]);
    for (const node of nodes) {
      if (node.source && node.source.kind !== "state") known.set(node, [this.#leaf(node, run)]);
    }
    for (const effect of cut.effects) {
      this.#evaluate(reachable([effect.value]), known);
      this.#state(effect.slice.storage).set(valueIn(known, effect.value).data, effect.slice.offset);
      const key = `${effect.slice.storage.id}.${effect.version}`;
      for (const node of readers.get(key) ?? []) known.set(node, [this.#leaf(node, run)]);
    }
    this.#evaluate(nodes, known);
    cut.roots.forEach((v, i) => {
      const array = valueIn(known, v);
      run.results[i].location = { kind: "device", holder: this, array, host: null } as F64Location;
    });
  }

  #evaluate(nodes: readonly Node[], known: Evaluated): void {
    for (const node of nodes) {
      if (!known.has(node))
        known.set(
          node,
          evaluateNode(
            node,
            node.inputs.map((v) => valueIn(known, v)),
          ),
        );
    }
  }

  #leaf(node: Node, run: Run): NDArray {
    const own = node.source as Source;
    const source = run.sources.get(own) ?? own;
    if (source.kind === "state") return this.#slice(source.slice);
    if (source.kind === "scalars") return ndarray(source.shape, run.scalars.get(source), source.dtype);
    return this.exact(source);
  }

  #state(storage: Storage): Float64Array {
    let data = this.#states.get(storage);
    if (!data) {
      checkStorage(storage, this);
      storage.holder = this;
      data = storage.initial ? Float64Array.from(storage.initial) : new Float64Array(storage.size);
      storage.initial = null;
      this.#states.set(storage, data);
    }
    return data;
  }

  #slice(slice: StateSlice): NDArray {
    const data = this.#state(slice.storage).slice(slice.offset, slice.offset + numel(slice.shape));
    return { shape: slice.shape, dtype: slice.dtype, data };
  }

  /** A result in float64. */
  exact(result: Result): NDArray {
    const { location } = result;
    if (location?.kind === "device" && location.holder === this) return (location as F64Location).array;
    const data = hostCopy(result);
    if (data) return ndarray(result.shape, data as ArrayLike<number>, result.dtype);
    checkResult(result, this);
    throw result.failure ?? new Error("this value was never computed");
  }

  /** A slice in float64. */
  exactState(slice: StateSlice): NDArray {
    return this.#slice(slice);
  }

  async read(result: Result): Promise<HostArray> {
    const data = toHost(this.exact(result));
    if (result.location?.kind === "device") result.location.host = data;
    return data.slice();
  }

  async readState(slice: StateSlice): Promise<HostArray> {
    return toHost(this.#slice(slice));
  }

  async writeState(slice: StateSlice, data: HostArray): Promise<void> {
    this.#state(slice.storage).set(data, slice.offset);
  }

  free(storages: readonly Storage[]): void {
    for (const s of storages) this.#states.delete(s);
  }

  async throttle(): Promise<void> {}

  async forget(): Promise<void> {}

  async close(): Promise<void> {
    this.closed = true;
    this.#states.clear();
  }
}
