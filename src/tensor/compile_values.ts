// What goes into a compiled step and comes out of it: which arguments are tensors, the key of the others, and the
// returned structure with its tensors replaced at every call.

import { Variable } from "../autograd/variable.ts";
import { ThawError, UsageError } from "../core/error.ts";
import { show } from "../core/shape.ts";
import type { Result } from "../graph/leaf.ts";
import { isPlain, tensorsIn } from "./functions.ts";
import { Tensor } from "./tensor.ts";

/** Arguments nested deeper than this contain themselves. */
const MAX_DEPTH = 64;

export interface Arguments {
  /** All that a recording depends on: types of tensors, which parameters, and the other values. */
  readonly key: string;
  /** Tensors without memory of their own, in order: they may differ from call to call. */
  readonly tensors: readonly Tensor[];
}

/** Walks the arguments; refuses what two calls could not be told apart by. */
export function readArguments(args: readonly unknown[]): Arguments {
  const tensors: Tensor[] = [];
  const part = (value: unknown, where: string, depth: number): string => {
    if (depth > MAX_DEPTH) throw new UsageError(`compile: ${where.slice(0, 40)}… contains itself`);
    if (value instanceof Tensor) {
      if (!value.variable.state) tensors.push(value);
      return tensorKey(value.variable, where);
    }
    if (Array.isArray(value))
      return `[${Array.from(value, (v, i) => part(v, `${where}[${i}]`, depth + 1)).join()}]`;
    if (isPlain(value)) {
      const entry = ([k, v]: [string, unknown]) =>
        `${JSON.stringify(k)}:${part(v, `${where}.${k}`, depth + 1)}`;
      return `{${Object.entries(value).map(entry).join()}}`;
    }
    return constantKey(value, where);
  };
  return { key: args.map((a, i) => part(a, `argument ${i}`, 0)).join("|"), tensors };
}

function tensorKey(v: Variable, where: string): string {
  v.check();
  if (v.state) {
    const { storage, offset } = v.state;
    return `state ${storage.id}.${offset} ${show(v)} ${v.requiresGrad ? v.id : "-"}`;
  }
  if (v.requiresGrad)
    throw new ThawError(`compile: ${where} requires a gradient; only parameters can inside a compiled step`);
  return show(v);
}

function constantKey(value: unknown, where: string): string {
  if (value === null || value === undefined || typeof value === "boolean") return String(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "string") return JSON.stringify(value);
  const what = typeof value === "object" ? nameOf(value) : typeof value;
  throw new UsageError(
    `compile: ${where} must be a tensor, number, string, boolean or null, or an array or plain object of these, got ${what}; turn data into tensors, and let the step use anything else from outside`,
  );
}

function nameOf(value: object): string {
  return Object.getPrototypeOf(value)?.constructor?.name || "an object";
}

/** The same arguments with their tensors, in order, replaced. */
export function replaceTensors(args: readonly unknown[], next: () => Tensor): unknown[] {
  const replaced = (value: unknown): unknown => {
    if (value instanceof Tensor) return value.variable.state ? value : next();
    if (Array.isArray(value)) return Array.from(value, replaced);
    if (isPlain(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, replaced(v)]));
    return value;
  };
  return args.map(replaced);
}

/** The returned structure of one call: built from its results and tensor arguments. */
export type Template = (results: readonly Result[], given: readonly Tensor[]) => unknown;

/** Where a returned tensor comes from: the results, the arguments, or it is there already. */
export type Place = { readonly result: number } | { readonly argument: number } | { readonly tensor: Tensor };

/** Rebuilds `value` with its tensors replaced by those of the call. */
export function templateOf(value: unknown, place: (t: Tensor) => Place): Template {
  const of = (v: unknown) => templateOf(v, place);
  if (value instanceof Tensor) {
    const at = place(value);
    if ("tensor" in at) return () => at.tensor;
    if ("argument" in at) return (_, given) => given[at.argument];
    return (results) => new Tensor(new Variable(results[at.result], { result: results[at.result] }));
  }
  if (Array.isArray(value)) {
    const parts = value.map(of);
    return (...call) => parts.map((p) => p(...call));
  }
  if (value instanceof Map) {
    const parts = [...value].map(([k, v]) => [k, of(v)] as const);
    return (...call) => new Map(parts.map(([k, p]) => [k, p(...call)]));
  }
  if (isPlain(value)) {
    const parts = Object.entries(value).map(([k, v]) => [k, of(v)] as const);
    return (...call) => Object.fromEntries(parts.map(([k, p]) => [k, p(...call)]));
  }
  return () => value;
}

/** Refuses a returned value that holds tensors where they could not be replaced at the next call. */
export function checkReturned(value: unknown): void {
  const known = new Set(tensorsIn(value));
  const seen = new Set<unknown>();
  const walk = (v: unknown, within: string | null): void => {
    if (typeof v !== "object" || v === null || seen.has(v) || ArrayBuffer.isView(v)) return;
    if (v instanceof Tensor) {
      if (within && !known.has(v) && !v.variable.state)
        throw new UsageError(
          `compile: the step returned a tensor inside of ${within}; return tensors alone or in arrays, plain objects and maps`,
        );
      return;
    }
    seen.add(v);
    const inside = within ?? (Array.isArray(v) || v instanceof Map || isPlain(v) ? null : nameOf(v));
    const parts = v instanceof Map || v instanceof Set ? v.values() : Object.values(v);
    for (const part of parts) walk(part, inside);
  };
  walk(value, null);
}
