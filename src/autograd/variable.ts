// A Variable is a value with what autograd must know of it: whether it wants a gradient, and which operation made it
// from which variables. Nodes of the graph know nothing of this, so the same node may be tracked by one variable and
// not by another (`detach`, `noGrad`).

import type { DType } from "../core/dtype.ts";
import { ThawError } from "../core/error.ts";
import { type Shape, show, type TypeOf } from "../core/shape.ts";
import {
  checkResult,
  checkStorage,
  type Result,
  readResult,
  readState,
  type StateSlice,
  type Storage,
} from "../graph/leaf.ts";
import type { Attrs, Value } from "../graph/node.ts";
import type { AnyOp } from "../graph/op.ts";
import type { Site } from "../graph/site.ts";

/** A slice at a version. */
export interface Reading {
  readonly slice: StateSlice;
  readonly version: number;
}

/** The application that made a tracked variable. */
export interface Creator {
  /** Increases with every application: a topological order. */
  readonly sequence: number;
  readonly op: AnyOp;
  readonly attrs: Attrs;
  readonly inputs: readonly Variable[];
  readonly outputs: readonly Variable[];
  /** State that the inputs read, so that backward can tell if it has been changed. */
  readonly read: readonly (Reading | null)[];
  /** Where it was applied: its gradient belongs to the same module. */
  readonly site: Site;
}

let nextVariable = 1;

export class Variable implements TypeOf {
  readonly id = nextVariable++;
  readonly shape: Shape;
  readonly dtype: DType;
  requiresGrad = false;
  creator: Creator | null = null;
  /** Its graph has been walked by backward and let go. */
  released = false;
  /** Made inside a module and not returned from it: not kept by a flush unless a tape needs it. */
  internal = false;
  /** Variables that the user holds and whose backward would need this one. */
  owners: WeakRef<Variable>[] = [];
  /** The user's tensor, if there is one. */
  handle: WeakRef<object> | null = null;
  /** As long as this one is needed, so is this (a gradient and its leaf). */
  keeper: Variable | null = null;
  /** Accumulated gradient of a leaf; null until backward. */
  grad: Variable | null = null;
  /** Where the gradient of a state-backed leaf lies. */
  gradSlice: StateSlice | null = null;
  /** The persistent memory behind it: parameters and buffers. */
  state: StateSlice | null;
  /** Untracked variables of the same memory: they move with it. */
  #sharers: WeakRef<Variable>[] = [];
  #value: Value | null;
  #result: Result | null = null;
  #lost: string | null = null;
  /** Where its memory has moved, from which storage, and the version at which it came there. */
  readonly #moves: (Reading & { readonly from: Storage })[] = [];

  constructor(type: TypeOf, from: { value?: Value; result?: Result; state?: StateSlice }) {
    this.shape = type.shape;
    this.dtype = type.dtype;
    this.state = from.state ?? null;
    this.#value = from.value ?? null;
    if (from.result) this.settle(from.result);
  }

  /** Throws when a flush has let it go, or its device has been closed. */
  check(): void {
    if (this.#lost) throw new ThawError(`${show(this)}: ${this.#lost}`);
    if (this.state) checkStorage(this.state.storage);
    if (this.#result) checkResult(this.#result);
  }

  /** The graph value as of now; throws when there is none any more. */
  get value(): Value {
    this.check();
    if (this.state) return readState(this.state);
    if (this.#result) return readResult(this.#result);
    return this.#value as Value;
  }

  /** What a flush made of it, or null while it is only a node. */
  get result(): Result | null {
    return this.#result;
  }

  /** From now on it is the result of a flush. */
  settle(result: Result): void {
    this.#result = result;
    this.#value = null;
    result.readBy(this);
  }

  /** From now on it is this value of the running trace. */
  become(value: Value): void {
    this.#value = value;
    this.#result = null;
  }

  /** Its contents have been brought to another place in memory. */
  moveTo(slice: StateSlice): void {
    const from = (this.state as StateSlice).storage;
    this.#moves.push({ from, slice, version: slice.storage.version });
    this.state = slice;
    for (const s of this.#sharers) s.deref()?.moveTo(slice);
  }

  /** Another variable of the same persistent memory, which is not tracked. */
  shared(): Variable {
    const v = new Variable(this, { state: this.state as StateSlice });
    if (this.#sharers.length >= 8) this.#sharers = this.#sharers.filter((s) => s.deref() !== undefined);
    this.#sharers.push(new WeakRef(v));
    return v;
  }

  /** Its memory as of now, to ask later whether it has been changed. */
  get reading(): Reading | null {
    return this.state && { slice: this.state, version: this.state.storage.version };
  }

  /** Whether its memory, wherever it has been since, was changed after the reading. */
  changedSince({ slice, version }: Reading): boolean {
    if (slice.storage.changedAfter(slice, version)) return true;
    const next = this.#moves.findIndex((m) => m.from === slice.storage);
    return next >= 0 && this.changedSince(this.#moves[next]);
  }

  /** The flush did not keep it: any later use throws this reason. */
  lose(reason: string): void {
    this.#lost = reason;
    this.#value = null;
  }

  /** Whether the user can still call backward on it: a held result of tracked applications not yet let go. */
  get awaitsBackward(): boolean {
    return this.creator !== null && this.held;
  }

  /** Whether the user's tensor of it lives and was not left behind in a module. */
  get held(): boolean {
    return !this.internal && this.handle?.deref() !== undefined;
  }

  /** Whether somebody may still ask for the value: the user, or a backward that the user can still call. */
  get needed(): boolean {
    if (this.held || this.owners.some((o) => o.deref()?.awaitsBackward ?? false)) return true;
    return this.keeper?.needed ?? false;
  }
}

/** Marks everything behind the given results as needed by their backward. */
export function claimTapes(results: Iterable<Variable>): void {
  for (const root of results) {
    if (!root.awaitsBackward) continue;
    const owner = new WeakRef(root);
    const seen = new Set<Creator>();
    const stack = [root.creator as Creator];
    while (stack.length > 0) {
      const c = stack.pop() as Creator;
      if (seen.has(c)) continue;
      seen.add(c);
      for (const v of [...c.inputs, ...c.outputs]) {
        if (v !== root) v.owners.push(owner);
        if (v.creator) stack.push(v.creator);
      }
    }
  }
}
