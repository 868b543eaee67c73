// Checks of what users pass: options objects with known names, numbers in range, words of a list. Nothing accepted is
// ignored, so what cannot be honoured throws a UsageError that names the culprit, what was expected and what came.

import { nearest, UsageError } from "./error.ts";

/** Whether `v` is an object written as { … }: of no class. */
export const isPlain = (v: unknown): boolean => {
  if (typeof v !== "object" || v === null) return false;
  const proto = Object.getPrototypeOf(v);
  return proto === Object.prototype || proto === null;
};

/** A value as messages show it: short, and no more of an object than its class unless it says more itself. */
export function shown(v: unknown): string {
  if (typeof v === "string") return JSON.stringify(v);
  if (typeof v === "function") return "a function";
  if (typeof v !== "object" || v === null) return String(v);
  if (Array.isArray(v)) return `[${v.slice(0, 4).map(shown).join(", ")}${v.length > 4 ? ", …" : ""}]`;
  if (isPlain(v)) return `{ ${Object.keys(v).slice(0, 4).join(", ")} }`;
  return v.toString === Object.prototype.toString ? `a ${v.constructor.name}` : String(v);
}

/** Throws unless `options` is a plain object whose names are all among `known`; suggests the nearest. */
export function checkOptions(what: string, options: unknown, known: readonly string[]): void {
  if (!isPlain(options))
    throw new UsageError(
      `${what}: options must be an object such as { ${known[0]}: … }, got ${shown(options)}`,
    );
  checkNames(what, options as object, known);
}

/** Throws for names that are not among `known`. */
export function checkNames(what: string, options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    const hint = near ? `; did you mean ${near}?` : ` (there are ${known.join(", ")})`;
    throw new UsageError(`${what}: there is no option ${key}${hint}`);
  }
}

export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  /** The number must be above `min`, not at it. */
  readonly above?: boolean;
  readonly whole?: boolean;
}

/** Throws unless `v` is a finite number in the range. */
export function checkNumber(what: string, name: string, v: unknown, range: NumberRange = {}): void {
  const {
    min = Number.NEGATIVE_INFINITY,
    max = Number.POSITIVE_INFINITY,
    above = false,
    whole = false,
  } = range;
  const fits = typeof v === "number" && Number.isFinite(v) && (above ? v > min : v >= min) && v <= max;
  if (fits && (!whole || Number.isInteger(v))) return;
  const kind = whole ? "a whole number" : "a number";
  const low = `${above ? "above" : "of at least"} ${min}`;
  const bounds = Number.isFinite(max) ? `from ${min} to ${max}` : Number.isFinite(min) ? low : "";
  throw new UsageError(
    `${what}: ${name} must be ${[kind, bounds].filter(Boolean).join(" ")}, got ${shown(v)}`,
  );
}

/** Throws unless `v` is one of the words. */
export function checkWord(what: string, name: string, v: unknown, words: readonly string[]): void {
  if (typeof v === "string" && words.includes(v)) return;
  const quoted = words.map((w) => `"${w}"`);
  const list = `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
  throw new UsageError(`${what}: ${name} must be ${list}, got ${shown(v)}`);
}

/** Throws unless `v` is true or false. */
export function checkFlag(what: string, name: string, v: unknown): void {
  if (typeof v !== "boolean") throw new UsageError(`${what}: ${name} must be true or false, got ${shown(v)}`);
}
