// The step that thaw profile looks at: a network that trains as asked on made-up pictures, compiled.

import { UsageError } from "../core/error.ts";
import { type Classifier, checkName, create } from "../models/index.ts";
import { init as nnInit } from "../nn/index.ts";
import { Adam } from "../optim/index.ts";
import { noGrad, tensor } from "../tensor/functions.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  applyPolicy,
  checkPolicy,
  type FreezePolicy,
  parseHead,
  replaceHead,
  TRAINED,
  type Trained,
} from "../train/index.ts";
import { madeUpBatch, POLICIES, plainStep } from "../train/sample_step.ts";
import type { Options, Values } from "./args.ts";
import { FREEZE, frozenBatchNorm } from "./shared_options.ts";

export const STEP = {
  batch: { kind: "whole", value: "N", help: "pictures in a batch (default 8)" },
  train: {
    kind: "text",
    value: TRAINED.join("|"),
    help: "what trains: all (default), last (the last two blocks of the trunk and the head), head, or none: a forward pass in eval mode",
  },
  ...FREEZE,
  "num-classes": { kind: "whole", value: "N", help: "outputs of the head (default 1000)" },
} as const satisfies Options;

export interface ProfiledStep {
  readonly model: Classifier;
  /** Shape of the input. */
  readonly shape: readonly number[];
  /** What trains, in words. */
  readonly what: string;
  readonly fn: (x: Tensor, y: Tensor) => Tensor;
  readonly args: readonly [Tensor, Tensor];
}

const WHAT: Readonly<Record<Trained, string>> = {
  all: "everything trains",
  last: "the last two blocks and the head train",
  head: "the head trains",
  none: "forward",
};

/** The freezing policy that --train, or --freeze and its like, ask for; null: nothing trains. */
function policyOf(values: Values<typeof STEP>): { policy: FreezePolicy | null; what: string } {
  const { train, freeze } = values;
  const open = values["unfrozen-blocks"];
  const own = freeze !== undefined || open !== undefined;
  if (own && train !== undefined)
    throw new UsageError(`--train ${train} says what trains, and so does --freeze: give one of them`);
  const frozen = { frozenBatchNorm: frozenBatchNorm(values["frozen-bn"]) };
  if (own) {
    const patterns = freeze ?? ["trunk"];
    const blocks = open === undefined ? "" : ` but its last ${open}`;
    return {
      policy: { freeze: patterns, unfrozenBlocks: open, ...frozen },
      what: `${patterns.join(" ")} frozen${blocks}`,
    };
  }
  const trained = TRAINED.find((t) => t === (train ?? "all"));
  if (!trained) throw new UsageError(`--train must be all, last, head or none, not ${train}`);
  const what = WHAT[trained];
  return { policy: trained === "none" ? null : { ...POLICIES[trained], ...frozen }, what };
}

/** Throws a UsageError for a number below 1. */
export function least(option: string, value: number): void {
  if (value < 1) throw new UsageError(`--${option} must be a whole number of at least 1, not ${value}`);
}

/** Throws a UsageError for what a step cannot be made of, before a device is opened for it. */
export function checkStep(name: string, values: Values<typeof STEP>): void {
  checkName(name);
  for (const option of ["batch", "num-classes", "image-size"] as const) least(option, values[option] ?? 1);
  const { policy } = policyOf(values);
  if (policy) checkPolicy(policy);
  if (values.head !== undefined) parseHead(values.head);
}

/** Builds network and step. `blank`: it will not run, so no weights are drawn. */
export function profiledStep(name: string, values: Values<typeof STEP>, blank: boolean): ProfiledStep {
  const { batch = 8, "num-classes": classes = 1000 } = values;
  const { policy, what } = policyOf(values);
  const build = () => {
    const made = create(name, { numClasses: classes });
    if (values.head !== undefined) replaceHead(made, values.head, classes);
    return made;
  };
  const model = blank ? nnInit.skipInit(build) : build();
  const side = values["image-size"] ?? model.preprocessing.crop;
  const shape = [batch, 3, side, side];
  const { x, y } = madeUpBatch(batch, side, classes);
  const args = [tensor(x, shape), tensor(y)] as const;
  return { model, shape, what, fn: policy ? training(model, policy) : forward(model), args };
}

function forward(model: Classifier): ProfiledStep["fn"] {
  model.eval();
  return (x) => noGrad(() => model.forward(x));
}

function training(model: Classifier, policy: FreezePolicy): ProfiledStep["fn"] {
  applyPolicy(model, policy);
  model.train();
  return plainStep(model, new Adam(model.parameters().filter((p) => p.requiresGrad)));
}
