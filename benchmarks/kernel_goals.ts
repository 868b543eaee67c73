// What the kernels are to reach: large convolutions 40 % of the multiply-add ceiling and none under 15 %; what memory
// bounds, half of the copy bandwidth.

import type { Ceilings } from "../src/gpu/ceilings.ts";
import type { Goal } from "./goals.ts";
import type { Measured } from "./kernels.ts";
import { LARGE } from "./large.ts";
import { bytesOf, type Group, memoryBound, type PlannedKernel } from "./planned.ts";

export interface KernelRow {
  readonly planned: PlannedKernel;
  readonly measured: Measured;
}

export interface Miss {
  readonly row: KernelRow;
  /** Of the ceiling that it is held to, and the share that is wanted. */
  readonly share: number;
  readonly wanted: number;
  /** What a full step would save, were it met. */
  readonly lostMs: number;
}

const LARGE_FLOPS = 50e6;
const [OF_LARGE, OF_ANY, COPY] = [0.4, 0.15, 0.5];

/** The share of its ceiling that a kernel is to reach; null where none is stated. */
export function wantedShare({ group, flops }: PlannedKernel): number | null {
  if (group === "convolution") return flops >= LARGE_FLOPS ? OF_LARGE : OF_ANY;
  return memoryBound(group) ? COPY : null;
}

/** The share that counts: of the multiply-add ceiling for a convolution, else of the copy bandwidth. */
export const shareOf = ({ planned, measured }: KernelRow, ceilings: Ceilings): number =>
  memoryBound(planned.group) ? measured.ofCopy : measured.gflops / ceilings.gflops;

/** How often a full step runs it; of a kernel that only the forward pass has, that. */
const runsOf = ({ calls }: PlannedKernel): number => calls.all ?? Math.max(...Object.values(calls));

/** The kernels that stay below what they are to reach, those first that cost a step most by it. */
export function misses(rows: readonly KernelRow[], ceilings: Ceilings): Miss[] {
  const list = rows.flatMap((row) => {
    const wanted = wantedShare(row.planned);
    const share = shareOf(row, ceilings);
    if (wanted === null || share >= wanted) return [];
    return [{ row, share, wanted, lostMs: runsOf(row.planned) * row.measured.ms * (1 - share / wanted) }];
  });
  return list.sort((a, b) => b.lostMs - a.lostMs);
}

export interface GroupTotal {
  readonly group: Group;
  readonly runs: number;
  readonly ms: number;
  readonly gbps: number;
  readonly gflops: number;
}

/** The plan whose operands are large. */
export const LARGE_PLAN = "large";

/** What the kernels of each group do together in a run of that plan, the dearest group first. */
export function groupTotals(rows: readonly KernelRow[], plan: string): GroupTotal[] {
  const sums = new Map<Group, { runs: number; ms: number; bytes: number; flops: number }>();
  for (const { planned: p, measured: m } of rows) {
    const n = p.calls[plan] ?? 0;
    const s = sums.get(p.group) ?? { runs: 0, ms: 0, bytes: 0, flops: 0 };
    s.runs += n;
    s.ms += n * m.ms;
    s.bytes += n * bytesOf(p.call);
    s.flops += n * p.flops;
    sums.set(p.group, s);
  }
  return [...sums]
    .filter(([, s]) => s.runs > 0)
    .map(([group, s]) => ({
      group,
      runs: s.runs,
      ms: s.ms,
      gbps: s.bytes / s.ms / 1e6,
      gflops: s.flops / s.ms / 1e6,
    }))
    .sort((a, b) => b.ms - a.ms);
}

function lowestShare(rows: readonly KernelRow[], ceilings: Ceilings): KernelRow | null {
  if (rows.length === 0) return null;
  return rows.reduce((a, b) => (shareOf(b, ceilings) < shareOf(a, ceilings) ? b : a));
}

function convolutionGoal(
  what: string,
  wanted: number,
  rows: readonly KernelRow[],
  ceilings: Ceilings,
): Goal[] {
  const worst = lowestShare(rows, ceilings);
  if (!worst) return [];
  const share = shareOf(worst, ceilings);
  const below = rows.filter((r) => shareOf(r, ceilings) < wanted).length;
  const { op, shape } = worst.planned;
  return [
    {
      what,
      atLeast: wanted,
      measured: share,
      unit: "of the multiply-add ceiling",
      note: `${below} of ${rows.length} below; lowest ${op} ${shape}`,
    },
  ];
}

/** The goals that kernels are held to, from all of them: a selection shows nothing about the rest. */
export function kernelGoals(rows: readonly KernelRow[], ceilings: Ceilings, complete: boolean): Goal[] {
  if (!complete) return [];
  const convolutions = rows.filter((r) => r.planned.group === "convolution");
  const large = convolutions.filter((r) => r.planned.flops >= LARGE_FLOPS);
  const groups = (plan: string) =>
    groupTotals(rows, plan).filter((g) => ["batch norm", "pool", "elementwise"].includes(g.group));
  const groupGoal = (g: GroupTotal, where: string): Goal => ({
    what: `${g.group} kernels ${where}, together`,
    atLeast: COPY,
    measured: g.gbps / ceilings.gbps,
    unit: "of the copy bandwidth",
    note: `${g.runs} runs, ${g.ms.toPrecision(3)} ms, ${g.gbps.toPrecision(3)} GB/s`,
  });
  return [
    ...convolutionGoal("each convolution of at least 50 MFLOP", OF_LARGE, large, ceilings),
    ...convolutionGoal("each convolution", OF_ANY, convolutions, ceilings),
    ...groups("all").map((g) => groupGoal(g, "of a full step")),
    ...groups(LARGE_PLAN).map((g) => groupGoal(g, `at ${LARGE.join("×")}`)),
  ];
}
