// compile(fn): records one call of a step and replays it. After the first call no graph is built: arguments are
// uploaded into the plan's own leaves, effects (running statistics, optimizer steps) happen again, and the returned
// tensors are new results. A structural change (freezing, train/eval, a replaced module), other shapes, or another
// null-ness of gradients makes it record again.

import { Variable } from "../autograd/variable.ts";
import { ThawError } from "../core/error.ts";
import { Result, type Source } from "../graph/leaf.ts";
import { runtime } from "../runtime/context.ts";
import { structureKey } from "../runtime/epoch.ts";
import { zeroGrad } from "../runtime/gradients.ts";
import { type Trace, undo } from "../runtime/recorder.ts";
import { pin, RetraceRequest, type Runtime } from "../runtime/runtime.ts";
import type { Plan } from "../schedule/plan.ts";
import {
  type Arguments,
  checkReturned,
  type Place,
  readArguments,
  replaceTensors,
  type Template,
  templateOf,
} from "./compile_values.ts";
import { tensorsIn } from "./functions.ts";
import { Tensor } from "./tensor.ts";

interface Recording {
  /** What it was made for: the structure of the modules, and the arguments. */
  readonly structure: string;
  readonly key: string;
  readonly trace: Trace;
  /** Leaves of the tensor arguments, in order. */
  readonly placeholders: readonly Result[];
  readonly template: Template;
  readonly grads: readonly { leaf: Variable; before: Variable | null | undefined; after: boolean }[];
  /** Lets go of the results that the step reads without being given them. */
  readonly release: () => void;
}

type Step<A extends readonly unknown[], R> = (...args: A) => R;
type Recorded = Pick<Recording, "trace" | "placeholders" | "template" | "grads" | "release">;

/** Records a call; what must happen outside of a trace (placing parameters) is done first and the call traced again. */
function record<A extends readonly unknown[], R>(
  rt: Runtime,
  fn: Step<A, R>,
  args: A,
  given: readonly Tensor[],
): Recorded {
  try {
    return recordOnce(rt, fn, args, given);
  } catch (error) {
    if (!(error instanceof RetraceRequest)) throw error;
    error.prepare();
    return recordOnce(rt, fn, args, given);
  }
}

function recordOnce<A extends readonly unknown[], R>(
  rt: Runtime,
  fn: Step<A, R>,
  args: A,
  given: readonly Tensor[],
): Recorded {
  const placeholders = given.map((t) => new Result(t.variable));
  const fresh = placeholders.map((result) => new Tensor(new Variable(result, { result })));
  let next = 0;
  const inputs = replaceTensors(args, () => fresh[next++]) as unknown as A;
  rt.tracing = true;
  let out: R;
  let trace: Trace;
  try {
    out = call(rt, fn, inputs);
    const order = [...new Set(tensorsIn(out))].filter((t) => !t.variable.state);
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
  const template = templateOf(out, (t) => placeOf(t, trace, placeholders));
  const captured = trace.cut.nodes.flatMap(({ source }) => source ?? []);
  return { trace, placeholders, template, grads, release: pin(captured) };
}

/** Calls the function while it is traced; what it returns must be what a later call can return. */
function call<A extends readonly unknown[], R>(rt: Runtime, fn: Step<A, R>, inputs: A): R {
  const out = rt.scope(
    () => fn(...inputs),
    (o) => [...tensorsIn(o)].map((t) => t.variable),
  );
  if (out instanceof Promise) {
    // What it rejects with is what the line below says.
    out.catch(() => {});
    throw new ThawError("compile: the step must not be async; return the tensors and read them outside");
  }
  checkReturned(out);
  return out;
}

/** What a returned tensor is: computed by the step, given to it, or there before it. */
function placeOf(t: Tensor, trace: Trace, placeholders: readonly Result[]): Place {
  const result = t.variable.result;
  if (t.variable.state || !result) return { tensor: t };
  const at = trace.results.indexOf(result);
  if (at >= 0) return { result: at };
  const argument = placeholders.indexOf(result);
  return argument >= 0 ? { argument } : { tensor: t };
}

/** Whether every gradient that the recording reads is null, or not, as it was then (undefined: it was dropped unread). */
const fits = (r: Recording) =>
  r.grads.every((g) => g.before === undefined || (g.leaf.grad !== null) === (g.before !== null));

function argumentSources(r: Recorded, given: readonly Tensor[]): Map<Source, Source> {
  return new Map(r.placeholders.map((p, i) => [p, given[i].variable.result as Result]));
}

/** A compiled function: the same arguments and result, plus how often it has recorded. */
export interface Compiled<A extends readonly unknown[], R> {
  (...args: A): R;
  /** How many times the function has been traced: 1 after the first call as long as nothing structural changes. */
  readonly traces: number;
}

/**
 * Compiles a step. Tensors among the arguments (alone, or in arrays and plain objects) may differ from call to call;
 * numbers, strings, booleans and null are part of what is recorded, so that every new value records anew, and the
 * newest 32 recordings are kept. A number that changes at every call is better given as a tensor.
 *
 * What the step uses from outside is recorded as it was: captured tensors keep the contents of the first call (only
 * parameters and buffers are read anew), captured numbers and strings their value; learning rates follow the optimizer.
 * Inside, nothing can be read; the returned tensors (alone, or in arrays, plain objects and maps) are read outside.
 */
export function compile<A extends readonly unknown[], R>(fn: (...args: A) => R): Compiled<A, R> {
  let traces = 0;
  /** The most recently used first. */
  let recordings: Recording[] = [];
  const step = (...args: A): R => {
    const rt = runtime();
    if (rt.tracing) return fn(...args);
    rt.flush();
    const { key, tensors } = keyOf(rt, args);
    const structure = structureKey();
    const known = recordings.find((r) => r.key === key && r.structure === structure && fits(r));
    if (known) {
      recordings = [known, ...recordings.filter((r) => r !== known)];
      return replay(rt, known, tensors) as R;
    }
    const made = record(rt, fn, args, tensors);
    traces++;
    // The structure may have moved while parameters were placed.
    recordings = keepNewest(rt, [{ ...made, key, structure: structureKey() }, ...recordings]);
    const { cut, results, host } = made.trace;
    for (const effect of host) effect();
    rt.submit(cut, { results, sources: argumentSources(made, tensors) }, true);
    return made.template(results, tensors) as R;
  };
  return Object.defineProperty(step, "traces", { get: () => traces }) as Compiled<A, R>;
}

/**
 * What a compiled step would do with these arguments: its plan (dispatches, work, memory), made without running anything
 * or taking memory for it. `fn` is called once and its changes of state are taken back; only the places of parameters in
 * flat state stay. What was recorded before runs first. Throws a ThawError on the float64 interpreter, which makes no plans, and inside a step.
 */
export async function planOf<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  ...args: A
): Promise<Plan> {
  const rt = runtime();
  if (rt.tracing) throw new ThawError("planOf: it was called inside a compiled step; call it outside");
  const backend = await rt.backend();
  if (!backend.plan) throw new ThawError(`planOf: the ${backend.name} makes no plans; use a GPU`);
  rt.flush();
  const { trace, release } = record(rt, fn, args, readArguments(args).tensors);
  try {
    undo(trace);
    return backend.plan(trace.cut);
  } finally {
    release();
  }
}

/** Under noGrad a step records something else. */
function keyOf(rt: Runtime, args: readonly unknown[]): Arguments {
  const { key, tensors } = readArguments(args);
  return { key: `${rt.gradEnabled ? "grad" : "noGrad"}|${key}`, tensors };
}

/** Recordings of so many structures are kept: train, eval, and the same once more with other layers frozen. */
const MAX_STRUCTURES = 4;
const MAX_RECORDINGS = 32;

/** The recordings that are kept, the newest first; the others and their memory on the device go. */
function keepNewest(rt: Runtime, newestFirst: readonly Recording[]): Recording[] {
  const structures = new Set<string>();
  return newestFirst.filter((r, i) => {
    structures.add(r.structure);
    if (i < MAX_RECORDINGS && structures.size <= MAX_STRUCTURES) return true;
    r.release();
    rt.forget(r.trace.cut);
    return false;
  });
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
function replay(rt: Runtime, r: Recording, given: readonly Tensor[]): unknown {
  for (const effect of r.trace.host) effect();
  restoreGrads(rt, r);
  for (const { slice } of r.trace.cut.effects) slice.storage.change(slice);
  const results = r.trace.results.map((old) => new Result(old));
  const out = r.template(results, given);
  rt.submit(r.trace.cut, { results, sources: argumentSources(r, given) }, true);
  return out;
}
