#!/usr/bin/env node
// The command `thaw`: finds the command, runs it, and turns what it throws into one sentence and an exit code: 2 for a
// wrong command line, 1 for anything else that failed.

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { messageOf, nearest, ThawError, UsageError } from "../core/error.ts";
import { VERSION } from "../core/version.ts";
import { close } from "../tensor/session.ts";
import { optionsHelp, parse } from "./args.ts";
import { type Command, checkArguments } from "./command.ts";
import { convert } from "./convert.ts";
import { doctor } from "./doctor.ts";
import { evaluation } from "./eval.ts";
import { finetuning } from "./finetune.ts";
import { modelList } from "./models.ts";
import { Output } from "./output.ts";
import { prediction } from "./predict.ts";
import { profiling } from "./profile.ts";
import { modelSummary } from "./summary.ts";
import { tuning } from "./tune.ts";
import { knownWeights } from "./weights.ts";

const COMMANDS: readonly Command[] = [
  finetuning,
  evaluation,
  prediction,
  convert,
  modelSummary,
  modelList,
  profiling,
  knownWeights,
  tuning,
  doctor,
];

function overview(): string {
  const width = Math.max(...COMMANDS.map((c) => c.name.length + c.usage.length)) + 3;
  const rows = COMMANDS.map((c) => `  ${`${c.name} ${c.usage}`.padEnd(width)}${c.about}`);
  return `thaw ${VERSION}: fine-tunes pretrained image classifiers on any GPU\n\n${rows.join("\n")}\n\nthaw COMMAND --help says more of each; thaw --version says which Thaw this is.`;
}

function helpOf(c: Command): string {
  const more = c.more ? `\n\n${c.more}` : "";
  return `thaw ${c.name} ${c.usage}\n\n${c.about[0].toUpperCase()}${c.about.slice(1)}.${more}\n\n${optionsHelp(c.options)}`;
}

function find(name: string): Command {
  const found = COMMANDS.find((c) => c.name === name);
  if (found) return found;
  const near = nearest(
    name,
    COMMANDS.map((c) => c.name),
  );
  throw new UsageError(
    `there is no command ${name}${near ? `; did you mean thaw ${near}?` : ""} (thaw --help lists them)`,
  );
}

/** Ctrl-C ends a command in order; a second one ends it at once. */
function interruptible(): AbortController {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort();
    });
  }
  return controller;
}

/** A pipe that is closed early, as `thaw models | head -1` does, is no failure. */
let whenUnread: () => void = () => process.exit(0);

async function dispatch(args: readonly string[]): Promise<void> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    process.stdout.write(`${overview()}\n`);
    return;
  }
  if (name === "--version") {
    process.stdout.write(`${VERSION}\n`);
    return;
  }
  const chosen = find(name);
  const { values, positionals } = parse(rest, chosen.options, chosen.arguments.least);
  if (values["help"]) {
    process.stdout.write(`${helpOf(chosen)}\n`);
    return;
  }
  checkArguments(chosen, positionals);
  const out = new Output(Boolean(values["json"]), process.stdout, process.stderr);
  const controller = interruptible();
  const { signal } = controller;
  if (chosen.saves) whenUnread = () => controller.abort();
  try {
    await chosen.run({ values, positionals, out, signal });
  } catch (error) {
    if (signal.aborted && !(error instanceof ThawError)) throw new ThawError("interrupted");
    throw error;
  } finally {
    out.clear();
    await close();
  }
}

/** Runs a command line; resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    await dispatch(args);
    return 0;
  } catch (error) {
    const text = messageOf(error);
    process.stderr.write(`thaw: ${text}\n`);
    const debug = args.includes("--debug");
    if (debug) process.stderr.write(`${error instanceof Error ? error.stack : ""}\n`);
    else if (!(error instanceof ThawError)) process.stderr.write("(--debug shows where this comes from)\n");
    return error instanceof UsageError ? 2 : 1;
  }
}

const isMain = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isMain) {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // What is written after the first refusal is refused as well.
      if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
      whenUnread();
    });
  }
  process.exitCode = await main(process.argv.slice(2));
}
