// npm run mutate: would the tests notice? Applies the mutations of mutations.ts one at a time to a copy of the project,
// runs the tests that should catch each, and says which were caught. The same tests must first pass on the copy as it
// is, so that a test that fails anyway catches nothing.

import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MUTATIONS, type Mutation, misfit } from "./mutations.ts";

const ROOT = resolve(fileURLToPath(import.meta.url), "../..");
const COPIED = ["src", "shaders", "scripts", "test", "package.json", "tsconfig.json", "vitest.config.ts"];

const HELP = `Usage: npm run mutate [-- OPTIONS]

Breaks a copy of the project in ${MUTATIONS.length} ways, one at a time, and runs the tests that should notice each.
Prints "caught" or "missed" with the seconds it took; ends with 1 if anything was missed.

  --only NAME   only this mutation; may be given several times
  --list        print the mutations and what each proves, and run nothing
  --help        print this`;

/** What vitest's JSON reporter writes, as far as it is used here. */
interface Report {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

interface Outcome {
  readonly seconds: number;
  readonly passed: number;
  /** Names of failed tests. */
  readonly failed: readonly string[];
  /** Why there is no verdict: a file that could not be loaded, or a run that died. */
  readonly broken: string | null;
  readonly timedOut: boolean;
}

/** Runs a mutation's tests in the copy, at most `limit` seconds. */
async function test(copy: string, m: Mutation, limit: number): Promise<Outcome> {
  const out = join(copy, "report.json");
  await rm(out, { force: true });
  const args = [
    join(ROOT, "node_modules/vitest/vitest.mjs"),
    ...["run", ...m.tests, "--bail", "1", "--reporter", "json", "--outputFile", out],
    ...(m.only ? ["-t", m.only] : []),
  ];
  const began = performance.now();
  const env = { XDG_RUNTIME_DIR: tmpdir(), ...process.env, CI: "true" };
  const child = spawn(process.execPath, args, { cwd: copy, env, stdio: ["ignore", "pipe", "pipe"] });
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
    child.kill("SIGTERM");
  }, limit * 1000);
  await new Promise((done) => child.on("close", done));
  clearTimeout(timer);
  process.off("exit", end);
  const seconds = (performance.now() - began) / 1000;
  const text = await readFile(out, "utf8").catch(() => null);
  if (text === null) {
    const broken = timedOut ? null : `vitest ended without a report: ${printed.trim()}`;
    return { seconds, passed: 0, failed: [], broken, timedOut };
  }
  const report = JSON.parse(text) as Report;
  const tests = report.testResults.flatMap((f) => f.assertionResults);
  const failed = tests.filter((t) => t.status === "failed").map((t) => t.fullName);
  const unloaded = report.testResults.find((f) => f.status === "failed" && failed.length === 0);
  return { seconds, passed: report.numPassedTests, failed, broken: unloaded?.message ?? null, timedOut };
}

/** Says on standard error what is going on, over the same line on a terminal. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else if (text) process.stderr.write(`${text}\n`);
}

const selection = (m: Mutation) => `${m.tests.join(" ")} ${m.only ?? ""}`;

/** The tests on the copy as it is: their time, or the reason why they say nothing. */
async function control(copy: string, m: Mutation): Promise<number | string> {
  const { failed, broken, passed, seconds, timedOut } = await test(copy, m, 600);
  if (timedOut) return "its tests take more than 600 s on the project as it is";
  if (broken || failed.length > 0)
    return `its tests fail on the project as it is: ${broken ?? failed.join("; ")}`;
  return passed > 0 ? seconds : "none of its tests ran on the project as it is";
}

type Verdict = "caught" | "missed" | "error";

async function judge(copy: string, m: Mutation, usual: number): Promise<[Verdict, string, number]> {
  const file = join(copy, m.file);
  const text = await readFile(file, "utf8");
  await writeFile(
    file,
    text.replace(m.from, () => m.to),
  );
  try {
    // Other work on the machine may slow a run down; a mutation that makes it endless is caught all the same.
    const { failed, broken, seconds, timedOut } = await test(copy, m, 60 + 5 * usual);
    if (timedOut) return ["caught", "the tests did not end", seconds];
    if (broken)
      return ["error", `the mutated project does not load, which proves nothing: ${broken}`, seconds];
    return failed.length > 0 ? ["caught", `by "${failed[0]}"`, seconds] : ["missed", "", seconds];
  } finally {
    await writeFile(file, text);
  }
}

const line = (verdict: string, seconds: number, m: Mutation, detail: string) =>
  `${verdict.padEnd(7)} ${seconds.toFixed(1).padStart(6)} s  ${m.name.padEnd(22)} ${m.proves}${detail && `\n${" ".repeat(18)}${detail}`}`;

async function run(copy: string, chosen: readonly Mutation[]): Promise<number> {
  const began = performance.now();
  const usual = new Map<string, number | string>();
  const count = { caught: 0, missed: 0, error: 0 };
  for (const [i, m] of chosen.entries()) {
    const at = `${i + 1}/${chosen.length} ${m.name}`;
    const key = selection(m);
    if (!usual.has(key)) {
      progress(`${at}: ${key.trim()}, as it is …`);
      usual.set(key, await control(copy, m));
    }
    const known = usual.get(key) as number | string;
    progress(`${at}: ${key.trim()}, mutated …`);
    const [verdict, detail, seconds] =
      typeof known === "string" ? (["error", known, 0] as const) : await judge(copy, m, known);
    count[verdict]++;
    progress("");
    console.log(line(verdict, seconds, m, detail));
  }
  const total = ((performance.now() - began) / 1000).toFixed(0);
  const errors = count.error > 0 ? `, ${count.error} without a verdict` : "";
  console.log(
    `\n${chosen.length} mutations: ${count.caught} caught, ${count.missed} missed${errors}, ${total} s`,
  );
  return count.caught === chosen.length ? 0 : 1;
}

/** A copy of what the tests need, with the installed packages linked. */
async function copyProject(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "thaw-mutate-"));
  for (const name of COPIED) await cp(join(ROOT, name), join(copy, name), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"), "junction");
  return copy;
}

async function misfits(): Promise<string[]> {
  const found = await Promise.all(
    MUTATIONS.map(async (m) => misfit(m, await readFile(join(ROOT, m.file), "utf8").catch(() => ""))),
  );
  return found.filter((f) => f !== null);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      list: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const unknown = values.only?.find((n) => !MUTATIONS.some((m) => m.name === n));
  if (unknown !== undefined) {
    console.error(`mutate: there is no mutation called ${unknown} (--list prints them)`);
    return 2;
  }
  const chosen = MUTATIONS.filter((m) => values.only?.includes(m.name) ?? true);
  if (values.list) {
    for (const m of chosen) console.log(`${m.name.padEnd(22)} ${m.file}\n${" ".repeat(23)}${m.proves}`);
    return 0;
  }
  const rotten = await misfits();
  for (const r of rotten) console.error(`mutate: ${r}`);
  if (rotten.length > 0) return 1;
  const copy = await copyProject();
  const remove = () => rm(copy, { recursive: true, force: true });
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void remove().then(() => process.exit(130)));
  try {
    return await run(copy, chosen);
  } finally {
    await remove();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const { message, code } = error as NodeJS.ErrnoException;
  console.error(`mutate: ${message}`);
  process.exitCode = code?.startsWith("ERR_PARSE_ARGS") ? 2 : 1;
}
