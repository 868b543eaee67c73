// node benchmarks/ablation.ts --help
// What each rewrite is worth: the same step with all of them, with one switched off at a time, and with none, every
// variant in a process of its own, their steps taken in turn.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mib } from "../src/core/bytes.ts";
import { type InitOptions, init } from "../src/index.ts";
import { REWRITES } from "../src/schedule/rewrites/index.ts";
import { parse, whole } from "./arguments.ts";
import { checkModel, checkPeerStep, checkTrained } from "./check.ts";
import { runCommand } from "./command.ts";
import type { Loaded } from "./engine.ts";
import { digits } from "./format.ts";
import { Calibration, openBench } from "./machine.ts";
import { sayMachine } from "./machine_line.ts";
import { type Case, checkBatch, STEPS, stepsOf } from "./options.ts";
import { Peer } from "./peer.ts";
import type { PlanSize } from "./plan_size.ts";
import { type Report, round, table } from "./report.ts";
import { JobFiles, sayChecks } from "./step_course.ts";
import { type Row, roundsFor, timeSteps } from "./steps.ts";
import { backend } from "./thaw.ts";

interface AblationOptions {
  readonly cases: readonly Case[];
  readonly samples: number | null;
  readonly json: boolean;
  readonly help: boolean;
}

const HELP = `node benchmarks/ablation.ts [--steps LIST] [--size N] [--batch N] [--samples N] [--json]

What each rewrite of the schedule is worth on DenseNet-121: dispatches, bytes moved, bytes of the plan and time of a step
with all rewrites, with each switched off alone, and with none. Every variant is a process; their steps are taken in turn,
after their losses have agreed.

  --steps LIST   which steps, of ${STEPS.join(",")} (default: all)
  --size N       height and width of the pictures (default 64)
  --batch N      pictures in a batch (default 8)
  --samples N    timed steps of each variant (default: as many as fit into some minutes, at least 3)
  --json         one JSON object a line on standard output, everything else on standard error
  --help         this text

Rewrites: ${REWRITES.join(", ")}.
foldBatchNorm acts where something is frozen: see it with --steps last or head.
`;

const OPTIONS = {
  steps: { type: "string" },
  size: { type: "string" },
  batch: { type: "string" },
  samples: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean" },
} as const;

export function readAblation(args: readonly string[]): AblationOptions {
  const v = parse(args, OPTIONS);
  const [size, batch] = [whole("size", v.size, 29) ?? 64, whole("batch", v.batch, 1) ?? 8];
  checkBatch(batch, size);
  return {
    cases: stepsOf(v.steps ?? "all").map((what) => ({ what, batch, size })),
    samples: whole("samples", v.samples, 1),
    json: v.json ?? false,
    help: v.help ?? false,
  };
}

interface Variant {
  /** What is switched off. */
  readonly off: string;
  readonly options: InitOptions;
}

export const VARIANTS: readonly Variant[] = [
  { off: "nothing", options: {} },
  ...REWRITES.map((name) => ({ off: name, options: { rewrites: { [name]: false } } })),
  { off: "all of them", options: { rewrites: false } },
];

const child = ({ off, options }: Variant): Peer =>
  new Peer({
    name: off,
    command: process.execPath,
    args: [fileURLToPath(new URL("./thaw_child.ts", import.meta.url)), JSON.stringify(options)],
  });

interface Result {
  readonly row: Row;
  readonly size: PlanSize;
}

function say(c: Case, { row, size }: Result, report: Report): void {
  report.line({
    kind: "ablation",
    what: c.what,
    shape: [c.batch, 3, c.size, c.size],
    off: row.engine,
    dispatches: size.dispatches,
    pipelines: row.pipelines,
    gflop: round(size.gflop),
    bytesMoved: size.bytesMoved,
    planBytes: size.planBytes,
    ms: round(row.ms),
    p10: round(row.p10),
    p90: round(row.p90),
    n: row.n,
    cpuMs: row.cpuMs === null ? null : round(row.cpuMs),
    calibrationMs: round(row.calibrationMs),
    times: round(row.timesFirst),
  });
}

function resultTable(what: string, results: readonly Result[]): string {
  return table(
    [
      `${what}, switched off`,
      "dispatches",
      "pipelines",
      "GFLOP",
      "MB moved",
      "plan",
      "ms",
      "p10",
      "p90",
      "n",
      "CPU ms",
      "× with all",
    ],
    results.map(({ row, size }) => [
      row.engine,
      `${size.dispatches}`,
      `${row.pipelines}`,
      digits(size.gflop),
      (size.bytesMoved / 1e6).toFixed(0),
      mib(size.planBytes),
      digits(row.ms),
      digits(row.p10),
      digits(row.p90),
      `${row.n}`,
      digits(row.cpuMs ?? 0),
      digits(row.timesFirst),
    ]),
  );
}

async function timeVariants(c: Case, file: string, o: AblationOptions, report: Report): Promise<void> {
  report.phase(`timing ${c.what} with and without each rewrite`);
  const peers = VARIANTS.map(child);
  const calibration = await Calibration.open(await openBench((await backend()).gpu));
  try {
    const loaded: Loaded[] = [];
    for (const p of peers) loaded.push(await p.load({ what: c.what, weights: file }));
    for (const [i, p] of peers.entries()) checkTrained(p.name, loaded[i], loaded[0]);
    const rows = await timeSteps(peers, calibration, roundsFor(o.samples, peers.length), {
      warming: (name) => report.progress(`${c.what}: first steps without ${name}`),
      warm: ([first, ...others]) => {
        for (const w of others)
          sayChecks(report, `without ${w.engine}`, checkPeerStep({ name: `without ${w.engine}` }, w, first));
      },
      round: (n) => report.progress(`${c.what}: round ${n}`),
    });
    const results: Result[] = [];
    for (const [i, row] of rows.entries())
      results.push({ row, size: (await peers[i].ask("size")) as unknown as PlanSize });
    for (const r of results) say(c, r, report);
    if (!report.json) report.text(resultTable(c.what, results));
  } finally {
    calibration.close();
    for (const p of peers) await p.close();
  }
}

async function run(o: AblationOptions, report: Report): Promise<void> {
  await init({ seed: 1 });
  await sayMachine(await openBench((await backend()).gpu), report);
  report.phase("verifying the network");
  sayChecks(report, "thaw", await checkModel());
  const folder = await mkdtemp(join(tmpdir(), "thaw-ablation-"));
  try {
    const files = new JobFiles(folder);
    for (const c of o.cases) await timeVariants(c, await files.of(c), o, report);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await runCommand({ help: HELP, read: readAblation, run }, process.argv.slice(2));
