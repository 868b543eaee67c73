// The benchmark's course: the machine, the network against torchvision, each distinct kernel, then whole steps, then the
// goals. Each part verifies, then times.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { init } from "../src/index.ts";
import { checkModel } from "./check.ts";
import { coldFirstStep } from "./cold.ts";
import { runCommand } from "./command.ts";
import { type Goal, isStated, sayGoals, stepGoals } from "./goals.ts";
import { plansOf, timeKernels } from "./kernel_course.ts";
import { openBench } from "./machine.ts";
import { sayMachine } from "./machine_line.ts";
import { compareMemory } from "./memory.ts";
import { HELP, type Options, readOptions } from "./options.ts";
import type { Peer } from "./peer.ts";
import { openPeers } from "./peer_setup.ts";
import type { Report } from "./report.ts";
import { type CaseResult, JobFiles, sayChecks, timeCase, verifiedPeers } from "./step_course.ts";
import { backend } from "./thaw.ts";

async function course(o: Options, report: Report, folder: string): Promise<void> {
  await init({ seed: 1 });
  const peers = await openPeers(o.peers, report);
  const devices = await openBench((await backend()).gpu);
  const { software } = devices.gpu.traits;
  const ceilings = await sayMachine(devices, report);
  report.phase("verifying the network");
  sayChecks(report, "thaw", await checkModel());
  const files = new JobFiles(folder);
  const goals: Goal[] = [];
  if (o.kernels > 0) {
    const plans = await plansOf(await files.of(o));
    const fresh = await openBench((await backend()).gpu);
    const reached = await timeKernels(fresh, plans, ceilings, o.kernels, report);
    if (isStated({ what: "all", ...o })) goals.push(...reached);
  }
  try {
    goals.push(...(await steps(o, files, peers, report)));
    const full = o.cases.find((c) => c.what === "all" && isStated(c));
    if (full && software) goals.push(await coldFirstStep(full, await files.of(full), report));
    if (full)
      goals.push(
        await compareMemory(
          peers.find((p) => p.name.startsWith("torch-")),
          report,
        ),
      );
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
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the command; the exit code. */
export const main = (args: readonly string[]): Promise<number> =>
  runCommand({ help: HELP, read: readOptions, run }, args);
