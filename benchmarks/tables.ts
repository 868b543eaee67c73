// The results as tables for people.

import { mib } from "../src/core/bytes.ts";
import type { PlannedKernel } from "./convolutions.ts";
import type { Measured } from "./kernels.ts";
import { table } from "./report.ts";
import type { Row } from "./steps.ts";

export interface KernelRow {
  readonly planned: PlannedKernel;
  readonly measured: Measured;
}

const percent = (x: number): string => `${(100 * x).toFixed(0)}%`;
const digits = (x: number): string => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
const shown = (x: number | null): string => (x === null ? "—" : `${x}`);

export function kernelTable(rows: readonly KernelRow[]): string {
  const head = ["op", "convolution", "variant", "runs", "ms", "GFLOP/s", "GB/s", "of ceiling"];
  return table(
    head,
    rows.map(({ planned: p, measured: m }) => [
      p.op,
      p.shape,
      p.variant,
      Object.entries(p.calls)
        .map(([plan, n]) => `${n} in ${plan}`)
        .join(", "),
      digits(m.ms),
      digits(m.gflops),
      digits(m.gbps),
      percent(m.ofCeiling),
    ]),
  );
}

/** Per plan, op and kernel: what the convolutions of one run cost together, the dearest first. */
export function kernelSummary(rows: readonly KernelRow[]): string {
  const groups = new Map<
    string,
    { names: string[]; runs: number; ms: number; gflop: number; limit: number }
  >();
  for (const { planned: p, measured: m } of rows) {
    for (const [plan, n] of Object.entries(p.calls)) {
      const window = p.shape.split(" ")[0];
      const key = [plan, p.op, p.kernel, window];
      const g = groups.get(key.join(" ")) ?? { names: key, runs: 0, ms: 0, gflop: 0, limit: 0 };
      g.runs += n;
      g.ms += n * m.ms;
      g.gflop += (n * m.gflops * m.ms) / 1e3;
      g.limit += n * m.ms * m.ofCeiling;
      groups.set(key.join(" "), g);
    }
  }
  const list = [...groups.values()].sort((a, b) => b.ms - a.ms);
  return table(
    ["plan", "op", "kernel", "window", "runs", "ms together", "GFLOP/s", "of ceiling"],
    list.map((g) => [
      ...g.names,
      `${g.runs}`,
      digits(g.ms),
      digits((1e3 * g.gflop) / g.ms),
      percent(g.limit / g.ms),
    ]),
  );
}

export function stepTable(what: string, rows: readonly Row[], bytes: number): string {
  const head = [
    what,
    "ms",
    "p10",
    "p90",
    "n",
    "× Thaw",
    "first ms",
    "dispatches",
    "pipelines",
    "new buffers",
    "plan",
    "calibration ms",
  ];
  return table(
    head,
    rows.map((r, i) => [
      r.engine,
      digits(r.ms),
      digits(r.p10),
      digits(r.p90),
      `${r.n}`,
      digits(r.timesFirst),
      digits(r.firstMs),
      shown(r.dispatches),
      shown(r.pipelines),
      shown(r.newBuffers),
      i === 0 ? mib(bytes) : "—",
      digits(r.calibrationMs),
    ]),
  );
}

/** One sentence for each peer: how its steps compare with Thaw's of the same rounds. */
export function comparisons(what: string, [thaw, ...peers]: readonly Row[]): string[] {
  return peers.map(({ engine, timesFirst: times, n }) => {
    const [a, b, by] = times >= 1 ? [thaw.engine, engine, times] : [engine, thaw.engine, 1 / times];
    return `${what}: ${a} is ${digits(by)} times faster than ${b} (median of ${n} ${n === 1 ? "round" : "rounds"} of one step each)`;
  });
}
