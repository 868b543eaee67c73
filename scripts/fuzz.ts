// npm run fuzz: do the readers of weight files survive damage? Every file of the corpus, which the project made itself, is
// read whole, cut short at every 64th of its length, and changed at random many times. A reader may read or refuse with a
// DataError of one line; it may not throw anything else, hang, or take memory that the file does not justify. The reading
// is done by a worker, so that a hang can be seen and ended.

import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { wholeNumber } from "../examples/support.ts";
import { UsageError } from "../src/core/error.ts";
import { corpus, MEMORY, PARTS } from "./fuzz_corpus.ts";
import type { Finding, FuzzJob, Tally } from "./fuzz_worker.ts";
import { progress, runMain } from "./vitest.ts";

/** A read that takes longer hangs. */
const HANG_MS = 10_000;

const HELP = `Usage: npm run fuzz [-- OPTIONS]

Damages weight files of every format and reads them. Prints what each format made of it; ends with 1 if a reader threw
anything but a DataError of one line, took longer than ${HANG_MS / 1000} s or more than ${MEMORY / 2 ** 20} MiB.

  --trials N    random mutations in all, shared out evenly to the files (default 100000)
  --seed N      seed of the mutations (default 0)
  --only TEXT   only files whose name contains it
  --trial N     with --only: this one trial again, to look at it; -1 to -${PARTS} are the file cut short
  --help        print this`;

/** Runs a job in a worker; a read that does not end is a finding, and the worker goes on behind it. */
async function runJob(job: FuzzJob, onTrial: (trial: number) => void): Promise<Tally> {
  const total: Tally = { read: 0, refused: 0, findings: [] };
  let from = job.from;
  while (from < job.to) {
    const part = await runWorker({ ...job, from }, onTrial);
    total.read += part.tally.read;
    total.refused += part.tally.refused;
    total.findings.push(...part.tally.findings);
    from = part.next;
  }
  return total;
}

async function runWorker(
  job: FuzzJob,
  onTrial: (trial: number) => void,
): Promise<{ tally: Tally; next: number }> {
  // [0] the trial in progress, [1] read, [2] refused: also seen of a worker that hangs.
  const shared = new Int32Array(new SharedArrayBuffer(12));
  shared[0] = job.from;
  const worker = new Worker(new URL("./fuzz_worker.ts", import.meta.url), {
    workerData: { ...job, shared },
    resourceLimits: { maxOldGenerationSizeMb: MEMORY / 2 ** 20 },
  });
  const findings: Finding[] = [];
  worker.on("message", (finding: Finding) => findings.push(finding));
  let last = { trial: job.from, at: performance.now() };
  let hung = false;
  const watch = setInterval(() => {
    const trial = Atomics.load(shared, 0);
    onTrial(trial);
    if (trial !== last.trial) last = { trial, at: performance.now() };
    else if (performance.now() - last.at > HANG_MS) {
      hung = true;
      void worker.terminate();
    }
  }, 200);
  const failure = await new Promise<string | null>((resolve) => {
    worker.once("error", (error) => resolve(String(error)));
    worker.once("exit", () => resolve(null));
  });
  clearInterval(watch);
  const trial = Atomics.load(shared, 0);
  const ended = trial >= job.to && failure === null && !hung;
  if (!ended)
    findings.push({
      trial,
      what: failure ?? (hung ? `took longer than ${HANG_MS / 1000} s` : "ended the worker"),
    });
  const tally = { read: Atomics.load(shared, 1), refused: Atomics.load(shared, 2), findings };
  return { tally, next: ended ? job.to : trial + 1 };
}

function optionsOf() {
  const { values } = parseArgs({
    options: {
      trials: { type: "string", default: "100000" },
      seed: { type: "string", default: "0" },
      only: { type: "string", default: "" },
      trial: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  return {
    help: values.help,
    only: values.only,
    trials: wholeNumber("trials", values.trials, 1),
    seed: wholeNumber("seed", values.seed, 0),
    trial: values.trial === undefined ? null : wholeNumber("trial", values.trial, -PARTS),
  };
}

await runMain("fuzz", async () => {
  const o = optionsOf();
  if (o.help) {
    console.log(HELP);
    return 0;
  }
  const files = (await corpus()).filter(({ name }) => name.includes(o.only));
  if (files.length === 0) throw new UsageError(`--only ${o.only} fits no file of the corpus`);
  const share = Math.ceil(o.trials / files.length);
  let found = 0;
  let all = 0;
  for (const [i, file] of files.entries()) {
    const range = o.trial === null ? { from: -PARTS, to: share } : { from: o.trial, to: o.trial + 1 };
    const tally = await runJob({ ...file, seed: o.seed, ...range }, (trial) => {
      progress(`${i + 1} of ${files.length}: ${file.name}, trial ${trial} of ${share}`);
    });
    progress("");
    found += tally.findings.length;
    all += tally.read + tally.refused;
    const bytes = file.bytes.length.toLocaleString("en");
    console.log(`${file.name} (${bytes} bytes): ${tally.read} read, ${tally.refused} refused`);
    for (const f of tally.findings) console.log(`  trial ${f.trial}: ${f.what}`);
  }
  console.log(`${all} damaged files of ${files.length}: ${found} findings`);
  return found === 0 ? 0 : 1;
});
