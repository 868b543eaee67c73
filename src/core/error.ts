// The forms of error that Thaw throws, and nothing else: every message names the culprit, what was expected and
// what came. A UsageError ends the command line with exit code 2, every other ThawError with 1.

/** Base of every error Thaw throws on purpose: its message is one plain sentence meant for the user. */
export class ThawError extends Error {
  override name = "ThawError";
}

/** Shapes or dtypes that do not fit an operation; thrown at the line that builds it. */
export class ShapeError extends ThawError {
  override name = "ShapeError";
}

/** A wrong argument or option: the caller can mend it without looking at data. */
export class UsageError extends ThawError {
  override name = "UsageError";
}

/** A file, picture or checkpoint that cannot be used; names the file. */
export class DataError extends ThawError {
  override name = "DataError";
}

/** No usable adapter, a missing limit or feature, or work that the device refused. */
export class DeviceError extends ThawError {
  override name = "DeviceError";
}

/** The GPU device went away; every pending and later read of it rejects with this. */
export class DeviceLost extends DeviceError {
  override name = "DeviceLost";
}

/** The device could not give the memory that a plan needs. */
export class OutOfMemory extends DeviceError {
  override name = "OutOfMemory";
}

/** Throws a ShapeError unless `ok`; `message` is only built when it is needed. */
export function checkShape(ok: boolean, message: () => string): void {
  if (!ok) throw new ShapeError(message());
}

/** The text of an unknown thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A value of any kind, for messages: `"abc"`, `3`, `an array`, `a Map`. */
export function tell(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
    case "bigint":
      return `${value}n`;
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    case "object": {
      if (value === null) return "null";
      if (Array.isArray(value)) return "an array";
      const kind = Object.getPrototypeOf(value)?.constructor?.name ?? "Object";
      return kind === "Object" ? "an object" : `${/^[AEIOU]/.test(kind) ? "an" : "a"} ${kind}`;
    }
    default:
      return Object.is(value, -0) ? "-0" : String(value);
  }
}

/** The candidate nearest to `word` by edit distance, or null when nothing is close enough to be a typo. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const d = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, swap));
    }
    row = next;
  }
  return row[b.length];
}
