// From a cut to a plan: rewrites, then placing and lowering, again with what was too large cut, until everything fits.

import { DeviceError } from "../core/error.ts";
import type { Cut } from "../graph/cut.ts";
import type { Result, Scalars } from "../graph/leaf.ts";
import type { Node } from "../graph/node.ts";
import type { Call, DeviceTraits } from "../graph/op.ts";
import { frozenNodes, hoistedReads } from "./hoist.ts";
import { lower, type TooLarge } from "./lower.ts";
import { place, type Root } from "./place.ts";
import { type Plan, type Step, uniformOffsets } from "./plan.ts";
import { isOn, type RewriteOptions, rewrite } from "./rewrites/index.ts";
import type { Choices, Tuned } from "./select.ts";
import { assignSlots, rootsOf } from "./slots.ts";
import { split } from "./split.ts";
import { snapshotRoots, workGraph } from "./work_graph.ts";

export interface ScheduleOptions {
  readonly device: DeviceTraits;
  readonly bindingLimit: number;
  readonly choices: Choices;
  /** What was measured to be best. */
  readonly tuned?: Tuned;
  readonly rewrites?: RewriteOptions;
  /** false: nothing is computed apart from the run. */
  readonly hoist?: boolean;
  /** false: every slot root gets memory of its own. */
  readonly reuseSlots?: boolean;
  /** Bytes of a shader's uniform struct, which the device's text of it decides. */
  readonly uniformSize: (shader: string) => number;
  readonly force?: { readonly kernel: string; readonly params: Call["params"] };
}

/** Rounds of cutting before giving up; each at least halves something. */
const ROUNDS = 24;

export function schedule(cut: Cut, options: ScheduleOptions): Plan {
  let g = rewrite(snapshotRoots(workGraph(cut)), options.rewrites);
  const placeConcats = isOn(options.rewrites, "channelSliceConcat");
  // What only takes long is cut once; a second look would cut the parts again for the cost of their bindings.
  let patience = true;
  for (let round = 0; round < ROUNDS; round++) {
    const frozen = options.hoist === false ? new Set<Node>() : frozenNodes(g);
    const lowered = lower(g, place(g, { placeConcats, frozen }), { ...options, frozen });
    const large: readonly TooLarge[] = lowered.tooLarge.filter((t) => t.hard || patience);
    if (large.length === 0) return finish(lowered, frozen, options);
    patience = patience && !large.some((t) => !t.hard);
    g = split(g, large, options.bindingLimit);
  }
  throw new DeviceError(
    `the work could not be cut to this device's binding limit of ${options.bindingLimit} bytes`,
  );
}

function finish(
  lowered: ReturnType<typeof lower>,
  frozen: ReadonlySet<Node>,
  options: ScheduleOptions,
): Plan {
  const { hoisted, steps, outputs } = lowered;
  const all: readonly Step[] = [...hoisted, ...steps];
  const used = new Set(all.flatMap(rootsOf));
  for (const o of outputs) used.add(o.range.root);
  const keep =
    options.reuseSlots === false ? new Set([...used].filter((r) => r.kind === "slot")) : new Set<Root>();
  const slots = assignSlots(all, keep);
  const of = (kind: Root["kind"]) => [...used].filter((r) => r.kind === kind);
  const leaves = of("leaf").map((root) => ({ source: root.source as Result | Scalars, root }));
  return {
    hoisted,
    hoistedReads: hoisted.length > 0 ? hoistedReads(frozen) : [],
    steps,
    leaves,
    outputs,
    slots: slots.sizes,
    slotOf: slots.slotOf,
    peak: slots.peak,
    uniformBytes: uniformOffsets(all, options.uniformSize).total,
    owned: [...of("output"), ...of("hoisted"), ...of("leaf")],
    states: of("state"),
  };
}
