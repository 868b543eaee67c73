// When state is read and written. An effect stands at its place in the program; its value may be computed in the state
// itself, at the place of the node that makes it, only if nothing in between still reads or changes what was there.

import { numel } from "../core/shape.ts";
import type { Assign, StateRead, Storage } from "../graph/leaf.ts";
import type { Node, Value } from "../graph/node.ts";
import type { WorkGraph } from "./work_graph.ts";

interface Reader {
  readonly node: Node;
  readonly index: number;
  readonly read: StateRead;
}

const overlap = (
  a: { offset: number; shape: readonly number[] },
  b: { offset: number; shape: readonly number[] },
) => a.offset < b.offset + numel(b.shape) && b.offset < a.offset + numel(a.shape);

/** How many nodes come before each effect, in the graph's order. */
export function effectIndex(g: WorkGraph, e: Assign): number {
  const order = (n: Node) => g.position.get(n) ?? n.id;
  let low = 0;
  let high = g.nodes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order(g.nodes[middle]) < e.at) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class StateTimes {
  readonly #g: WorkGraph;
  readonly #index = new Map<Node, number>();
  readonly #readers = new Map<Storage, Reader[]>();
  readonly #uses = new Map<Value, number>();
  readonly #effects = new Map<Storage, Assign[]>();

  constructor(g: WorkGraph) {
    this.#g = g;
    for (const [i, n] of g.nodes.entries()) this.#index.set(n, i);
    for (const e of g.effects)
      this.#effects.set(e.slice.storage, [...(this.#effects.get(e.slice.storage) ?? []), e]);
    const behind = this.#reads();
    g.nodes.forEach((node, index) => {
      for (const v of node.inputs) {
        this.#uses.set(v, index);
        for (const read of behind.get(v) ?? []) this.#note(read.slice.storage, { node, index, read });
      }
    });
    for (const v of g.roots) this.#uses.set(v, Number.POSITIVE_INFINITY);
  }

  /** The state that each value may be a view of: leaves, and what view ops make of them. */
  #reads(): Map<Value, StateRead[]> {
    const behind = new Map<Value, StateRead[]>();
    for (const node of this.#g.nodes) {
      if (node.source?.kind === "state") behind.set(node.outputs[0], [node.source]);
      else if (node.op?.view) behind.set(node.outputs[0], behind.get(node.inputs[0]) ?? []);
    }
    return behind;
  }

  #note(storage: Storage, reader: Reader): void {
    const list = this.#readers.get(storage);
    if (list) list.push(reader);
    else this.#readers.set(storage, [reader]);
  }

  /** Whether the effect's value may be written where it is assigned, as soon as it is computed. */
  mayWriteAtOnce(e: Assign): boolean {
    const { node } = e.value;
    // A view or a concat is not written by one dispatch, a leaf by none.
    if (!node.op || node.op.view || node.op.places) return false;
    const made = this.#index.get(node) as number;
    const { storage } = e.slice;
    const until = effectIndex(this.#g, e);
    for (const r of this.#readers.get(storage) ?? []) {
      if (r.index === made) {
        if (!this.#readsInPlace(e, r)) return false;
      } else if (
        r.index > made &&
        r.index < until &&
        r.read.version < e.version &&
        overlap(r.read.slice, e.slice)
      )
        return false;
    }
    return this.#othersAllow(e, made, until);
  }

  /** The producer itself may only touch the storage through the operand that it updates in place. */
  #readsInPlace(e: Assign, r: Reader): boolean {
    const output = e.value.index;
    const pair = r.node.op?.kernels[0].inPlace?.find(([o]) => o === output);
    const own = pair && r.node.inputs[pair[1]];
    const sameSlice =
      r.read.slice.offset === e.slice.offset && numel(r.read.slice.shape) === numel(e.slice.shape);
    if (own?.node.source === r.read && sameSlice && r.read.version === e.version - 1) return true;
    // Another output's operand (both running statistics in one storage) is bound for writing as well: disjoint is fine.
    const others = r.node.op?.kernels[0].inPlace ?? [];
    return others.some(([, i]) => r.node.inputs[i].node.source === r.read) && !overlap(r.read.slice, e.slice);
  }

  /** No other effect on the same elements between production and assignment, and no late reader of an overwritten value. */
  #othersAllow(e: Assign, made: number, until: number): boolean {
    for (const other of this.#effects.get(e.slice.storage) ?? []) {
      if (other === e || !overlap(other.slice, e.slice)) continue;
      const at = effectIndex(this.#g, other);
      if (other.version < e.version && at > made && at <= until) return false;
      if (other.version > e.version) {
        const written = Math.min(at, this.#index.get(other.value.node) as number);
        if ((this.#uses.get(e.value) ?? -1) >= written) return false;
      }
    }
    return true;
  }
}
