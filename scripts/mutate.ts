// npm run mutate: would the tests notice? Applies the mutations of mutations.ts one at a time to a copy of the project,
// runs the tests that should catch each, and says which were caught. The same tests must first pass on the copy as it
// is, so that a test that fails anyway catches nothing.

import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MUTATIONS, type Mutation, misfit } from "./mutations.ts";
import { progress, ROOT, runMain, runVitest } from "./vitest.ts";

const COPIED = ["src", "shaders", "scripts", "test", "package.json", "tsconfig.json", "vitest.config.ts"];

const HELP = `Usage: npm run mutate [-- OPTIONS]

Breaks a copy of the project in ${MUTATIONS.length} ways, one at a time, and runs the tests that should notice each.
Prints "caught" or "missed" with the seconds it took; ends with 1 if anything was missed.

  --only NAME   only this mutation; may be given several times
  --list        print the mutations and what each proves, and run nothing
  --help        print this`;

/** Runs a mutation's tests in the copy, at most `limit` seconds. */
const test = (copy: string, m: Mutation, limit: number) =>
  runVitest([...m.tests, "--bail", "1", ...(m.only ? ["-t", m.only] : [])], { cwd: copy, limit });

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

await runMain("mutate", main);
