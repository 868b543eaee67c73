// npm run test:all: the suite under everything that may be switched. First all tests as they are, with every point of
// every kernel's space; then the tests that open the engine by THAW_INIT (test/lib/test_options.ts) with each rewrite
// and cache off, with falsely small bindings, without subgroups, with the kernels of GPUs; then those on the device once
// more on SwiftShader.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { InitOptions } from "../src/index.ts";
import { REWRITES } from "../src/schedule/rewrites/index.ts";
import { SWIFTSHADER } from "../test/browser/chromium.ts";
import { type Outcome, progress, ROOT, runMain, runVitest } from "./vitest.ts";

interface Row {
  readonly name: string;
  /** Under these options of init, the tests that follow them. */
  readonly init?: InitOptions;
  /** Without `init`: these arguments of vitest. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Why it cannot run here. */
  readonly missing?: string;
}

const OFF: InitOptions = { rewrites: false, hoist: false, reuseSlots: false };
const MIB: InitOptions = { limits: { maxStorageBufferBindingSize: 1 << 20 } };

const ROWS: readonly Row[] = [
  { name: "as it is, every kernel point", args: [], env: { THAW_TEST: "all" } },
  { name: "all rewrites off", init: { rewrites: false } },
  ...REWRITES.map((r): Row => ({ name: `${r} off`, init: { rewrites: { [r]: false } } })),
  { name: "hoisting off", init: { hoist: false } },
  { name: "slot reuse off", init: { reuseSlots: false } },
  { name: "rewrites, hoisting, slots off", init: OFF },
  { name: "subgroups off", init: { subgroups: false } },
  { name: "bindings of 1 MiB", init: MIB },
  { name: "1 MiB and all of these off", init: { ...OFF, ...MIB, subgroups: false } },
  { name: "kernels of GPUs", init: {}, env: { THAW_KERNELS: "gpu" } },
  SWIFTSHADER
    ? {
        name: "on SwiftShader",
        // The other files start processes that look at the machine, not at the engine.
        args: ["--project", "dawn", "--exclude", "**/{bench,cli}.test.ts"],
        env: { VK_DRIVER_FILES: SWIFTSHADER, VK_ICD_FILENAMES: SWIFTSHADER },
      }
    : { name: "on SwiftShader", missing: "Chromium's SwiftShader was not found" },
];

const HELP = `Usage: npm run test:all [-- OPTIONS]

Runs the tests ${ROWS.length} times: as they are, with each rewrite and cache off, with bindings of 1 MiB,
with the kernels of GPUs, and on SwiftShader. Ends with 1 if any test failed. It takes a good half hour on two cores.

  --only NAME   only rows whose name contains this; may be given several times
  --list        print the rows and run nothing
  --help        print this`;

/** Test files on the device that open the engine with testOptions, directly or by lib/engine.ts. */
async function followers(): Promise<string[]> {
  const folder = join(ROOT, "test/dawn");
  const files = (await readdir(folder)).filter((f) => f.endsWith(".test.ts")).sort();
  const texts = await Promise.all(files.map((f) => readFile(join(folder, f), "utf8")));
  return files
    .filter((_, i) => /\btestOptions\(|import \{[^}]*\bopen\b[^}]*\} from "\.\.\/lib\/engine/.test(texts[i]))
    .map((f) => `test/dawn/${f}`);
}

async function runRow(row: Row): Promise<Outcome> {
  const args = row.args ?? ["--project", "dawn", ...(await followers())];
  const init = row.init ? { THAW_INIT: JSON.stringify(row.init) } : undefined;
  return runVitest(args, { cwd: ROOT, limit: 7200, env: { ...init, ...row.env } });
}

const cells = (name: string, ...rest: readonly string[]) =>
  `${name.padEnd(32)}${rest.map((c) => c.padStart(9)).join("")}`;

/** The row of the table, with the names of what failed below it. */
function show(row: Row, o: Outcome): string {
  const counts = [o.passed, o.failed.length, o.skipped].map(String);
  const lines = [cells(row.name, ...counts, `${o.seconds.toFixed(0)} s`), ...o.failed.map((f) => `  ${f}`)];
  if (o.broken) lines.push(`  ${o.broken}`);
  if (o.timedOut) lines.push("  did not end");
  return lines.join("\n");
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
  const chosen = ROWS.filter((r) => values.only?.some((part) => r.name.includes(part)) ?? true);
  if (chosen.length === 0) {
    console.error(`test_all: no row's name contains ${values.only?.join(" or ")} (--list prints them)`);
    return 2;
  }
  if (values.list) {
    for (const r of chosen) console.log(r.name);
    return 0;
  }
  const began = performance.now();
  console.log(cells("", "passed", "failed", "skipped", "time"));
  let bad = 0;
  for (const [i, row] of chosen.entries()) {
    if (row.missing !== undefined) {
      console.log(`${row.name.padEnd(32)}  not run: ${row.missing}`);
      continue;
    }
    progress(`${i + 1}/${chosen.length} ${row.name} …`);
    const outcome = await runRow(row);
    if (outcome.failed.length > 0 || outcome.broken || outcome.timedOut || outcome.passed === 0) bad++;
    progress("");
    console.log(show(row, outcome));
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`\n${chosen.length} rows, ${bad === 0 ? "none" : bad} with failures, ${seconds} s`);
  return bad === 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
await runMain("test_all", main);
