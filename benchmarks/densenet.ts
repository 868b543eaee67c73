// The benchmark's course: the machine, the network against torchvision, each distinct kernel, then whole steps, then the
// goals. Each part verifies, then times.

import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf, ThawError, UsageError } from "../src/core/error.ts";
import { close, init } from "../src/index.ts";
import { checkModel } from "./check.ts";
import { type Goal, sayGoals, stepGoals } from "./goals.ts";
import { plansOf, timeKernels } from "./kernel_course.ts";
import { busyNote, type Ceilings, calibrationName, commitName, measureCeilings } from "./machine.ts";
import { HELP, type Options, readOptions } from "./options.ts";
import type { Peer } from "./peer.ts";
import { openPeers } from "./peer_setup.ts";
import { Report, round } from "./report.ts";
import { Runner } from "./runner.ts";
import { type CaseResult, JobFiles, sayChecks, timeCase, verifiedPeers } from "./step_course.ts";
import { backend } from "./thaw.ts";

const ROOT = new URL("../", import.meta.url);

async function machine(runner: Runner, report: Report): Promise<Ceilings> {
  report.phase("measuring the machine");
  const ceilings = await measureCeilings(runner);
  const { name, adapter } = await backend();
  const line = {
    kind: "machine",
    adapter: name,
    ceilingGflops: round(ceilings.gflops),
    ceilingGbps: round(ceilings.gbps),
    commit: commitName(ROOT),
  };
  // What else a reader of a recorded run wants to know: the device, its driver, the host, and how busy it was.
  const { vendor, device, description: driver } = adapter;
  const host = {
    vendor,
    device,
    driver,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    load: round(loadavg()[0]),
  };
  const calibration = calibrationName(runner);
  const when = { node: process.version, date: new Date().toISOString() };
  report.line({ ...line, ...host, calibration, ...when });
  report.text(
    `${line.adapter}: ${line.ceilingGflops} GFLOP/s multiply-add, ${line.ceilingGbps} GB/s copy, commit ${line.commit}`,
  );
  if (calibration === "plain8")
    report.text("this device has no subgroups: the calibration kernel is the plain one, which takes longer");
  const busy = busyNote(host.load, host.cores);
  if (busy) report.text(busy);
  return ceilings;
}

async function course(o: Options, report: Report, folder: string): Promise<void> {
  await init({ seed: 1 });
  const peers = await openPeers(o.peers, report);
  const runner = await Runner.open((await backend()).gpu);
  const { software } = runner.gpu.traits;
  const ceilings = await machine(runner, report);
  report.phase("verifying the network");
  sayChecks(report, "thaw", await checkModel());
  const files = new JobFiles(folder);
  const goals: Goal[] = [];
  if (o.kernels > 0) {
    const plans = await plansOf(await files.of(o));
    const fresh = await Runner.open((await backend()).gpu);
    goals.push(...(await timeKernels(fresh, plans, ceilings, o.kernels, report)));
  }
  try {
    goals.push(...(await steps(o, files, peers, report)));
  } finally {
    for (const p of peers) await p.close();
  }
  sayGoals(goals, software, report);
}

async function steps(o: Options, files: JobFiles, all: readonly Peer[], report: Report): Promise<Goal[]> {
  // A forward pass is verified by what its first steps give.
  const trains = o.cases.some((c) => c.what !== "forward");
  const peers = trains ? await verifiedPeers(all, await files.of(o), report) : all;
  const results: CaseResult[] = [];
  for (const c of o.cases) results.push(await timeCase(c, await files.of(c), peers, o, report));
  return stepGoals(results);
}

async function run(o: Options, report: Report): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "thaw-bench-"));
  try {
    await course(o, report, folder);
  } finally {
    report.end();
    await close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the command; the exit code: 0, 2 for a usage error, 1 for any other. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options.help) process.stdout.write(HELP);
    else await run(options, new Report(options.json));
    return 0;
  } catch (error) {
    // An error that nobody threw on purpose is a bug, and its place is wanted.
    const known = error instanceof ThawError;
    process.stderr.write(`${known ? error.message : ((error as Error).stack ?? messageOf(error))}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}
