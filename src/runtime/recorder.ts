// The running trace: variables made, effects in program order, what gradients were before. Ending it makes a cut of it,
// or forgets it. It knows neither queue nor backend.

import { claimTapes, type Variable } from "../autograd/variable.ts";
import { ThawError } from "../core/error.ts";
import type { Cut } from "../graph/cut.ts";
import { type Assign, type Holder, Result, type StateSlice, type Storage } from "../graph/leaf.ts";
import { clearInterned, nodeMark, reachable, type Value } from "../graph/node.ts";

const DROPPED =
  "this tensor was made inside a module's forward, was not returned from it, and a step has been taken since; return it from forward, or call retain() on it";

const ABANDONED = "this tensor was made in a compiled step whose recording failed";

const ENDED = "this tensor was not computed before init() or close() ended its session; build it again";

/** Whoever held what is lost with a session. */
const NOBODY: Holder = { closed: true };

/** A leaf's gradient before a trace touched it: what a compiled step must find, and what a failed trace restores. */
export interface GradNote {
  readonly before: Variable | null;
  /** The trace began by dropping it, so what was there does not matter. */
  readonly dropped: boolean;
}

/** One finished trace: its cut, the results of its first run, and what the host did in it. */
export interface Trace {
  readonly cut: Cut;
  readonly results: readonly Result[];
  readonly notes: ReadonlyMap<Variable, GradNote>;
  readonly host: readonly (() => void)[];
}

/** Takes back what recording a trace has changed: it will not run. */
export function undo({ cut, notes }: Trace): void {
  for (const [storage, version] of cut.base) storage.revert(version);
  for (const [leaf, note] of notes) leaf.grad = note.before;
}

export class Recorder {
  /** What build rules have made in this trace. */
  shared = new Map<string, readonly Variable[]>();
  #made: Variable[] = [];
  #effects: Assign[] = [];
  #host: (() => void)[] = [];
  #base = new Map<Storage, number>();
  #notes = new Map<Variable, GradNote>();

  get hasEffects(): boolean {
    return this.#effects.length > 0;
  }

  /** Registers a variable of the running trace. */
  adopt(v: Variable): Variable {
    this.#made.push(v);
    return v;
  }

  /** Records slice ← value after everything recorded so far. */
  assign(slice: StateSlice, value: Value): void {
    const { storage } = slice;
    if (!this.#base.has(storage)) this.#base.set(storage, storage.version);
    storage.touched = true;
    this.#effects.push({ slice, value, version: storage.change(slice), at: nodeMark() });
  }

  /** Host work that goes with every run of the trace. */
  hostEffect(effect: () => void): void {
    this.#host.push(effect);
  }

  /** Remembers whether the leaf had a gradient when the trace first looked. */
  noteGrad(leaf: Variable, dropped = false): void {
    if (!this.#notes.has(leaf)) this.#notes.set(leaf, { before: leaf.grad, dropped });
  }

  /**
   * Ends the trace: everything recorded becomes one cut. `returned`: what a compiled step returns, which is then all
   * that is kept.
   */
  cut(returned: readonly Variable[] | null = null): Trace {
    const extra = returned ?? [];
    // A compiled step returns bare results: nobody can call backward on what was made inside.
    if (!returned) claimTapes(this.#made);
    const wanted = (v: Variable) => (returned ? v.keeper !== null : v.needed);
    const kept = new Set([...this.#made.filter(wanted), ...extra].filter((v) => !v.state && !v.result));
    const roots = new Map<Value, Result>();
    for (const v of kept) if (!roots.has(v.value)) roots.set(v.value, new Result(v));
    const cut = this.#structure([...roots.keys()], this.#effects);
    for (const v of [...this.#made, ...extra]) {
      if (v.state || v.result) continue;
      if (kept.has(v)) v.settle(roots.get(v.value) as Result);
      else v.lose(DROPPED);
    }
    const trace = { cut, results: [...roots.values()], notes: this.#notes, host: this.#host };
    this.#reset();
    return trace;
  }

  /** Forgets the running trace: its recording failed. */
  abandon(): void {
    for (const [storage, version] of this.#base) storage.revert(version);
    for (const [leaf, note] of this.#notes) leaf.grad = note.before;
    this.#lose(ABANDONED);
    this.#reset();
  }

  /** The session ends: what it has recorded will never run, so the state that it would have changed is lost too. */
  end(): void {
    for (const { slice } of this.#effects) slice.storage.holder ??= NOBODY;
    this.#lose(ENDED);
    this.#reset();
  }

  #lose(reason: string): void {
    for (const v of this.#made) if (!v.state && !v.result) v.lose(reason);
  }

  #structure(roots: readonly Value[], effects: readonly Assign[]): Cut {
    const nodes = reachable([...roots, ...effects.map((e) => e.value)]);
    const base = new Map(this.#base);
    for (const { source } of nodes) {
      if (source?.kind !== "state") continue;
      const { storage } = source.slice;
      storage.touched = true;
      if (!base.has(storage)) base.set(storage, storage.version);
      if (source.version < (base.get(storage) as number)) {
        throw new ThawError(
          `${storage.label} was changed after it was used and before backward() needed it; call backward() first`,
        );
      }
    }
    return { roots, effects, nodes, base };
  }

  #reset(): void {
    this.shared = new Map();
    this.#made = [];
    this.#effects = [];
    this.#host = [];
    this.#base = new Map();
    this.#notes = new Map();
    clearInterned();
  }
}
