// The results as tables for people.

import { mib } from "../src/core/bytes.ts";
import { digits, percent } from "./format.ts";
import { groupTotals, type KernelRow, type Miss } from "./kernel_goals.ts";
import { table } from "./report.ts";
import type { Row } from "./steps.ts";

const shown = (x: number | null): string => (x === null ? "—" : `${x}`);

export function kernelTable(rows: readonly KernelRow[]): string {
  const head = ["op", "shape", "variant", "runs", "ms", "GFLOP/s", "GB/s", "of ceiling"];
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

/** What each group of kernels costs a run of the plan. */
export function groupTable(rows: readonly KernelRow[], plan: string, name: string): string {
  return table(
    [`kernels of ${name}`, "runs", "ms together", "GFLOP/s", "GB/s"],
    groupTotals(rows, plan).map((g) => [
      g.group,
      `${g.runs}`,
      digits(g.ms),
      digits(g.gflops),
      digits(g.gbps),
    ]),
  );
}

const MISSES = 25;

/** The kernels below their goal, those first that cost a step most by it. */
export function missTable(list: readonly Miss[]): string {
  if (list.length === 0) return "every kernel that was timed reaches its share of its ceiling";
  const lost = list.reduce((n, m) => n + m.lostMs, 0);
  const head = ["below its goal", "shape", "variant", "ms", "share", "wanted", "a step would save, ms"];
  const shownRows = list
    .slice(0, MISSES)
    .map(({ row: { planned: p, measured: m }, share, wanted, lostMs }) => [
      p.op,
      p.shape,
      p.variant,
      digits(m.ms),
      percent(share),
      percent(wanted),
      digits(lostMs),
    ]);
  const rest = list.length > MISSES ? `the ${MISSES} dearest of ` : "";
  return `${table(head, shownRows)}\n${rest}${list.length} kernels below their goal; at it, a step would save ${digits(lost)} ms`;
}

/** Per plan, op and kernel: what the kernels of one run cost together, the dearest first. */
export function kernelSummary(rows: readonly KernelRow[]): string {
  const groups = new Map<
    string,
    { names: string[]; runs: number; ms: number; gflop: number; limit: number }
  >();
  for (const { planned: p, measured: m } of rows) {
    for (const [plan, n] of Object.entries(p.calls)) {
      const window = p.group === "convolution" ? p.shape.split(" ")[0] : "";
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
    "in calibrations",
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
      digits(r.inCalibrations),
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
