// Reading a command's arguments: one sentence for everything that may not be asked for.

import { type ParseArgsConfig, parseArgs } from "node:util";
import { messageOf, nearest, UsageError } from "../src/core/error.ts";

type OptionTable = NonNullable<ParseArgsConfig["options"]>;

/** Values by name; throws UsageError for an option that there is not, or one without its value. */
export function parse<const T extends OptionTable>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    const unknown = /Unknown option '(--?[^']+)'/.exec(messageOf(error));
    const lacking = /Option '(--\w+)[^']*' argument (?:missing|is ambiguous)/.exec(messageOf(error));
    if (lacking) throw new UsageError(`${lacking[1]} needs a value (--help says which)`);
    if (!unknown) throw new UsageError(messageOf(error).split("\n")[0]);
    const near = nearest(unknown[1].slice(2), Object.keys(options));
    throw new UsageError(
      `there is no option ${unknown[1]}${near ? `; did you mean --${near}?` : ""} (--help lists them)`,
    );
  }
}

/** A whole number of at least `least`; null where the option was not given. */
export function whole(name: string, value: string | undefined, least: number): number | null {
  if (value === undefined) return null;
  const n = Number(value);
  if (value.trim() === "" || !Number.isSafeInteger(n) || n < least)
    throw new UsageError(`--${name} must be a whole number of at least ${least}, got "${value}"`);
  return n;
}
