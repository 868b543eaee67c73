// Flat state: the parameters of an optimizer's group lie side by side in one storage, their gradients and moments in
// others of the same layout, every slice beginning at a multiple of 256 bytes, storages chunked at the binding limit.
// So an update is one node over a run of neighbours, and gradients are written where the update reads them.

import type { Variable } from "../autograd/variable.ts";
import { numel } from "../core/shape.ts";
import { readState, type StateSlice, Storage } from "../graph/leaf.ts";
import type { Runtime } from "./runtime.ts";

/** Slices begin at multiples of this many 4-byte elements (256 bytes, WebGPU's binding alignment). */
export const SLICE_ALIGN = 64;

const aligned = (n: number) => Math.ceil(n / SLICE_ALIGN) * SLICE_ALIGN;

/** One storage of parameters with its gradients and any number of moments, all of one layout. */
export class Arena {
  readonly values: Storage;
  readonly gradients: Storage;
  readonly #moments = new Map<string, Storage>();

  constructor(label: string, size: number) {
    this.values = new Storage(label, "f32", size, new Float32Array(size));
    this.gradients = new Storage(`${label}.grad`, "f32", size);
  }

  /** The moments made so far. */
  moments(): Iterable<[string, Storage]> {
    return this.#moments;
  }

  /** The storage of the named moment, zeros at first. */
  moment(name: string): Storage {
    let storage = this.#moments.get(name);
    if (!storage) {
      storage = new Storage(`${this.values.label}.${name}`, "f32", this.values.size);
      this.#moments.set(name, storage);
    }
    return storage;
  }
}

/** Neighbouring slices of one storage, as one stretch. */
export interface StateRun {
  readonly storage: Storage;
  readonly offset: number;
  /** Elements, the padding between the slices included. */
  readonly length: number;
}

/** Merges slices that follow each other (up to the alignment's padding, which stays zero) into runs. */
export function runsOf(slices: readonly StateSlice[]): StateRun[] {
  const sorted = [...slices].sort((a, b) => a.storage.id - b.storage.id || a.offset - b.offset);
  const runs: { storage: Storage; offset: number; length: number }[] = [];
  for (const s of sorted) {
    const last = runs[runs.length - 1];
    const end = Math.min(s.offset + aligned(numel(s.shape)), s.storage.size);
    if (last && last.storage === s.storage && s.offset <= last.offset + last.length)
      last.length = Math.max(last.length, end - last.offset);
    else runs.push({ storage: s.storage, offset: s.offset, length: end - s.offset });
  }
  return runs;
}

/** A run of a storage as a flat slice. */
export function flatSlice(storage: Storage, run: StateRun): StateSlice {
  return { storage, offset: run.offset, shape: [run.length], dtype: "f32" };
}

/** Packs sizes into chunks of at most `limit` elements; a larger one gets a chunk of its own. */
function chunks(sizes: readonly number[], limit: number): number[][] {
  const out: number[][] = [];
  let used = Number.POSITIVE_INFINITY;
  sizes.forEach((size, i) => {
    if (used + aligned(size) > limit) {
      out.push([]);
      used = 0;
    }
    out[out.length - 1].push(i);
    used += aligned(size);
  });
  return out;
}

/** Moves leaves into new arenas, contents and gradients included. Returns the arena of each chunk's leaves. */
export function gatherLeaves(rt: Runtime, leaves: readonly Variable[], label: string): Map<Variable, Arena> {
  const out = new Map<Variable, Arena>();
  const limit = Math.floor(rt.bindingLimit / 4);
  const left: Storage[] = [];
  for (const [k, chunk] of chunks(
    leaves.map((v) => numel(v.shape)),
    limit,
  ).entries()) {
    const members = chunk.map((i) => leaves[i]);
    const arena = new Arena(
      `${label}${k}`,
      members.reduce((n, v) => n + aligned(numel(v.shape)), 0),
    );
    let offset = 0;
    for (const v of members) {
      left.push(...moveLeaf(rt, v, arena, offset));
      out.set(v, arena);
      offset += aligned(numel(v.shape));
    }
  }
  rt.flushEffects();
  rt.free(left);
  return out;
}

/** Moves one leaf to its place; returns the storages it leaves behind. */
function moveLeaf(rt: Runtime, v: Variable, arena: Arena, offset: number): Storage[] {
  const old = v.state as StateSlice;
  const slice: StateSlice = { storage: arena.values, offset, shape: v.shape, dtype: "f32" };
  if (old.storage.touched) rt.assign(slice, readState(old));
  else if (old.storage.initial) {
    const part = old.storage.initial.subarray(old.offset, old.offset + numel(v.shape));
    (arena.values.initial as Float32Array).set(part, offset);
  }
  v.moveTo(slice);
  const gradSlice: StateSlice = { storage: arena.gradients, offset, shape: v.shape, dtype: "f32" };
  // A storage that other leaves share stays.
  const left = old.storage.size === numel(v.shape) ? [old.storage] : [];
  if (v.gradSlice && v.grad) {
    rt.assign(gradSlice, readState(v.gradSlice));
    v.grad.moveTo(gradSlice);
  }
  if (v.gradSlice && v.gradSlice.storage.size === numel(v.shape)) left.push(v.gradSlice.storage);
  v.gradSlice = gradSlice;
  return left;
}
