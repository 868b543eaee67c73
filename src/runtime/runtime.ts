// The runtime behind tensors: it records what user code builds (a trace: variables and effects in program order),
// cuts the trace into flushes, and hands those to a backend in order. It knows variables, never devices.

import { type ApplyContext, applyTo } from "../autograd/apply.ts";
import { gradientsOf } from "../autograd/backward.ts";
import { claimTapes, Variable } from "../autograd/variable.ts";
import type { HostArray } from "../core/dtype.ts";
import { ThawError } from "../core/error.ts";
import { Generator } from "../core/random.ts";
import { numel, show, type TypeOf } from "../core/shape.ts";
import { type Assign, hostResult, Result, readState, type StateSlice, Storage } from "../graph/leaf.ts";
import { type Attrs, apply1, clearInterned, nodeMark, reachable, type Value } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import type { BuildRule } from "../graph/rule.ts";
import type { Backend, Cut, Run } from "./backend.ts";
import { WorkQueue } from "./queue.ts";
import { RandomKeys } from "./random_keys.ts";

const DROPPED =
  "this tensor was made inside a module's forward, was not returned from it, and a step has been taken since; return it from forward, or call retain() on it";

/** A leaf's gradient before a trace touched it: what a compiled step must find, and what a failed trace restores. */
export interface GradNote {
  readonly before: Variable | null;
  /** The trace began by dropping it, so what was there does not matter. */
  readonly dropped: boolean;
}

/** Thrown inside a trace by what must happen outside of it (placing parameters): prepare, then trace again. */
export class RetraceRequest extends Error {
  readonly prepare: () => void;

  constructor(prepare: () => void) {
    super("this must happen before the step is traced");
    this.prepare = prepare;
  }
}

/** One finished trace: its cut, the results of its first run, and what the host did in it. */
export interface Trace {
  readonly cut: Cut;
  readonly results: readonly Result[];
  readonly needed: readonly (() => boolean)[];
  readonly notes: ReadonlyMap<Variable, GradNote>;
  readonly host: readonly (() => void)[];
}

export interface RuntimeOptions {
  readonly open: () => Promise<Backend>;
  readonly seed?: number;
  readonly rules?: readonly BuildRule[];
  readonly bindingLimit?: number;
}

export class Runtime {
  readonly queue = new WorkQueue();
  readonly random: RandomKeys;
  /** Draws initial parameters. */
  generator: Generator;
  /** A compiled step is being traced: nothing can be read. */
  tracing = false;
  readonly #open: () => Promise<Backend>;
  readonly #rules: readonly BuildRule[];
  readonly #limit: number;
  #backend: Promise<Backend> | null = null;
  #ready: Backend | null = null;
  #noGrad = 0;
  #made: Variable[] = [];
  #scope: Variable[] | null = null;
  #effects: Assign[] = [];
  #hostEffects: (() => void)[] = [];
  #base = new Map<Storage, number>();
  #gradNotes = new Map<Variable, GradNote>();
  #shared = new Map<string, readonly Variable[]>();

  constructor(options: RuntimeOptions) {
    this.#open = options.open;
    this.#rules = options.rules ?? [];
    this.#limit = options.bindingLimit ?? 2 ** 27;
    this.random = new RandomKeys(options.seed ?? 0);
    this.generator = new Generator(options.seed ?? 0, 1);
  }

  /** Starts the stream of initial parameters over. */
  reseed(seed: number): void {
    this.generator = new Generator(seed, 1);
  }

  /** The backend, opened on first use. */
  backend(): Promise<Backend> {
    this.#backend ??= this.#open().then((b) => {
      this.#ready = b;
      return b;
    });
    return this.#backend;
  }

  /** Largest binding in bytes; the WebGPU default until the device is open. */
  get bindingLimit(): number {
    return this.#ready?.bindingLimit ?? this.#limit;
  }

  // ---- building -------------------------------------------------------------------------------------------------

  apply(name: string, inputs: readonly Variable[], attrs: Attrs = {}): readonly Variable[] {
    const ctx: ApplyContext = {
      rules: this.#rules,
      tracking: this.#noGrad === 0,
      made: (v) => this.adopt(v),
      shared: this.#shared,
    };
    return applyTo(ctx, name, inputs, attrs);
  }

  /** Applies an op to one bare value of the graph (a random key) that no tensor stands for. */
  applyValue(name: string, input: Value, attrs: Attrs): Variable {
    return this.apply(name, [new Variable(input, { value: input })], attrs)[0];
  }

  /** Registers a variable of the running trace. */
  adopt(v: Variable): Variable {
    this.#made.push(v);
    this.#scope?.push(v);
    return v;
  }

  /** A variable of host data. */
  fromHost(data: HostArray, type: TypeOf): Variable {
    return new Variable(type, { result: hostResult(data, type) });
  }

  get gradEnabled(): boolean {
    return this.#noGrad === 0;
  }

  /** Runs `fn` without recording for backward; an async `fn` is covered until it settles. */
  noGrad<T>(fn: () => T): T {
    this.#noGrad++;
    let later = false;
    try {
      const out = fn();
      if (out instanceof Promise) {
        later = true;
        return out.finally(() => {
          this.#noGrad--;
        }) as T;
      }
      return out;
    } finally {
      if (!later) this.#noGrad--;
    }
  }

  /** Runs a module's forward: what it makes and does not return is internal, so a flush need not keep it. */
  scope<T>(fn: () => T, returned: (out: T) => Iterable<Variable>): T {
    if (this.#scope) return fn();
    const made: Variable[] = [];
    this.#scope = made;
    try {
      const out = fn();
      if (out instanceof Promise) return out;
      const kept = new Set(returned(out));
      for (const v of made) if (!kept.has(v)) v.internal = true;
      return out;
    } finally {
      this.#scope = null;
    }
  }

  // ---- effects --------------------------------------------------------------------------------------------------

  /** Records slice ← value after everything recorded so far. */
  assign(slice: StateSlice, value: Value): void {
    const { storage } = slice;
    if (!this.#base.has(storage)) this.#base.set(storage, storage.version);
    storage.version++;
    this.#effects.push({ slice, value, version: storage.version, at: nodeMark() });
  }

  /** Records host work that goes with every run of the trace (counters): done now, or by every call of a compiled step. */
  hostEffect(effect: () => void): void {
    if (this.tracing) this.#hostEffects.push(effect);
    else effect();
  }

  /** Remembers whether the leaf had a gradient when the trace first looked. */
  noteGrad(leaf: Variable, dropped = false): void {
    if (!this.#gradNotes.has(leaf)) this.#gradNotes.set(leaf, { before: leaf.grad, dropped });
  }

  /** Drops a leaf's gradient; a user's tensor of it keeps its present value. */
  zeroGrad(leaf: Variable): void {
    this.noteGrad(leaf, true);
    const grad = leaf.grad;
    leaf.grad = null;
    if (grad) grad.keeper = null;
    if (grad?.state && grad.handle?.deref() !== undefined) {
      const value = grad.value;
      grad.state = null;
      grad.become(value);
      this.adopt(grad);
    }
  }

  /** Σ root·seed differentiated with respect to every leaf that wants it, added to their gradients. */
  backward(root: Variable, seed: Variable | null, retain: boolean): void {
    if (!root.requiresGrad)
      throw new ThawError(`backward: ${show(root)} does not depend on anything that requires a gradient`);
    if (!seed && numel(root.shape) !== 1)
      throw new ThawError(`backward: ${show(root)} is not a single value; pass its gradient to backward()`);
    const one = seed?.value ?? apply1(opNamed("full"), [], { shape: root.shape, value: 1, dtype: "f32" });
    for (const [leaf, g] of gradientsOf(root, one, retain)) this.#accumulate(leaf, g);
  }

  #accumulate(leaf: Variable, g: Value): void {
    this.noteGrad(leaf);
    if (!leaf.state) {
      const value = leaf.grad ? apply1(opNamed("add"), [leaf.grad.value, g]) : g;
      if (leaf.grad) leaf.grad.keeper = null;
      leaf.grad = this.adopt(new Variable(leaf, { value }));
      leaf.grad.keeper = leaf;
      return;
    }
    leaf.gradSlice ??= this.newState(`${leaf.state.storage.label}.grad`, leaf);
    const value = leaf.grad ? apply1(opNamed("accumulate"), [readState(leaf.gradSlice), g]) : g;
    this.assign(leaf.gradSlice, value);
    leaf.grad ??= new Variable(leaf, { state: leaf.gradSlice });
  }

  /** Persistent memory of its own for one tensor; zeros unless contents are given. */
  newState(label: string, type: TypeOf, initial: HostArray | null = null): StateSlice {
    const storage = new Storage(label, type.dtype, numel(type.shape), initial);
    return { storage, offset: 0, shape: type.shape, dtype: type.dtype };
  }

  // ---- flushing -------------------------------------------------------------------------------------------------

  /** Ends the trace: everything recorded becomes one cut. Null when there is nothing to do. */
  cut(returned: readonly Variable[] | null = null): Trace | null {
    const extra = returned ?? [];
    // A compiled step returns bare results: nobody can call backward on what was made inside.
    if (!returned) claimTapes(this.#made);
    const wanted = (v: Variable) => (returned ? v.keeper !== null : v.needed);
    const kept = new Set([...this.#made.filter(wanted), ...extra].filter((v) => !v.state && !v.result));
    const roots = new Map<Value, { result: Result; owners: WeakRef<Variable>[] }>();
    for (const v of kept) {
      const entry = roots.get(v.value) ?? { result: new Result(v), owners: [] };
      entry.owners.push(new WeakRef(v));
      roots.set(v.value, entry);
    }
    const made = this.#made;
    const effects = this.#effects;
    const cut = this.#structure([...roots.keys()], effects);
    for (const v of made) {
      if (v.state || v.result) continue;
      const entry = kept.has(v) ? roots.get(v.value) : undefined;
      if (entry) v.settle(entry.result);
      else v.lose(DROPPED);
    }
    for (const v of extra)
      if (!v.result && !v.state) v.settle((roots.get(v.value) as { result: Result }).result);
    const out = { notes: this.#gradNotes, host: this.#hostEffects };
    this.#reset();
    if (roots.size === 0 && effects.length === 0) return null;
    const entries = [...roots.values()];
    const needed = entries.map((e) => () => e.owners.some((w) => w.deref()?.needed ?? false));
    return { cut, results: entries.map((e) => e.result), needed, ...out };
  }

  /** Ends the trace of a compiled step: like `cut`, but what it returns is kept and there may be no roots. */
  cutStep(returned: readonly Variable[]): Trace {
    return (
      this.cut(returned) ?? {
        cut: { roots: [], effects: [], nodes: [], base: new Map() },
        results: [],
        needed: [],
        notes: new Map(),
        host: [],
      }
    );
  }

  /** Forgets the running trace: its recording failed. */
  abandon(): void {
    for (const [storage, version] of this.#base) storage.version = version;
    for (const [leaf, note] of this.#gradNotes) leaf.grad = note.before;
    this.#reset();
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
    for (const e of effects) e.slice.storage.touched = true;
    return { roots, effects, nodes, base };
  }

  #reset(): void {
    this.#made = [];
    this.#effects = [];
    this.#hostEffects = [];
    this.#base = new Map();
    this.#gradNotes = new Map();
    this.#shared = new Map();
    this.random.nextTrace();
    clearInterned();
  }

  /** Hands everything recorded so far to the backend. */
  flush(): void {
    if (this.tracing) {
      throw new ThawError(
        "compile: a value was read while the step is being traced; return the tensor from the step and read it outside",
      );
    }
    const ready = this.cut();
    if (ready) this.submit(ready.cut, { ...ready, sources: new Map() }, false);
  }

  /**
   * Queues one run of a cut; a failure is also what reading its results throws. Scalars are drawn now: what the user
   * changes afterwards belongs to later runs.
   */
  submit(cut: Cut, parts: Omit<Run, "scalars">, reuse: boolean): void {
    const drawn = cut.nodes.flatMap(({ source }) =>
      source?.kind === "scalars" ? [[source, source.next()] as const] : [],
    );
    const run: Run = { ...parts, scalars: new Map(drawn) };
    this.queue.post(async () => {
      try {
        await (await this.backend()).run(cut, run, reuse);
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const r of run.results) r.failure = failure;
        throw failure;
      }
    });
  }

  /** Ends a step: flushes, and resolves when at most two steps are unfinished. */
  async step(): Promise<void> {
    if (this.tracing) return;
    this.flush();
    await this.queue.add(async () => (await this.backend()).throttle(2));
    this.queue.check();
  }

  /** The host's copy of a variable's value as of now. */
  async read(v: Variable): Promise<HostArray> {
    this.flush();
    const { state, result } = v;
    if (state) state.storage.touched = true;
    if (state) return this.queue.add(async () => (await this.backend()).readState(state));
    if (!result) throw new ThawError(`${show(v)}: ${DROPPED}`);
    return this.queue.add(async () => {
      if (result.failure) {
        this.queue.delivered(result.failure);
        throw result.failure;
      }
      return (await this.backend()).read(result);
    });
  }

  /** Applies recorded effects now, so that storages they read can be let go; inside a compiled step they stay. */
  flushEffects(): void {
    if (!this.tracing && this.#effects.length > 0) this.flush();
  }

  /** Replaces the contents of a slice after everything recorded so far. */
  write(slice: StateSlice, data: HostArray): void {
    if (this.tracing)
      throw new ThawError("compile: state was loaded while the step is being traced; do it outside");
    const { storage } = slice;
    if (!storage.touched) {
      const initial = storage.initial ?? emptyLike(storage);
      initial.set(data as ArrayLike<number>, slice.offset);
      storage.initial = initial;
      return;
    }
    this.flush();
    storage.version++;
    this.queue.post(async () => (await this.backend()).writeState(slice, data));
  }

  /** Forgets storages after everything recorded so far has run. */
  free(storages: readonly Storage[]): void {
    this.queue.post(async () => {
      (await this.backend()).free(storages);
    });
  }

  /** Drains the queue and closes the device. */
  async close(): Promise<void> {
    await this.queue.idle();
    if (this.#backend) await (await this.#backend).close();
  }
}

function emptyLike(storage: Storage): HostArray {
  return storage.dtype === "i32" ? new Int32Array(storage.size) : new Float32Array(storage.size);
}
