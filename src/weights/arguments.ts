// Arguments of the calls that a pickle describes, checked before anything is made of them.

import type { PickleHost } from "./pickle.ts";
import { describe, PyDict, PyList, PySet, PyTuple, type PyValue } from "./values.ts";

/** A call understood by name: data in, data out. */
export type Call = (host: PickleHost, args: readonly PyValue[]) => PyValue;

const MAX_RANK = 64;

/** The items of a list, tuple or set; copying them is work that counts. */
export function itemsOf(host: PickleHost, value: PyValue | undefined, what: string): readonly PyValue[] {
  if (!(value instanceof PyList || value instanceof PyTuple || value instanceof PySet)) {
    throw host.source.error(`its pickle makes a ${what} of ${describe(value)}`);
  }
  host.limits.step(value.items.length);
  return value.items;
}

/** Copies a dict, or a list of (key, value) pairs, into `target`. */
export function copyItems(host: PickleHost, target: PyDict, value: PyValue | undefined): PyDict {
  if (value === undefined || value === null) return target;
  if (value instanceof PyDict) {
    for (const [key, item] of value.entries()) {
      host.limits.step();
      target.set(key, item);
    }
    return target;
  }
  for (const pair of itemsOf(host, value, "dict")) {
    const [key, item, ...more] = itemsOf(host, pair, "dict entry");
    if (key === undefined || item === undefined || more.length > 0) {
      throw host.source.error("its pickle makes a dict of something else than pairs");
    }
    target.set(key, item);
  }
  return target;
}

/** A whole number of at least 0 that is exact in float64. */
export function count(host: PickleHost, value: PyValue | undefined, what: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  const got = typeof value === "number" || typeof value === "bigint" ? String(value) : describe(value);
  throw host.source.error(`its pickle gives ${got} as ${what}`);
}

/** A tuple of counts: a shape or strides. */
export function counts(host: PickleHost, value: PyValue | undefined, what: string): number[] {
  if (!(value instanceof PyTuple || value instanceof PyList) || value.items.length > MAX_RANK) {
    throw host.source.error(
      `its pickle gives ${describe(value)} as ${what}, not a tuple of at most 64 numbers`,
    );
  }
  host.limits.step(value.items.length);
  return value.items.map((item) => count(host, item, what));
}
