// What a command is.

import { UsageError } from "../core/error.ts";
import type { Options, Values } from "./args.ts";
import type { Output } from "./output.ts";

export interface Context<O extends Options> {
  readonly values: Values<O>;
  readonly positionals: readonly string[];
  readonly out: Output;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

export interface Command<O extends Options = Options> {
  readonly name: string;
  /** After the name: `DIR [options]`. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly about: string;
  /** More for its own --help. */
  readonly more?: string;
  readonly options: O;
  /** How many arguments beside options, and what they are called. */
  readonly arguments: { readonly least: number; readonly most: number };
  /** Whether it has something to save when nobody reads on: it is then aborted in order. */
  readonly saves?: boolean;
  run(context: Context<O>): Promise<void>;
}

/** A command whose table of options types its values. */
export function command<const O extends Options>(c: Command<O>): Command {
  return c as unknown as Command;
}

/** Throws UsageError when there are too few or too many arguments. */
export function checkArguments(c: Command, given: readonly string[]): void {
  const { least, most } = c.arguments;
  const wanted = c.usage.replace(/\s*\[options\]$/, "") || "no arguments";
  if (given.length < least) throw new UsageError(`thaw ${c.name} needs ${wanted}; see thaw ${c.name} --help`);
  if (given.length <= most) return;
  const surplus = given.slice(most);
  const many =
    surplus.length === 1
      ? `${surplus[0]} is one too many`
      : `${surplus.join(" ")} are ${surplus.length} too many`;
  throw new UsageError(`thaw ${c.name} takes ${wanted}: ${many}; see thaw ${c.name} --help`);
}
