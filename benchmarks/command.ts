// What the benchmark's commands have in common: how they begin, end and fail.

import { messageOf, ThawError, UsageError } from "../src/core/error.ts";
import { close } from "../src/index.ts";
import { Report } from "./report.ts";

interface Command<O> {
  readonly help: string;
  /** Throws UsageError for what cannot be done as asked. */
  readonly read: (args: readonly string[]) => O;
  readonly run: (options: O, report: Report) => Promise<void>;
}

/** Runs the command; the exit code: 0, 2 for a usage error, 1 for any other. */
export async function runCommand<O extends { readonly help: boolean; readonly json: boolean }>(
  { help, read, run }: Command<O>,
  args: readonly string[],
): Promise<number> {
  try {
    const options = read(args);
    if (options.help) process.stdout.write(help);
    else await runOn(options, run);
    return 0;
  } catch (error) {
    // An error that nobody threw on purpose is a bug, and its place is wanted.
    const known = error instanceof ThawError;
    process.stderr.write(`${known ? error.message : ((error as Error).stack ?? messageOf(error))}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function runOn<O extends { readonly json: boolean }>(
  options: O,
  run: Command<O>["run"],
): Promise<void> {
  const report = new Report(options.json);
  try {
    await run(options, report);
  } finally {
    report.end();
    await close();
  }
}
