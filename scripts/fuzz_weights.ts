// node scripts/fuzz_weights.ts [--trials N] [--seed N] [--only TEXT]: damages every weight file among the fixtures in N
// random ways, and cuts it at every 64th. Exit code 1 where a reader throws anything but a DataError of one sentence,
// takes longer than the limit, or more memory than the file may claim; the damage that did it is printed.

import { readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { hash53 } from "../src/core/hash.ts";
import { Generator } from "../src/core/random.ts";
import { cuts, damaged, outcome } from "../test/lib/damage.ts";

/** The limit of hdf5.node.ts for a small file is 11 s; everything else must be far quicker. */
const MOST_SECONDS = 15;
const MOST_BYTES = 1.5 * 2 ** 30;

const { values } = parseArgs({
  options: {
    trials: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});
const trials = Number(values.trials);
const seed = Number(values.seed);
if (![trials, seed].every((n) => Number.isSafeInteger(n) && n >= 0))
  throw new Error("--trials and --seed must be whole numbers");

const files = ["weights", "formats"].flatMap((part) => {
  const folder = new URL(`../test/fixtures/${part}/`, import.meta.url);
  return readdirSync(folder)
    .filter((name) => /\.(pt|pkl|h5|keras|zip|onnx)$/.test(name) && name !== "loop.h5")
    .map((name) => [`${part}/${name}`, new Uint8Array(readFileSync(new URL(name, folder)))] as const);
});
const chosen = files.filter(([name]) => name.includes(values.only));
if (chosen.length === 0) throw new Error(`no fixture's name has "${values.only}" in it`);

let failures = 0;

/** Reads once; true where it was refused. */
async function attempt(bytes: Uint8Array, what: string): Promise<boolean> {
  const start = performance.now();
  let refused = false;
  try {
    refused = "refused" in (await outcome(bytes, what));
  } catch (error) {
    failures++;
    console.error(error instanceof Error ? error.message : String(error));
  }
  const seconds = (performance.now() - start) / 1000;
  slowest = Math.max(slowest, seconds);
  if (seconds > MOST_SECONDS) {
    failures++;
    console.error(`${what} took ${seconds.toFixed(1)} s`);
  }
  const { rss } = process.memoryUsage();
  if (rss > MOST_BYTES) {
    failures++;
    console.error(`${what}: the process has ${(rss / 2 ** 20).toFixed(0)} MiB`);
  }
  return refused;
}

let slowest = 0;
for (const [name, bytes] of chosen) {
  const random = new Generator(hash53(`${name} ${seed}`));
  slowest = 0;
  let refused = 0;
  const start = performance.now();
  for (const length of cuts(bytes.length)) {
    await attempt(bytes.subarray(0, length), `${name} cut to ${length} bytes`);
  }
  for (let i = 0; i < trials; i++) {
    const { bytes: broken, changes } = damaged(bytes, random);
    if (await attempt(broken, `${name} with ${changes}`)) refused++;
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `${name}: ${trials} ways of damage and 64 cuts, ${refused} refused, ${trials - refused} read, slowest ${slowest.toFixed(2)} s, ${seconds.toFixed(0)} s in all`,
  );
}
process.exitCode = failures > 0 ? 1 : 0;
