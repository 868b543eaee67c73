// The runtime behind tensors: it records what user code builds (a trace: variables and effects in program order),
// cuts the trace into flushes, and hands those to a backend in order. It knows variables, never devices.

import { type ApplyContext, applyTo } from "../autograd/apply.ts";
import { Variable } from "../autograd/variable.ts";
import type { HostArray } from "../core/dtype.ts";
import { DeviceError, ThawError } from "../core/error.ts";
import { Generator } from "../core/random.ts";
import { numel, type TypeOf } from "../core/shape.ts";
import {
  checkStorage,
  hostResult,
  type Result,
  type Source,
  type StateSlice,
  Storage,
} from "../graph/leaf.ts";
import type { Attrs, Value } from "../graph/node.ts";
import type { BuildRule } from "../graph/rule.ts";
import type { Backend, Cut, Run } from "./backend.ts";
import { WorkQueue } from "./queue.ts";
import { RandomKeys } from "./random_keys.ts";
import { Recorder, type Trace } from "./recorder.ts";

/** Thrown inside a trace by what must happen outside of it (placing parameters): prepare, then trace again. */
export class RetraceRequest extends Error {
  readonly prepare: () => void;

  constructor(prepare: () => void) {
    super("this must happen before the step is traced");
    this.prepare = prepare;
  }
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
  #closed = false;
  #noGrad = 0;
  #scope: Variable[] | null = null;
  readonly #recorder = new Recorder();

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
    if (this.#closed)
      return Promise.reject(new DeviceError("this session has ended: init() or close() was called"));
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
      shared: this.#recorder.shared,
    };
    return applyTo(ctx, name, inputs, attrs);
  }

  /** Applies an op to one bare value of the graph (a random key) that no tensor stands for. */
  applyValue(name: string, input: Value, attrs: Attrs): Variable {
    return this.apply(name, [new Variable(input, { value: input })], attrs)[0];
  }

  /** Registers a variable of the running trace. */
  adopt(v: Variable): Variable {
    this.#scope?.push(v);
    return this.#recorder.adopt(v);
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
    this.#recorder.assign(slice, value);
  }

  /** Records host work that goes with every run of the trace (counters): done now, or by every call of a compiled step. */
  hostEffect(effect: () => void): void {
    if (this.tracing) this.#recorder.hostEffect(effect);
    else effect();
  }

  /** Remembers whether the leaf had a gradient when the trace first looked. */
  noteGrad(leaf: Variable, dropped = false): void {
    this.#recorder.noteGrad(leaf, dropped);
  }

  /** Persistent memory of its own for one tensor; zeros unless contents are given. */
  newState(label: string, type: TypeOf, initial: HostArray | null = null): StateSlice {
    const storage = new Storage(label, type.dtype, numel(type.shape), initial);
    return { storage, offset: 0, shape: type.shape, dtype: type.dtype };
  }

  // ---- flushing -------------------------------------------------------------------------------------------------

  /** Ends the trace: everything recorded becomes one cut. Null when there is nothing to do. */
  cut(): Trace | null {
    const trace = this.#recorder.cut();
    this.random.nextTrace();
    return trace.cut.roots.length > 0 || trace.cut.effects.length > 0 ? trace : null;
  }

  /** Ends the trace of a compiled step: what it returns is kept. */
  cutStep(returned: readonly Variable[]): Trace {
    const trace = this.#recorder.cut(returned);
    this.random.nextTrace();
    return trace;
  }

  /** Forgets the running trace: its recording failed. */
  abandon(): void {
    this.#recorder.abandon();
    this.random.nextTrace();
  }

  /** Hands everything recorded so far to the backend. */
  flush(): void {
    this.#checkReads();
    const ready = this.cut();
    if (ready) this.submit(ready.cut, { results: ready.results, sources: new Map() }, false);
  }

  /**
   * Queues one run of a cut; a failure is also what reading its results throws. Scalars are drawn now: what the user
   * changes afterwards belongs to later runs.
   */
  submit(cut: Cut, parts: Omit<Run, "scalars">, reuse: boolean): void {
    const sources = cut.nodes.flatMap(({ source }) => source ?? []);
    const drawn = sources.flatMap((s) => (s.kind === "scalars" ? [[s, s.next()] as const] : []));
    const run: Run = { ...parts, scalars: new Map(drawn) };
    const release = pin(sources.map((s) => parts.sources.get(s) ?? s));
    this.queue.post(async () => {
      try {
        await (await this.backend()).run(cut, run, reuse);
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const r of run.results) r.failure = failure;
        throw failure;
      } finally {
        release();
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

  #checkReads(): void {
    if (this.tracing)
      throw new ThawError(
        "compile: a value was read while the step is being traced; return the tensor from the step and read it outside",
      );
  }

  /** The host's copy of a variable's value as of now. Throws at once, awaited or not, while a step is being traced. */
  read(v: Variable): Promise<HostArray> {
    this.#checkReads();
    return this.#read(v);
  }

  async #read(v: Variable): Promise<HostArray> {
    this.flush();
    v.check();
    const { state, result } = v;
    if (state) {
      state.storage.touched = true;
      return this.queue.add(async () => (await this.backend()).readState(state));
    }
    return this.#readResult(result as Result);
  }

  #readResult(result: Result): Promise<HostArray> {
    const release = pin([result]);
    return this.queue.add(async () => {
      try {
        if (result.failure) {
          this.queue.delivered(result.failure);
          throw result.failure;
        }
        return await (await this.backend()).read(result);
      } finally {
        release();
      }
    });
  }

  /** Applies recorded effects now, so that storages they read can be let go; inside a compiled step they stay. */
  flushEffects(): void {
    if (!this.tracing && this.#recorder.hasEffects) this.flush();
  }

  /** Replaces the contents of a slice after everything recorded so far. */
  write(slice: StateSlice, data: HostArray): void {
    if (this.tracing)
      throw new ThawError("compile: state was loaded while the step is being traced; do it outside");
    const { storage } = slice;
    checkStorage(storage);
    // Whoever read it before this line sees what was there then.
    if (storage.touched || storage.seen) this.flush();
    storage.change(slice);
    if (!storage.touched) {
      const initial = storage.initial ?? emptyLike(storage);
      initial.set(data as ArrayLike<number>, slice.offset);
      storage.initial = initial;
      return;
    }
    this.queue.post(async () => (await this.backend()).writeState(slice, data));
  }

  /** Forgets storages after everything recorded so far has run. */
  free(storages: readonly Storage[]): void {
    this.queue.post(async () => {
      // A device that was never opened has taken none.
      if (this.#backend) (await this.#backend).free(storages);
    });
  }

  /** Lets go of what the backend keeps for a compiled step's cut. */
  forget(cut: Cut): void {
    this.queue.post(async () => {
      if (this.#backend) await (await this.#backend).forget(cut);
    });
  }

  /** Drains the queue and closes the device; what was recorded and never asked for is lost. */
  async close(): Promise<void> {
    this.#recorder.end();
    await this.queue.idle();
    this.#closed = true;
    const backend = await this.#backend?.catch(() => null);
    await backend?.close();
  }
}

/** Pins the results among the sources until the function that it gives is called. */
export function pin(sources: Iterable<Source>): () => void {
  const pinned = [...sources].filter((s) => s.kind === "result");
  for (const r of pinned) r.pins++;
  return () => {
    for (const r of pinned) r.pins--;
  };
}

function emptyLike(storage: Storage): HostArray {
  return storage.dtype === "i32" ? new Int32Array(storage.size) : new Float32Array(storage.size);
}
