// The benchmark's course: the machine, the network against torchvision, each distinct kernel, then whole steps. Each
// part verifies, then times.

import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf, ThawError, UsageError } from "../src/core/error.ts";
import type { Ceilings } from "../src/gpu/ceilings.ts";
import { close, init } from "../src/index.ts";
import type { BenchDevices } from "../src/runtime/kernel_bench.ts";
import { planBytes } from "../src/schedule/memory.ts";
import type { Plan } from "../src/schedule/plan.ts";
import { type Checked, checkModel, checkPeerLogits, checkPeerLosses, checkTrained } from "./check.ts";
import { convolutionsOf, costliest } from "./convolutions.ts";
import type { Engine } from "./engine.ts";
import { measure } from "./kernels.ts";
import { busyNote, Calibration, commitName, openBench } from "./machine.ts";
import { HELP, type Options, readOptions, type What } from "./options.ts";
import type { Peer } from "./peer.ts";
import { openPeers } from "./peer_setup.ts";
import { Report, round } from "./report.ts";
import { type Row, roundsFor, timeSteps } from "./steps.ts";
import { comparisons, type KernelRow, kernelSummary, kernelTable, stepTable } from "./tables.ts";
import { backend, ThawEngine, writeJobFile } from "./thaw.ts";

const ROOT = new URL("../", import.meta.url);

async function machine(report: Report): Promise<Ceilings> {
  report.phase("measuring the machine");
  const gpu = await backend();
  const ceilings = await gpu.ceilings();
  const { name, adapter } = gpu;
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
  report.line({ ...line, ...host, node: process.version, date: new Date().toISOString() });
  report.text(
    `${line.adapter}: ${line.ceilingGflops} GFLOP/s multiply-add, ${line.ceilingGbps} GB/s copy, commit ${line.commit}`,
  );
  const busy = busyNote(host.load, host.cores);
  if (busy) report.text(busy);
  return ceilings;
}

function say(report: Report, engine: string, checks: readonly Checked[]): void {
  for (const { what, against, error, bound } of checks) {
    report.line({ kind: "check", engine, what, against, error: round(error), bound: round(bound) });
    report.text(
      `  ${what}: within ${error.toExponential(1)} of ${against} (allowed ${bound.toExponential(1)})`,
    );
  }
}

async function kernels(
  devices: BenchDevices,
  plans: Readonly<Record<string, Plan>>,
  ceilings: Ceilings,
  limit: number,
  report: Report,
): Promise<void> {
  const all = convolutionsOf(plans);
  const list = costliest(all, limit);
  report.phase(
    `timing ${list.length} of ${all.length} distinct convolution kernels, each once its output has matched float64 (of a large one, rows drawn by seed)`,
  );
  const rows: KernelRow[] = [];
  for (const [i, k] of list.entries()) {
    report.progress(`kernel ${i + 1} of ${list.length}: ${k.op} ${k.shape} ${k.variant}`);
    const m = await measure(devices, k, ceilings);
    rows.push({ planned: k, measured: m });
    report.line({
      kind: "kernel",
      engine: "thaw",
      op: k.op,
      shape: k.shape,
      variant: k.variant,
      ms: round(m.ms),
      gflops: round(m.gflops),
      gbps: round(m.gbps),
      ofCeiling: round(m.ofCeiling),
      p10: round(m.p10),
      p90: round(m.p90),
      n: m.n,
      calls: k.calls,
      verified: m.verified.compared,
      elements: m.verified.elements,
      error: round(m.verified.worst),
    });
  }
  if (rows.length > 0 && !report.json) report.text(`${kernelTable(rows)}\n\n${kernelSummary(rows)}`);
}

/** The plans of a forward pass and of a full step, and the logits of the former. */
async function plansOf(file: string): Promise<{ plans: Record<string, Plan>; logits: Float32Array }> {
  const engine = new ThawEngine();
  const plans: Record<string, Plan> = {};
  await engine.load({ what: "all", weights: file });
  await engine.step();
  plans.all = await engine.plan();
  await engine.load({ what: "forward", weights: file });
  const logits = await engine.logits();
  plans.forward = await engine.plan();
  return { plans, logits };
}

async function verifyPeers(
  peers: readonly Peer[],
  file: string,
  logits: Float32Array,
  report: Report,
): Promise<void> {
  for (const peer of peers) {
    report.phase(`verifying ${peer.name}`);
    const { adapter } = await peer.load({ what: "forward", weights: file });
    report.text(`  ${peer.name} runs on ${adapter}`);
    say(report, peer.name, [checkPeerLogits(peer.name, await peer.logits(), logits)]);
    await peer.close();
  }
}

function stepLine(row: Row, what: What, shape: readonly number[], plan: Plan | null, report: Report): void {
  report.line({
    kind: "step",
    engine: row.engine,
    what,
    shape,
    ms: round(row.ms),
    p10: round(row.p10),
    p90: round(row.p90),
    n: row.n,
    calibrationMs: round(row.calibrationMs),
    firstMs: round(row.firstMs),
    dispatches: row.dispatches,
    pipelines: row.pipelines,
    newBuffers: row.newBuffers,
    planBytes: plan && planBytes(plan),
    gpuBytes: row.gpuBytes,
    timesThaw: round(row.timesFirst),
  });
}

async function stepsOf(
  what: What,
  file: string,
  peers: readonly Peer[],
  o: Options,
  report: Report,
): Promise<Row[]> {
  const thaw = new ThawEngine();
  const engines: readonly Engine[] = [thaw, ...peers];
  report.phase(`timing ${what}`);
  const loaded = [];
  for (const e of engines) loaded.push(await e.load({ what, weights: file }));
  for (const [i, p] of peers.entries()) checkTrained(p.name, loaded[i + 1], loaded[0]);
  const calibration = await Calibration.open(await openBench((await backend()).gpu));
  const rounds = roundsFor(o.samples, engines.length);
  const rows = await timeSteps(engines, calibration, rounds, {
    warming: (engine) => report.progress(`${what}: first steps of ${engine}`),
    warm: ([first, ...others]) => {
      for (const w of others) say(report, w.engine, checkPeerLosses(w, first));
    },
    round: (n) => report.progress(`${what}: round ${n}`),
  });
  const plan = await thaw.plan();
  for (const [i, row] of rows.entries())
    stepLine(row, what, [o.batch, 3, o.size, o.size], i === 0 ? plan : null, report);
  if (!report.json) report.text(stepTable(what, rows, planBytes(plan)));
  for (const sentence of comparisons(what, rows)) report.text(sentence);
  calibration.close();
  for (const e of engines) await e.close();
  return rows;
}

async function course(o: Options, report: Report, folder: string): Promise<void> {
  const file = join(folder, "job.safetensors");
  await init({ seed: 1 });
  const peers = await openPeers(o.peers, report);
  const ceilings = await machine(report);
  report.phase("verifying the network");
  say(report, "thaw", await checkModel());
  await writeJobFile(file, o.batch, o.size);
  const { plans, logits } = await plansOf(file);
  const devices = await openBench((await backend()).gpu);
  if (o.kernels > 0) await kernels(devices, plans, ceilings, o.kernels, report);
  try {
    await verifyPeers(peers, file, logits, report);
    for (const what of o.steps) await stepsOf(what, file, peers, o, report);
  } finally {
    for (const p of peers) await p.close();
  }
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
