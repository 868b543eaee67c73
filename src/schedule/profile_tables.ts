// Profiles as tables for people: what took longest first, with a bar of its share of the step.

import { bar, table } from "../core/table.ts";
import type { Ceilings } from "../gpu/ceilings.ts";
import { type KernelWork, type LayerWork, NOTHING, ofCeiling, rates, sum, type Work } from "./profile.ts";

/** Characters of the longest bar. */
const BAR = 16;

export interface TableOptions {
  /** Rows at most; what the others come to is said below. */
  readonly rows: number;
  /** Null: no shares of ceilings. */
  readonly ceilings: Ceilings | null;
}

const digits = (x: number): string =>
  x === 0 ? "–" : x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
const ms = (x: number): string => (x >= 100 ? x.toFixed(0) : x >= 1 ? x.toFixed(2) : x.toFixed(3));
const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;

const timeOf = (works: readonly Work[]) => works.reduce(sum, NOTHING).ms;

/** Share of the time, and the bar of it, as long as the longest row's is whole. */
function shareCells(work: Work, all: readonly Work[]): [string, string] {
  const [whole, longest] = [timeOf(all), Math.max(...all.map((w) => w.ms))];
  if (!(whole > 0)) return ["–", ""];
  return [percent(work.ms / whole), bar(work.ms / longest, BAR)];
}

function rateCells(work: Work, ceilings: Ceilings | null): string[] {
  const { gflops, gbps } = rates(work);
  const cells = [digits(gflops), digits(gbps)];
  if (!ceilings) return cells;
  const { share, ceiling } = ofCeiling(work, ceilings);
  return [...cells, work.ms > 0 ? `${percent(share).padStart(4)} ${ceiling}` : "   –"];
}

const rateHead = (ceilings: Ceilings | null) => ["GFLOP/s", "GB/s", ...(ceilings ? ["of the ceiling"] : [])];

function withRest(text: string, all: readonly Work[], shown: readonly Work[]): string {
  const rest = all.length - shown.length;
  if (rest === 0) return text;
  const left = timeOf(all) - timeOf(shown);
  return `${text}\n${rest} more, ${ms(left)} ms together`;
}

export function kernelTable(all: readonly KernelWork[], { rows, ceilings }: TableOptions): string {
  const shown = all.slice(0, rows);
  const lines = shown.map((k) => [
    `${k.op} ${k.kernel}`,
    k.calls,
    ms(k.ms),
    ...shareCells(k, all),
    ...rateCells(k, ceilings),
    `${k.shader}${k.params ? ` ${k.params}` : ""}`,
  ]);
  const head = ["op and kernel", "calls", "ms", "share", "", ...rateHead(ceilings), "shader"];
  return withRest(table(head, lines), all, shown);
}

export function layerTable(all: readonly LayerWork[], { rows, ceilings }: TableOptions): string {
  const shown = all.slice(0, rows);
  const part = (w: Work) => (w.calls === 0 ? "–" : ms(w.ms));
  const lines = shown.map((l) => [
    l.layer,
    l.calls,
    part(l.forward),
    part(l.backward),
    ms(l.ms),
    ...shareCells(l, all),
    ...rateCells(l, ceilings),
  ]);
  const head = ["layer", "calls", "forward ms", "backward ms", "ms", "share", "", ...rateHead(ceilings)];
  return withRest(table(head, lines), all, shown);
}
