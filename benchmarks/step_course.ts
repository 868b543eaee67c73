// Whole steps: peers are verified against Thaw first, then all engines step in turn, and what they gave is said.

import { join } from "node:path";
import { init } from "../src/index.ts";
import { planBytes } from "../src/schedule/memory.ts";
import type { Plan } from "../src/schedule/plan.ts";
import { type Checked, checkPeerLogits, checkPeerStep, checkTrained } from "./check.ts";
import { type Engine, type Loaded, PeerFailed } from "./engine.ts";
import { Calibration, type CalibrationName, openBench } from "./machine.ts";
import type { Case, Options } from "./options.ts";
import type { Peer } from "./peer.ts";
import { type Report, round } from "./report.ts";
import { type Failure, type Row, roundsFor, timeSteps } from "./steps.ts";
import { comparisons, stepTable } from "./tables.ts";
import { backend, ThawEngine, writeJobFile } from "./thaw.ts";

/** What the steps of a case gave. */
export interface CaseResult {
  readonly case: Case;
  readonly calibration: CalibrationName;
  /** Thaw's first. */
  readonly rows: readonly Row[];
  readonly failures: readonly Failure[];
  /** Peers that were not asked for this step, and why. */
  readonly leftOut: ReadonlyMap<string, string>;
}

/** The files of weights and pictures, each made when it is first asked for. */
export class JobFiles {
  readonly #folder: string;
  readonly #made = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async of({ batch, size }: Pick<Case, "batch" | "size">): Promise<string> {
    const name = `${batch}x${size}`;
    let path = this.#made.get(name);
    if (path === undefined) {
      path = join(this.#folder, `${name}.safetensors`);
      await init({ seed: 1 });
      await writeJobFile(path, batch, size);
      this.#made.set(name, path);
    }
    return path;
  }
}

export function sayChecks(report: Report, engine: string, checks: readonly Checked[]): void {
  for (const { what, against, error, bound } of checks) {
    report.line({ kind: "check", engine, what, against, error: round(error), bound: round(bound) });
    report.text(
      `  ${what}: within ${error.toExponential(1)} of ${against} (allowed ${bound.toExponential(1)})`,
    );
  }
}

export function sayLeftOut(report: Report, engine: string, what: string | undefined, why: string): void {
  report.line({ kind: "left-out", engine, what, why });
  report.phase(`${what === undefined ? "" : `${what}: `}${engine} is left out: ${why}`);
}

/** Peers whose logits of the file's pictures are Thaw's; what gives no answer is left out and said. */
export async function verifiedPeers(peers: readonly Peer[], file: string, report: Report): Promise<Peer[]> {
  if (peers.length === 0) return [];
  const thaw = new ThawEngine();
  await thaw.load({ what: "forward", weights: file });
  const logits = await thaw.logits();
  const good: Peer[] = [];
  for (const peer of peers) {
    report.phase(`verifying ${peer.name}`);
    try {
      const { adapter } = await peer.load({ what: "forward", weights: file });
      report.text(`  ${peer.name} runs on ${adapter}`);
      sayChecks(report, peer.name, [checkPeerLogits(peer, await peer.logits(), logits)]);
      good.push(peer);
    } catch (error) {
      if (!(error instanceof PeerFailed)) throw error;
      sayLeftOut(report, peer.name, undefined, error.message);
    } finally {
      await peer.close();
    }
  }
  return good;
}

const shapeOf = ({ batch, size }: Case) => [batch, 3, size, size];

function stepLine(row: Row, c: Case, calibration: CalibrationName, plan: Plan | null, report: Report): void {
  report.line({
    kind: "step",
    engine: row.engine,
    what: c.what,
    shape: shapeOf(c),
    ms: round(row.ms),
    p10: round(row.p10),
    p90: round(row.p90),
    n: row.n,
    cpuMs: row.cpuMs === null ? null : round(row.cpuMs),
    calibration,
    calibrationMs: round(row.calibrationMs),
    inCalibrations: round(row.inCalibrations),
    firstMs: round(row.firstMs),
    dispatches: row.dispatches,
    pipelines: row.pipelines,
    newBuffers: row.newBuffers,
    newBindGroups: row.newBindGroups,
    submits: row.submits,
    planBytes: plan && planBytes(plan),
    gpuBytes: row.gpuBytes,
    timesThaw: round(row.timesFirst),
  });
}

/** A peer that gave no step, which is a result. */
function sayFailure(f: Failure, c: Case, report: Report): void {
  report.line({
    kind: "step",
    engine: f.engine,
    what: c.what,
    shape: shapeOf(c),
    ms: null,
    timedOut: f.limitMs !== null,
    limitMs: f.limitMs,
    why: f.why,
  });
  report.text(`${c.what}: no step of ${f.engine}: ${f.why}`);
}

/** The peers that take this step; for the others, why not. */
function takersOf(peers: readonly Peer[], { what }: Case, report: Report) {
  const leftOut = new Map<string, string>();
  for (const p of peers) {
    const why = p.leftOut?.[what];
    if (why === undefined) continue;
    leftOut.set(p.name, why);
    sayLeftOut(report, p.name, what, why);
  }
  return { takers: peers.filter((p) => !leftOut.has(p.name)), leftOut };
}

/** Loads the case everywhere; the engines that could, Thaw's first. */
async function loadAll(
  thaw: ThawEngine,
  peers: readonly Peer[],
  c: Case,
  file: string,
  failed: (f: Failure) => void,
) {
  const job = { what: c.what, weights: file };
  const own = await thaw.load(job);
  const engines: Engine[] = [thaw];
  for (const p of peers) {
    let loaded: Loaded;
    try {
      loaded = await p.load(job);
    } catch (error) {
      if (!(error instanceof PeerFailed)) throw error;
      failed({ engine: p.name, why: error.message, limitMs: error.limitMs });
      continue;
    }
    checkTrained(p.name, loaded, own);
    engines.push(p);
  }
  return engines;
}

/** Times one case in all engines and says it. */
export async function timeCase(
  c: Case,
  file: string,
  peers: readonly Peer[],
  o: Options,
  report: Report,
): Promise<CaseResult> {
  const { what } = c;
  report.phase(`timing ${what} at ${shapeOf(c).join("×")}`);
  const { takers, leftOut } = takersOf(peers, c, report);
  const failures: Failure[] = [];
  const failed = (f: Failure) => {
    failures.push(f);
    sayFailure(f, c, report);
  };
  const thaw = new ThawEngine();
  const engines = await loadAll(thaw, takers, c, file, failed);
  const calibration = await Calibration.open(await openBench((await backend()).gpu));
  try {
    const rows = await timeSteps(engines, calibration, roundsFor(o.samples, engines.length), {
      warming: (engine) => report.progress(`${what}: first steps of ${engine}`),
      warm: ([first, ...others]) => {
        for (const w of others) {
          const peer = engines.find((e) => e.name === w.engine) as Engine;
          sayChecks(report, w.engine, checkPeerStep(peer, w, first));
        }
      },
      round: (n) => report.progress(`${what}: round ${n}`),
      failed,
    });
    const plan = await thaw.plan();
    for (const [i, row] of rows.entries()) stepLine(row, c, calibration.name, i === 0 ? plan : null, report);
    if (!report.json) report.text(stepTable(what, rows, planBytes(plan)));
    for (const sentence of comparisons(what, rows)) report.text(sentence);
    return { case: c, calibration: calibration.name, rows, failures, leftOut };
  } finally {
    calibration.close();
    for (const e of engines) await e.close();
  }
}
