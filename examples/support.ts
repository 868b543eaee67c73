// What the example commands share: their ends (0, 1 for a failure, 2 for wrong usage, one sentence without a stack),
// numbers from the command line, and the adapter's name.

import { adapterName as nameOf } from "../src/gpu/device.ts";
import { close, ThawError, UsageError } from "../src/index.ts";
import { runtime } from "../src/runtime/context.ts";

/** Runs a command with its arguments and sets the exit code; ends with the device closed. */
export async function runMain(main: (args: string[]) => Promise<number | undefined>): Promise<void> {
  try {
    process.exitCode = (await main(process.argv.slice(2))) ?? 0;
  } catch (error) {
    const { code = "" } = error as { code?: string };
    const usage = error instanceof UsageError || code.startsWith("ERR_PARSE_ARGS");
    const known = usage || error instanceof ThawError;
    console.error(known && !process.env.DEBUG ? (error as Error).message : error);
    process.exitCode = usage ? 2 : 1;
  } finally {
    await close();
  }
}

/** A whole number of at least `least`. Throws a UsageError that names the option. */
export function wholeNumber(name: string, text: string, least: number): number {
  const n = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(n) || n < least)
    throw new UsageError(`--${name} must be a whole number of at least ${least}, not ${text}`);
  return n;
}

/** The adapter in use, as its driver describes it. */
export async function adapterName(): Promise<string> {
  const { adapter } = await runtime().backend();
  return nameOf(adapter);
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
