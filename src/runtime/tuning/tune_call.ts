// Measures one call: makes every contender ready on operands of its own, has each judged, and lets the right ones race.

import { DeviceLost, messageOf } from "../../core/error.ts";
import type { AnyOp } from "../../graph/op.ts";
import { type BenchDevices, PlacedCall, type ReadyKernel } from "../kernel_bench.ts";
import type { Bare, Contender } from "./contenders.ts";
import { judge } from "./judge.ts";
import { operandSpecs, realOperands } from "./operands.ts";
import { lowest, middle, type Racer, race } from "./race.ts";
import type { CallRecord, Measured, Verdict } from "./records.ts";

/** A gain below this share is noise: the heuristic's choice stays. */
const LEAST_GAIN = 0.03;

/** The baseline computes one output after another: FLOPs per ms, on a software device and on a real one, at worst. */
const SLOW = [5e5, 5e7] as const;

/** A baseline that would take longer than this is not run. */
const HOPELESS_MS = 1000;

const failed = (c: Contender, verdict: Verdict, why?: string): Measured => ({
  kernel: c.kernel.name,
  params: c.params,
  hash: c.hash,
  verdict,
  ms: null,
  median: null,
  samples: 0,
  ...(why === undefined ? {} : { why }),
});

/** Why the baseline is not even tried; null where it is. */
function hopeless(op: AnyOp, call: Bare): string | null {
  const { flops } = op.cost(call.inputs, call.outputs, call.attrs);
  const ms = flops / SLOW[call.device.software ? 0 : 1];
  return ms > HOPELESS_MS ? `estimated at ${(ms / 1000).toFixed(1)} s` : null;
}

interface Entry {
  readonly contender: Contender;
  readonly ready: ReadyKernel;
}

/**
 * The record of one call; the first contender is what would be chosen without measurements. Null where the call cannot
 * be tried: no operands can be drawn for it, or the device has no memory for them.
 */
export async function tuneCall(
  op: AnyOp,
  call: Bare,
  contenders: readonly Contender[],
  devices: BenchDevices,
): Promise<CallRecord | null> {
  const specs = operandSpecs(op, call);
  if (!specs) return null;
  const { device } = devices.gpu;
  device.pushErrorScope("out-of-memory");
  const placed = new PlacedCall(devices, call, realOperands(call, specs));
  const full = await device.popErrorScope();
  const entries: Entry[] = [];
  try {
    if (full) return null;
    const measured = new Map<Contender, Measured>();
    const isBaseline = (c: Contender) => c.kernel === op.kernels[0];
    for (const c of contenders) {
      const why = isBaseline(c) && c !== contenders[0] ? hopeless(op, call) : null;
      if (why !== null) measured.set(c, failed(c, "hopeless", why));
      else await prepared(placed, c, entries, measured);
    }
    const standard = entries.find((e) => isBaseline(e.contender)) ?? entries[0];
    const found = await judge(
      op,
      placed,
      specs,
      entries.map((e) => e.ready),
      standard?.ready ?? null,
    );
    const right = entries.filter(({ contender, ready }) => {
      const why = found.get(ready) ?? null;
      if (why !== null) measured.set(contender, failed(contender, "wrong", why));
      return why === null;
    });
    await timeAll(right, measured);
    return recordOf(contenders, measured);
  } finally {
    for (const e of entries) e.ready.close();
    placed.close();
  }
}

/** Makes a contender ready, or notes what the device says against it. */
async function prepared(
  placed: PlacedCall,
  contender: Contender,
  entries: Entry[],
  measured: Map<Contender, Measured>,
): Promise<void> {
  try {
    entries.push({ contender, ready: await placed.prepare(contender.kernel, contender.params) });
  } catch (error) {
    if (error instanceof DeviceLost) throw error;
    measured.set(contender, failed(contender, "failed", messageOf(error).split("\n")[0]));
  }
}

async function timeAll(entries: readonly Entry[], measured: Map<Contender, Measured>): Promise<void> {
  const racers = entries.map(({ ready }): Racer => ({ ready, samples: [] }));
  if (racers.length > 0) await race(racers);
  entries.forEach(({ contender: c }, i) => {
    measured.set(c, {
      kernel: c.kernel.name,
      params: c.params,
      hash: c.hash,
      verdict: "timed",
      ms: lowest(racers[i]),
      median: middle(racers[i]),
      samples: racers[i].samples.length,
    });
  });
}

/** The fastest, unless what would be chosen anyway is as good within the noise: by its best sample or its middle one. */
function recordOf(contenders: readonly Contender[], measured: ReadonlyMap<Contender, Measured>): CallRecord {
  const list = contenders.map((c) => measured.get(c) as Measured);
  const time = (ms: number | null) => ms ?? Number.POSITIVE_INFINITY;
  const fastest = list.reduce((best, m) => (time(m.ms) < time(best.ms) ? m : best));
  const own = list[0];
  const gains = (a: number | null, b: number | null) => time(a) <= (1 - LEAST_GAIN) * time(b);
  const best = gains(fastest.ms, own.ms) && gains(fastest.median, own.median) ? fastest : own;
  const choice = ({ kernel, params }: Measured) => ({ kernel, params });
  return {
    best: best.verdict === "timed" ? choice(best) : null,
    own: choice(own),
    measured: list,
    at: new Date().toISOString(),
  };
}
