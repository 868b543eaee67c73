// JSON texts within weight files, as objects whose fields are checked by those who read them.

import type { Source } from "./source.ts";

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object that some bytes hold as JSON; `what` is what messages call it. Throws DataError where it is none. */
export function parseJson(source: Source, bytes: Uint8Array, what: string): Json {
  // Objects take many times the bytes of their text.
  source.spend(16 * bytes.length, what);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw source.error(`${what} is no JSON: damaged or cut short`);
  }
  if (!isObject(value)) throw source.error(`${what} is no JSON object`);
  return value;
}

/** The object of a text that may be anything, or null. */
export function tryJson(text: unknown): Json | null {
  if (typeof text !== "string") return null;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
