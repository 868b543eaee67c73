// Runs vitest in a process of its own and says how it went: what mutate.ts and test_all.ts have in common.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(fileURLToPath(import.meta.url), "../..");

/** What vitest's JSON reporter writes, as far as it is used here. */
interface Report {
  readonly numPassedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

export interface Outcome {
  readonly seconds: number;
  readonly passed: number;
  readonly skipped: number;
  /** Full names of failed tests. */
  readonly failed: readonly string[];
  /** Why there is no verdict: files that could not be loaded, or a run that died. */
  readonly broken: string | null;
  readonly timedOut: boolean;
}

export interface VitestOptions {
  readonly cwd: string;
  /** Seconds after which it is ended. */
  readonly limit: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** `vitest run …args`. */
export async function runVitest(args: readonly string[], options: VitestOptions): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "thaw-vitest-"));
  const out = join(folder, "report.json");
  try {
    const ended = await runChild([...args, "--reporter", "json", "--outputFile", out], options);
    const text = await readFile(out, "utf8").catch(() => null);
    if (text !== null) return { ...ended, ...read(JSON.parse(text) as Report) };
    const broken = ended.timedOut ? null : `vitest ended without a report: ${ended.printed}`;
    return { ...ended, passed: 0, skipped: 0, failed: [], broken };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function read(report: Report): Pick<Outcome, "passed" | "skipped" | "failed" | "broken"> {
  const { numPassedTests: passed, numPendingTests: skipped, testResults } = report;
  const failedIn = (file: (typeof testResults)[number]) =>
    file.assertionResults.filter((t) => t.status === "failed").map((t) => t.fullName);
  const unloaded = testResults.filter((f) => f.status === "failed" && failedIn(f).length === 0);
  const broken = unloaded.map((f) => `${f.name}: ${f.message}`).join("\n") || null;
  return { passed, skipped, failed: testResults.flatMap(failedIn), broken };
}

async function runChild(args: readonly string[], { cwd, limit, env }: VitestOptions) {
  const began = performance.now();
  const child = spawn(process.execPath, [join(ROOT, "node_modules/vitest/vitest.mjs"), "run", ...args], {
    cwd,
    // Mesa complains where there is no such folder.
    env: { XDG_RUNTIME_DIR: tmpdir(), ...process.env, CI: "true", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const end = () => child.kill();
  process.once("exit", end);
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (d) => {
      printed = (printed + d).slice(-4000);
    });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    end();
  }, limit * 1000);
  await new Promise((done) => child.on("close", done));
  clearTimeout(timer);
  process.off("exit", end);
  return { seconds: (performance.now() - began) / 1000, timedOut, printed: printed.trim() };
}

/** Says on standard error what is going on, over the same line on a terminal. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else if (text) process.stderr.write(`${text}\n`);
}

/** Runs a script's `main`: its number is the exit status; options that parseArgs refuses give 2, other errors 1. */
export async function runMain(name: string, main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    console.error(`${name}: ${message}`);
    process.exitCode = code?.startsWith("ERR_PARSE_ARGS") ? 2 : 1;
  }
}
