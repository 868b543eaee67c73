// A plan made ready for a device: its buffers, pipelines and bind groups, and what its leaves were last filled with.

import { debugLevel } from "../core/env.ts";
import type { DeviceBuffer } from "../gpu/buffers.ts";
import type { Command } from "../gpu/commands.ts";
import type { Tools } from "../gpu/lone_dispatch.ts";
import type { Cut } from "../graph/cut.ts";
import type { Result, Scalars, Storage } from "../graph/leaf.ts";
import type { Root } from "../schedule/place.ts";
import type { Plan, Range, Step } from "../schedule/plan.ts";
import { printPlan, summarizePlan } from "../schedule/print_plan.ts";
import { allocate, type Uniforms } from "./allocate.ts";
import { RING_SLOT, RING_SLOTS } from "./ring.ts";

export interface Devices extends Tools {
  /** The device's memory of a storage, made on first use. */
  readonly state: (s: Storage) => DeviceBuffer;
}

export interface PreparedLeaf {
  /** Which of the cut's leaves it is, in order of its nodes. */
  readonly index: number;
  readonly buffer: DeviceBuffer;
  /** What it was last filled with; results never change, so the same one need not be copied again. */
  last: Result | null;
}

export interface PreparedOutput {
  readonly buffer: DeviceBuffer;
  readonly bytes: number;
  /** Copied to the ring of small results at every run: the next one may overwrite what is here. */
  readonly ringed: boolean;
  /** What the last run left here, unless it went to the ring. */
  held: Result | null;
}

export interface Prepared {
  readonly plan: Plan;
  readonly hoisted: readonly Command[];
  readonly commands: readonly Command[];
  readonly leaves: readonly PreparedLeaf[];
  readonly outputs: readonly PreparedOutput[];
  readonly owned: readonly DeviceBuffer[];
  /** Estimated ms of one run. */
  readonly cost: number;
  /** Contents' versions that the hoisted results were computed from. */
  versions: readonly number[] | null;
}

/** The leaves of a cut that are filled at every run, in order. */
export function runLeaves(cut: Cut): (Result | Scalars)[] {
  return cut.nodes.flatMap(({ source }) => (source && source.kind !== "state" ? [source] : []));
}

export async function prepare(cut: Cut, plan: Plan, d: Devices): Promise<Prepared> {
  if (debugLevel() >= 1) console.error(`plan: ${summarizePlan(plan)}`);
  if (debugLevel() >= 3) console.error(printPlan(plan));
  const { memory, owned, uniforms } = await allocate(plan, d);
  const make = (steps: readonly Step[]) => Promise.all(steps.map((s) => command(s, memory, uniforms, d)));
  const [hoisted, commands] = [await make(plan.hoisted), await make(plan.steps)];
  const sources = runLeaves(cut);
  return {
    plan,
    hoisted,
    commands,
    leaves: plan.leaves.map((l) => ({
      index: sources.indexOf(l.source),
      buffer: memory.get(l.root) as DeviceBuffer,
      last: null,
    })),
    outputs: preparedOutputs(plan, memory),
    owned,
    cost: plan.steps.reduce((n, s) => n + (s.kind === "dispatch" ? s.cost : 0), 0),
    versions: null,
  };
}

/** Where a plan's results lie: the small ones, as many as the ring can take in one run, go through it. */
function preparedOutputs(plan: Plan, memory: ReadonlyMap<Root, DeviceBuffer>): PreparedOutput[] {
  let room = RING_SLOTS;
  return plan.outputs.map(({ range }) => {
    const ringed = range.size <= RING_SLOT && room > 0;
    if (ringed) room--;
    return { buffer: memory.get(range.root) as DeviceBuffer, bytes: range.size, ringed, held: null };
  });
}

async function command(
  s: Step,
  memory: ReadonlyMap<Root, DeviceBuffer>,
  uniforms: Uniforms | null,
  d: Devices,
): Promise<Command> {
  const bufferOf = (r: Range) => memory.get(r.root) as DeviceBuffer;
  if (s.kind === "copy") {
    return {
      kind: "copy",
      from: bufferOf(s.from),
      fromOffset: s.from.offset,
      to: bufferOf(s.to),
      toOffset: s.to.offset,
      bytes: s.to.size,
    };
  }
  const pipeline = await d.pipelines.get(s.shader, s.specialisation, Object.keys(s.bind));
  const own = uniforms?.at.get(s) as { offset: number; size: number };
  const ranges = Object.fromEntries(
    Object.entries(s.bind).map(([k, r]) => [
      k,
      { buffer: bufferOf(r), offset: r.offset, size: Math.max(4, r.size) },
    ]),
  );
  const group = d.commander.bind(pipeline, {
    ...ranges,
    u: { buffer: (uniforms as Uniforms).buffer, ...own },
  });
  return { kind: "dispatch", pipeline, group, grid: s.grid, label: `${s.op} ${s.kernel}`, cost: s.cost };
}
