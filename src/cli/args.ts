// Command lines: options as tables, from which parsing, checking and the text of --help follow.

import { parseArgs } from "node:util";
import { messageOf, nearest, UsageError } from "../core/error.ts";

export interface OptionSpec {
  readonly kind: "flag" | "text" | "number" | "whole" | "list";
  /** What the value is called in --help. */
  readonly value?: string;
  readonly help: string;
}

export type Options = Readonly<Record<string, OptionSpec>>;

/** Words of a list option that stand alone: what follows them is no part of the list. */
const ALONE = ["all", "none", "trunk", "features"];

export const COMMON: Options = {
  json: {
    kind: "flag",
    help: "one JSON object a line on standard output, everything else on standard error",
  },
  debug: { kind: "flag", help: "show where an error comes from" },
  help: { kind: "flag", help: "this text" },
};

type ValueOf<S extends OptionSpec> = S["kind"] extends "flag"
  ? boolean
  : S["kind"] extends "number" | "whole"
    ? number
    : S["kind"] extends "list"
      ? readonly string[]
      : string;

export type Values<O extends Options> = { readonly [K in keyof O]?: ValueOf<O[K]> };

export interface Parsed<O extends Options> {
  readonly values: Values<O>;
  readonly positionals: readonly string[];
}

const isOption = (token: string) => token.startsWith("-") && token !== "-" && !/^-\.?\d/.test(token);

/**
 * Gives each value to its option (`--lr -1` becomes `--lr=-1`), and to a list all that follow it; the last one goes
 * back to the positionals where these would otherwise be too few.
 */
function joined(args: readonly string[], options: Options, least: number): string[] {
  const out: string[] = [];
  const rest: string[] = [];
  let borrowed: number[] = [];
  for (let i = 0; i < args.length; i++) {
    const token = args[i];
    const spec = options[token.replace(/^--/, "")];
    if (token === "--") {
      rest.push(...args.slice(i + 1));
      break;
    }
    if (!token.startsWith("--") || !spec || spec.kind === "flag") {
      (isOption(token) ? out : rest).push(token);
      continue;
    }
    if (args[i + 1] === undefined || isOption(args[i + 1])) {
      throw new UsageError(`${token} needs a value${spec.value ? `, ${spec.value}` : ""}`);
    }
    out.push(`${token}=${args[++i]}`);
    if (spec.kind !== "list") continue;
    if (ALONE.includes(args[i])) {
      if (ALONE.includes(args[i + 1]))
        throw new UsageError(`${token} ${args[i]} stands alone, but ${args[i + 1]} follows it`);
      continue;
    }
    for (borrowed = []; args[i + 1] !== undefined && !isOption(args[i + 1]); ) {
      borrowed.push(out.push(`${token}=${args[++i]}`) - 1);
    }
  }
  while (rest.length < least && borrowed.length > 0) {
    const [back] = out.splice(borrowed.pop() as number, 1);
    rest.unshift(back.slice(back.indexOf("=") + 1));
  }
  return [...out, "--", ...rest];
}

function typed(name: string, spec: OptionSpec, raw: string | boolean | readonly string[]): unknown {
  if (spec.kind === "list") return (raw as string[]).flatMap((text) => text.split(",")).map((t) => t.trim());
  if (spec.kind !== "number" && spec.kind !== "whole") return raw;
  const text = String(raw).trim();
  const n = Number(text);
  if (text === "" || !Number.isFinite(n)) throw new UsageError(`--${name} must be a number, not ${raw}`);
  if (spec.kind === "whole" && !Number.isSafeInteger(n))
    throw new UsageError(`--${name} must be a whole number, not ${raw}`);
  return n;
}

/** Throws UsageError for unknown options (suggesting the nearest), missing values and what is no number. */
export function parse<O extends Options>(
  args: readonly string[],
  own: O,
  least = 0,
): Parsed<O & typeof COMMON> {
  const options: Options = { ...own, ...COMMON };
  const table = Object.fromEntries(
    Object.entries(options).map(([name, { kind }]) => [
      name,
      { type: kind === "flag" ? ("boolean" as const) : ("string" as const), multiple: kind === "list" },
    ]),
  );
  // With --help nothing else matters, the number of arguments included.
  const tokens =
    args.includes("--help") || args.includes("-h") ? ["--help", "--"] : joined(args, options, least);
  try {
    const { values, positionals } = parseArgs({ args: tokens, options: table, allowPositionals: true });
    const pairs = Object.entries(values).map(([name, raw]) => [
      name,
      typed(name, options[name], raw as string),
    ]);
    return { values: Object.fromEntries(pairs), positionals };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(explained(messageOf(error), options));
  }
}

function explained(message: string, options: Options): string {
  const unknown = /Unknown option '(--?[^'=]+)/.exec(message)?.[1];
  if (!unknown) return message.split("\n")[0];
  const near = nearest(unknown.replace(/^-+/, ""), Object.keys(options));
  return `there is no option ${unknown}${near ? `; did you mean --${near}?` : ""}`;
}

/** The table of options for --help. */
export function optionsHelp(options: Options): string {
  const rows = Object.entries({ ...options, ...COMMON }).map(([name, { value, help }]) => {
    return [`--${name}${value ? ` ${value}` : ""}`, help] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows
    .map(([left, help]) => `  ${left.padEnd(width)}${wrapped(help, 108 - width, width + 2)}`)
    .join("\n");
}

function wrapped(text: string, width: number, indent: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}
