// compile(fn): records one call of a step and replays it. After the first call no graph is built: arguments are
// uploaded into the plan's own leaves, effects (running statistics, optimizer steps) happen again, and the returned
// tensors are new results. A structural change (freezing, train/eval, a replaced module), other shapes, or another
// null-ness of gradients makes it record again.

import { Variable } from "../autograd/variable.ts";
import { ThawError } from "../core/error.ts";
import { show } from "../core/shape.ts";
import { Result, type Source } from "../graph/leaf.ts";
import { attrsKey } from "../graph/node.ts";
import { runtime } from "../runtime/context.ts";
import { structureKey } from "../runtime/epoch.ts";
import { zeroGrad } from "../runtime/gradients.ts";
import type { Trace } from "../runtime/recorder.ts";
import { pin, RetraceRequest, type Runtime } from "../runtime/runtime.ts";
import { tensorsIn } from "./functions.ts";
import { Tensor } from "./tensor.ts";

/** Where in the returned structure a tensor stands: rebuilt at every call. */
type Template = (results: readonly Result[]) => unknown;

interface Recording {
  readonly trace: Trace;
  /** Placeholder leaves of the tensor arguments, in order. */
  readonly placeholders: readonly (Result | null)[];
  readonly template: Template;
  readonly grads: readonly { leaf: Variable; before: Variable | null | undefined; after: boolean }[];
  /** Lets go of the results that the step reads without being given them. */
  readonly release: () => void;
}

function signature(args: readonly unknown[]): string {
  const part = (a: unknown): string => {
    if (!(a instanceof Tensor)) return a === undefined ? "undefined" : attrsKey({ a: a as null });
    const { state } = a.variable;
    return state ? `state ${state.storage.id}.${state.offset}` : show(a.variable);
  };
  return args.map(part).join("|");
}

/** Rebuilds `value` with its tensors replaced by fresh ones of the results at the same places. */
function templateOf(value: unknown, place: (t: Tensor) => number | Tensor): Template {
  if (value instanceof Tensor) {
    const at = place(value);
    if (at instanceof Tensor) return () => at;
    return (results) => new Tensor(new Variable(results[at], { result: results[at] }));
  }
  if (Array.isArray(value)) {
    const parts = value.map((v) => templateOf(v, place));
    return (results) => parts.map((p) => p(results));
  }
  if (value && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    const parts = Object.entries(value).map(([k, v]) => [k, templateOf(v, place)] as const);
    return (results) => Object.fromEntries(parts.map(([k, p]) => [k, p(results)]));
  }
  return () => value;
}

/** Records a call; what must happen outside of a trace (placing parameters) is done first and the call traced again. */
function record<A extends readonly unknown[], R>(rt: Runtime, fn: (...args: A) => R, args: A): Recording {
  try {
    return recordOnce(rt, fn, args);
  } catch (error) {
    if (!(error instanceof RetraceRequest)) throw error;
    error.prepare();
    return recordOnce(rt, fn, args);
  }
}

function recordOnce<A extends readonly unknown[], R>(rt: Runtime, fn: (...args: A) => R, args: A): Recording {
  const placeholders = args.map((a) =>
    a instanceof Tensor && !a.variable.state ? new Result(a.variable) : null,
  );
  const inputs = args.map((a, i) => {
    const result = placeholders[i];
    if (!result) return a;
    if ((a as Tensor).requiresGrad)
      throw new ThawError(
        `compile: argument ${i} requires a gradient; only parameters can inside a compiled step`,
      );
    return new Tensor(new Variable(result, { result }));
  }) as unknown as A;
  rt.tracing = true;
  let out: R;
  let trace: Trace;
  let order: Tensor[];
  try {
    out = rt.scope(
      () => fn(...inputs),
      (o) => [...tensorsIn(o)].map((t) => t.variable),
    );
    if (out instanceof Promise)
      throw new ThawError("compile: the step must not be async; return the tensors and read them outside");
    order = [...new Set(tensorsIn(out))].filter((t) => !t.variable.state);
    trace = rt.cutStep(order.map((t) => t.variable));
  } catch (error) {
    rt.abandon();
    throw error;
  } finally {
    rt.tracing = false;
  }
  const grads = [...trace.notes].map(([leaf, note]) => ({
    leaf,
    before: note.dropped ? undefined : note.before,
    after: leaf.grad !== null,
  }));
  const template = templateOf(out, (t) => (t.variable.state ? t : rootIndex(trace, t)));
  const captured = trace.cut.nodes.flatMap(({ source }) => source ?? []);
  return { trace, placeholders, template, grads, release: pin(captured) };
}

function rootIndex(trace: Trace, t: Tensor): number {
  return trace.results.indexOf(t.variable.result as Result);
}

/** Whether every gradient that the recording reads is null, or not, as it was then (undefined: it was dropped unread). */
const fits = (r: Recording) =>
  r.grads.every((g) => g.before === undefined || (g.leaf.grad !== null) === (g.before !== null));

function argumentSources(r: Recording, args: readonly unknown[]): Map<Source, Source> {
  const sources = new Map<Source, Source>();
  r.placeholders.forEach((p, i) => {
    if (p) sources.set(p, (args[i] as Tensor).variable.result as Result);
  });
  return sources;
}

/** A compiled function: the same arguments and result, plus how often it has recorded. */
export interface Compiled<A extends readonly unknown[], R> {
  (...args: A): R;
  /** How many times the function has been traced: 1 after the first call as long as nothing structural changes. */
  readonly traces: number;
}

/**
 * Compiles a step. Tensor arguments may differ from call to call, other arguments are part of what is recorded. Inside,
 * nothing can be read; the returned tensors (alone, or in arrays and plain objects) are read outside.
 */
export function compile<A extends readonly unknown[], R>(fn: (...args: A) => R): Compiled<A, R> {
  let traces = 0;
  const structures = new Map<string, Map<string, Recording[]>>();
  const call = (...args: A): R => {
    const rt = runtime();
    if (rt.tracing) return fn(...args);
    rt.flush();
    const key = signature(args);
    const known = structures.get(structureKey())?.get(key)?.find(fits);
    if (known) return replay(rt, known, args) as R;
    const made = record(rt, fn, args);
    traces++;
    const recordings = keepNewest(structures, structureKey());
    recordings.set(key, [...(recordings.get(key) ?? []), made]);
    const { cut, results, host } = made.trace;
    for (const effect of host) effect();
    rt.submit(cut, { results, sources: argumentSources(made, args) }, true);
    return made.template(results) as R;
  };
  return Object.defineProperty(call, "traces", { get: () => traces }) as Compiled<A, R>;
}

/** Recordings of so many structures are kept: train, eval, and the same once more with other layers frozen. */
const MAX_STRUCTURES = 4;

/** The recordings of a structure, which becomes the newest; the oldest ones go. */
function keepNewest(
  structures: Map<string, Map<string, Recording[]>>,
  key: string,
): Map<string, Recording[]> {
  const recordings = structures.get(key) ?? new Map<string, Recording[]>();
  structures.delete(key);
  structures.set(key, recordings);
  for (const old of structures.keys()) {
    if (structures.size <= MAX_STRUCTURES) break;
    structures.delete(old);
  }
  return recordings;
}

/** Leaves gradients null or not as the recorded call did; what the user holds of a dropped one is kept. */
function restoreGrads(rt: Runtime, r: Recording): void {
  for (const { leaf, before, after } of r.grads) {
    if (before === undefined && leaf.grad?.handle?.deref() !== undefined) zeroGrad(rt, leaf);
    if (!after) leaf.grad = null;
    else if (leaf.gradSlice) leaf.grad ??= new Variable(leaf, { state: leaf.gradSlice });
  }
  rt.flush();
}

/** Runs a recording again with other arguments; host effects and gradients' null-ness follow. */
function replay(rt: Runtime, r: Recording, args: readonly unknown[]): unknown {
  for (const effect of r.trace.host) effect();
  restoreGrads(rt, r);
  for (const e of r.trace.cut.effects) e.slice.storage.version++;
  const results = r.trace.results.map((old) => new Result(old));
  const out = r.template(results);
  rt.submit(r.trace.cut, { results, sources: argumentSources(r, args) }, true);
  return out;
}
