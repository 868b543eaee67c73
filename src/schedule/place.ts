// Where values live. A value is a view (offset, stride of its rows) of a root: a slot shared by liveness, a storage, a
// leaf, or memory of its own. Here is decided what need not move: views of inputs, parts of a concat written in place by
// their producers (rewrite "channelSliceConcat"), results computed in the state they are assigned to.
//
// WebGPU forbids one dispatch to bind ranges of one buffer for reading and for writing, disjoint or not; so a producer
// that reads its own concat's buffer is never placed there.

import type { DType } from "../core/dtype.ts";
import { numel } from "../core/shape.ts";
import type { Assign, Result, Scalars, Storage } from "../graph/leaf.ts";
import type { Node, Value } from "../graph/node.ts";
import type { Operand, View } from "../graph/op.ts";
import { type Places, placeConcats } from "./place_concat.ts";
import { StateTimes } from "./state_times.ts";
import type { WorkGraph } from "./work_graph.ts";

export type RootKind = "slot" | "hoisted" | "output" | "state" | "leaf";

export interface Root {
  readonly kind: RootKind;
  readonly label: string;
  readonly dtype: DType;
  readonly elements: number;
  readonly storage: Storage | null;
  readonly source: Result | Scalars | null;
}

export interface Loc extends View {
  readonly root: Root;
}

/** An in-place output: the buffer of input `input`, copied there first unless it is the same memory. */
export interface InPlace {
  readonly output: number;
  readonly input: number;
  readonly copyFirst: boolean;
}

export interface Placement {
  readonly locs: ReadonlyMap<Value, Loc>;
  /** Nodes that run nothing: their outputs are views. */
  readonly views: ReadonlySet<Node>;
  /** Effects whose value is computed in the state itself. */
  readonly direct: ReadonlySet<Assign>;
  readonly inPlace: ReadonlyMap<Node, readonly InPlace[]>;
  readonly stateRoots: ReadonlyMap<Storage, Root>;
}

export interface PlaceOptions {
  readonly placeConcats: boolean;
  /** Nodes computed apart from the run (hoist.ts). */
  readonly frozen: ReadonlySet<Node>;
}

const rowSize = (shape: readonly number[]) => (shape.length === 0 ? 1 : numel(shape.slice(1)));
const dense = (shape: readonly number[], offset = 0): View => ({ offset, batchStride: rowSize(shape) });

export const isDenseView = (v: Value, view: View): boolean =>
  v.shape.length === 0 || v.shape[0] <= 1 || view.batchStride === rowSize(v.shape);

export function place(g: WorkGraph, options: PlaceOptions): Placement {
  return new Placer(g, options).run();
}

class Placer {
  readonly #g: WorkGraph;
  readonly #options: PlaceOptions;
  readonly #locs = new Map<Value, Loc>();
  readonly #within = new Map<Root, Value[]>();
  readonly #views = new Set<Node>();
  readonly #direct = new Set<Assign>();
  readonly #directOf = new Map<Value, Assign>();
  readonly #inPlace = new Map<Node, InPlace[]>();
  readonly #stateRoots = new Map<Storage, Root>();
  readonly #lastUse = new Map<Value, number>();
  readonly #roots: ReadonlySet<Value>;
  #places: Places = new Map();

  constructor(g: WorkGraph, options: PlaceOptions) {
    this.#g = g;
    this.#options = options;
    this.#roots = new Set(g.roots);
  }

  run(): Placement {
    for (const e of this.#g.effects) this.#stateRoot(e.slice.storage);
    this.#findDirect();
    const assigned = new Set(this.#g.effects.map((e) => e.value));
    if (this.#options.placeConcats) this.#places = placeConcats(this.#g, this.#options.frozen, assigned);
    this.#g.nodes.forEach((node, i) => {
      for (const v of node.inputs) this.#lastUse.set(v, i);
    });
    for (const v of [...this.#g.roots, ...assigned]) this.#lastUse.set(v, Number.POSITIVE_INFINITY);
    this.#g.nodes.forEach((node, i) => {
      this.#visit(node, i);
    });
    return {
      locs: this.#locs,
      views: this.#views,
      direct: this.#direct,
      inPlace: this.#inPlace,
      stateRoots: this.#stateRoots,
    };
  }

  #put(v: Value, loc: Loc): void {
    this.#locs.set(v, loc);
    const list = this.#within.get(loc.root);
    if (list) list.push(v);
    else this.#within.set(loc.root, [v]);
  }

  /** Effects whose value may be computed where it is assigned. */
  #findDirect(): void {
    const times = new StateTimes(this.#g);
    for (const e of this.#g.effects) {
      // What is computed apart from the run is not computed at every run: its effect is a copy.
      const apart = this.#options.frozen.has(e.value.node);
      if (apart || this.#directOf.has(e.value) || this.#readsFresh(e) || !times.mayWriteAtOnce(e)) continue;
      this.#direct.add(e);
      this.#directOf.set(e.value, e);
    }
  }

  /** Whether the value is computed from another that is written into the same storage: one dispatch cannot do both. */
  #readsFresh({ value, slice }: Assign): boolean {
    const fresh = (v: Value): boolean =>
      this.#directOf.get(v)?.slice.storage === slice.storage ||
      (v.node.op?.view !== undefined && v.node.inputs.length > 0 && fresh(v.node.inputs[0]));
    return value.node.inputs.some(fresh);
  }

  #stateRoot(storage: Storage): Root {
    let root = this.#stateRoots.get(storage);
    if (!root) {
      root = {
        kind: "state",
        label: storage.label,
        dtype: storage.dtype,
        elements: storage.size,
        storage,
        source: null,
      };
      this.#stateRoots.set(storage, root);
    }
    return root;
  }

  #visit(node: Node, index: number): void {
    if (node.source) {
      this.#leaf(node);
      return;
    }
    const op = node.op as NonNullable<Node["op"]>;
    const pairs = op.kernels[0].inPlace ?? [];
    node.outputs.forEach((v, o) => {
      if (this.#locs.has(v)) return;
      const view = this.#viewOf(node, v);
      if (view) {
        this.#views.add(node);
        this.#put(v, view);
        return;
      }
      const pair = pairs.find(([out, input]) => out === o && input < node.inputs.length);
      this.#put(v, pair ? this.#inPlaceLoc(node, v, pair[1], o, index) : this.#ownLoc(v));
    });
  }

  #leaf(node: Node): void {
    const [v] = node.outputs;
    const { source } = node;
    if (source?.kind === "state") {
      this.#put(v, {
        root: this.#stateRoot(source.slice.storage),
        ...dense(v.shape, source.slice.offset),
      });
    } else if (source) {
      const root: Root = {
        kind: "leaf",
        label: source.kind === "scalars" ? source.label : "input",
        dtype: v.dtype,
        elements: numel(v.shape),
        storage: null,
        source,
      };
      this.#put(v, { root, ...dense(v.shape) });
    }
  }

  /** The output as a view of an input's memory, or of a concat that holds all inputs side by side. */
  #viewOf(node: Node, v: Value): Loc | null {
    const op = node.op as NonNullable<Node["op"]>;
    if (this.#directOf.has(v)) return null;
    if (op.view) {
      const x = node.inputs[0];
      const at = this.#locs.get(x) as Loc;
      const view = op.view(
        { shape: x.shape, dtype: x.dtype, offset: at.offset, batchStride: at.batchStride },
        v,
        node.attrs,
      );
      return view && { root: at.root, ...view };
    }
    if (!op.places || this.#places.has(v) || node.inputs.length === 0) return null;
    return this.#prefixView(node, v);
  }

  /** A concat whose inputs already lie side by side in another's buffer (its prefix) is a view of that buffer. */
  #prefixView(node: Node, v: Value): Loc | null {
    if (!node.inputs.every((x) => this.#places.has(x))) return null;
    const first = this.#locs.get(node.inputs[0]) as Loc;
    const operand: Operand = {
      shape: v.shape,
      dtype: v.dtype,
      offset: first.offset,
      batchStride: first.batchStride,
    };
    const wanted = node.op?.places?.(node.inputs, operand, node.attrs);
    const fits = wanted?.every((w, k) => {
      const at = this.#locs.get(node.inputs[k]) as Loc;
      return at.root === first.root && at.offset === w.offset && at.batchStride === w.batchStride;
    });
    return fits ? first : null;
  }

  /** Memory of an output that is not a view: its place in a concat, the state it is assigned to, or a root of its own. */
  #ownLoc(v: Value): Loc {
    const known = this.#locs.get(v);
    if (known) return known;
    const loc = this.#placedLoc(v) ?? this.#directLoc(v) ?? { root: this.#newRoot(v), ...dense(v.shape) };
    this.#put(v, loc);
    return loc;
  }

  #placedLoc(v: Value): Loc | null {
    const at = this.#places.get(v);
    if (!at) return null;
    const parent = this.#ownLoc(at.parent);
    const { node } = at.parent;
    const operand: Operand = {
      shape: at.parent.shape,
      dtype: v.dtype,
      offset: parent.offset,
      batchStride: parent.batchStride,
    };
    const places = node.op?.places?.(node.inputs, operand, node.attrs);
    return { root: parent.root, ...(places as readonly View[])[at.index] };
  }

  #directLoc(v: Value): Loc | null {
    const e = this.#directOf.get(v);
    return e ? { root: this.#stateRoot(e.slice.storage), ...dense(v.shape, e.slice.offset) } : null;
  }

  /** Hoisted results keep memory of their own, as do results that outlive the plan; the rest shares slots. */
  #newRoot(v: Value): Root {
    const kind: RootKind = this.#options.frozen.has(v.node)
      ? "hoisted"
      : this.#roots.has(v)
        ? "output"
        : "slot";
    return {
      kind,
      label: v.node.op?.name ?? "leaf",
      dtype: v.dtype,
      elements: numel(v.shape),
      storage: null,
      source: null,
    };
  }

  /** An in-place output: state where it was assigned, the input's own slot when it dies here, else a copy of it. */
  #inPlaceLoc(node: Node, v: Value, input: number, output: number, index: number): Loc {
    const x = node.inputs[input];
    const from = this.#locs.get(x) as Loc;
    const target = this.#directLoc(v);
    const list = this.#inPlace.get(node) ?? [];
    this.#inPlace.set(node, list);
    if (target) {
      list.push({ output, input, copyFirst: !(from.root === target.root && from.offset === target.offset) });
      return target;
    }
    const exclusive = from.root.kind === "slot" && this.#lastUse.get(x) === index && !this.#shared(x, index);
    if (exclusive && !this.#options.frozen.has(node)) {
      list.push({ output, input, copyFirst: false });
      return from;
    }
    list.push({ output, input, copyFirst: true });
    return this.#ownLoc(v);
  }

  /** Whether the memory of x also holds a value that is read after node `index`. */
  #shared(x: Value, index: number): boolean {
    const at = this.#locs.get(x) as Loc;
    for (const v of this.#within.get(at.root) ?? []) {
      if (v === x || (this.#lastUse.get(v) ?? -1) <= index) continue;
      if (overlap(x, at, v, this.#locs.get(v) as Loc)) return true;
    }
    return false;
  }
}

/** Whether two values of one root may share an element: not if one ends before the other begins, as a whole or row by row. */
function overlap(a: Value, at: Loc, b: Value, bt: Loc): boolean {
  const end = (v: Value, l: Loc) => l.offset + ((v.shape[0] ?? 1) - 1) * l.batchStride + rowSize(v.shape);
  if (end(a, at) <= bt.offset || end(b, bt) <= at.offset) return false;
  const stride = at.batchStride;
  if (stride !== bt.batchStride) return true;
  const [from, to] = [at.offset % stride, bt.offset % stride];
  const [rowA, rowB] = [from + rowSize(a.shape), to + rowSize(b.shape)];
  return rowA > stride || rowB > stride || (rowA > to && rowB > from);
}
