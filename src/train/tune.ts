// Measures the kernels of a model on this machine: plans its forward pass and its training step, has the tuner time what
// they run, and says what that gains, call by call and for the whole step.

import { UsageError } from "../core/error.ts";
import { checkNumber, checkWord } from "../core/options.ts";
import { median } from "../core/timing.ts";
import { type Classifier, checkName, create } from "../models/index.ts";
import { Adam } from "../optim/index.ts";
import { runtime } from "../runtime/context.ts";
import { GpuBackend } from "../runtime/gpu_backend.ts";
import { type CallRecord, measurementOf } from "../runtime/tuning/records.ts";
import { type PlannedCall, plannedCalls, type TuneProgress } from "../runtime/tuning/tuner.ts";
import type { Choice } from "../schedule/select.ts";
import { compile } from "../tensor/compile.ts";
import { noGrad, tensor } from "../tensor/functions.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { applyPolicy } from "./policy.ts";
import { madeUpBatch, POLICIES, plainStep, TRAINED, type Trained } from "./sample_step.ts";
import { checkImageSize } from "./summary.ts";

export interface TuneOptions {
  /** Pictures in a batch. Default 32. */
  readonly batchSize?: number;
  /** Height and width of the pictures. Default: the model's own. */
  readonly imageSize?: number;
  /** Default "all". */
  readonly train?: Trained;
  readonly signal?: AbortSignal;
  /** Told how far the measuring of the forward pass or of the training step has come. */
  readonly onProgress?: (what: StepName, progress: TuneProgress) => void;
}

export type StepName = "forward" | "training step";

/** A kernel at a point of its space, and the lowest of its times in ms; null where it was not timed. */
export interface TimedChoice extends Choice {
  readonly ms: number | null;
}

/** What was measured of one distinct call. */
export interface TunedCall {
  readonly step: StepName;
  /** How often the step makes it. */
  readonly count: number;
  readonly key: string;
  readonly op: string;
  /** Shapes of its first operands and of its output, for people. */
  readonly shapes: string;
  /** What is chosen without measurements, and what with them. */
  readonly own: TimedChoice;
  readonly best: TimedChoice;
  /** Kernels and points that were measured, and how many of them are wrong on this machine. */
  readonly measured: number;
  readonly wrong: number;
}

/** One whole step, planned by the heuristics and by what was measured, taken in turn: median ms. */
export interface TunedStep {
  readonly step: StepName;
  readonly heuristicMs: number;
  readonly tunedMs: number;
  /** The first over the second: the median over the rounds. */
  readonly ratio: number;
  readonly rounds: number;
}

export interface Tuning {
  readonly calls: readonly TunedCall[];
  readonly steps: readonly TunedStep[];
  /** Where the measurements are kept; null where they cannot be. */
  readonly where: string | null;
}

/** Throws UsageError for what can be seen to be wrong without a device. */
export function checkTuneOptions(
  name: string,
  { batchSize = 1, imageSize = 1, train = "all" }: TuneOptions,
): void {
  checkName(name);
  checkNumber("tune", "batch", batchSize, { min: 1, whole: true });
  checkNumber("tune", "image-size", imageSize, { min: 1, whole: true });
  checkWord("tune", "train", train, TRAINED);
}

/**
 * Measures a model's kernels for pictures of that size and batches of that many; what is stored already is not measured
 * again. Random weights and pictures: how long a kernel takes does not hang on them. The session's choices of kernels are
 * forgotten, so no training should be under way. Throws UsageError for options out of range and where there is no GPU.
 */
export async function tuneModel(name: string, options: TuneOptions = {}): Promise<Tuning> {
  const { batchSize = 32, train = "all" } = options;
  checkTuneOptions(name, options);
  const backend = await runtime().backend();
  if (!(backend instanceof GpuBackend)) throw new UsageError("tune needs a GPU; there is none to measure");
  const model = create(name);
  const side = options.imageSize ?? model.preprocessing.crop;
  checkImageSize(model, side);
  const made = madeUpBatch(batchSize, side);
  const x = tensor(made.x, [batchSize, 3, side, side]);
  const y = tensor(made.y);
  const steps: Step[] = [{ name: "forward", make: () => forwardPass(model, x) }];
  if (train !== "none") steps.push({ name: "training step", make: trainingSteps(model, train, [x, y]) });
  const found: { calls: TunedCall[]; step: TunedStep }[] = [];
  for (const step of steps) found.push(await tuneStep(backend, step, options));
  return {
    calls: found.flatMap((f) => f.calls),
    steps: found.map((f) => f.step),
    where: backend.tuner.store?.where ?? null,
  };
}

interface Step {
  readonly name: StepName;
  /** A compiled step of its own, with a plan of its own. */
  readonly make: () => () => Promise<unknown>;
}

function forwardPass(model: Classifier, x: Tensor): () => Promise<unknown> {
  const step = compile((input: Tensor) => noGrad(() => model.forward(input).sum()));
  return () => {
    model.eval();
    return step(x).item();
  };
}

function trainingSteps(
  model: Classifier,
  train: Exclude<Trained, "none">,
  batch: readonly [Tensor, Tensor],
): Step["make"] {
  applyPolicy(model, POLICIES[train]);
  const optimizer = new Adam(model.parameters().filter((p) => p.requiresGrad));
  return () => {
    const step = compile(plainStep(model, optimizer));
    return () => {
      model.train();
      return step(...batch).item();
    };
  };
}

async function tuneStep(
  backend: GpuBackend,
  { name, make }: Step,
  { signal, onProgress }: TuneOptions,
): Promise<{ calls: TunedCall[]; step: TunedStep }> {
  const { tuner } = backend;
  const before = tuner.mode;
  try {
    tuner.signal = signal ?? null;
    tuner.onProgress = onProgress ? (p) => onProgress(name, p) : null;
    const plain = make();
    tuner.mode = "off";
    backend.choices.clear();
    await plain();
    const tuned = make();
    tuner.mode = "on";
    backend.choices.clear();
    await tuned();
    const plan = backend.plans.at(-1);
    const calls = plan ? plannedCalls(plan).flatMap((c) => tunedCall(name, c, tuner.record(c.key))) : [];
    return { calls, step: await compare(name, plain, tuned, signal) };
  } finally {
    tuner.mode = before;
    tuner.signal = null;
    tuner.onProgress = null;
  }
}

function tunedCall(step: StepName, planned: PlannedCall, record: CallRecord | undefined): TunedCall[] {
  if (!record) return [];
  const { own, measured } = record;
  const timed = (c: Choice): TimedChoice => ({ ...c, ms: measurementOf(record, c)?.ms ?? null });
  const { key, op, call, count } = planned;
  const [from, to] = [call.inputs.slice(0, 2), call.outputs.slice(0, 1)];
  const shapes = [from, to].map((list) => list.map((o) => o.shape.join("×")).join(", ")).join(" → ");
  const wrong = measured.filter((m) => m.verdict === "wrong").length;
  const best = timed(record.best ?? own);
  return [{ step, count, key, op: op.name, shapes, own: timed(own), best, measured: measured.length, wrong }];
}

const ROUNDS = { least: 9, most: 25, budgetMs: 10_000 };

/** Both steps in turn, now the one first and now the other, so that whatever else the machine does falls on both alike. */
async function compare(
  step: StepName,
  plain: () => Promise<unknown>,
  tuned: () => Promise<unknown>,
  signal?: AbortSignal,
): Promise<TunedStep> {
  const times: { plain: number; tuned: number }[] = [];
  const began = performance.now();
  const { least, most, budgetMs } = ROUNDS;
  while (times.length < least || (times.length < most && performance.now() - began < budgetMs)) {
    signal?.throwIfAborted();
    const first = times.length % 2 === 0 ? await timed(plain) : null;
    const own = await timed(tuned);
    times.push({ plain: first ?? (await timed(plain)), tuned: own });
  }
  return {
    step,
    heuristicMs: median(times.map((t) => t.plain)),
    tunedMs: median(times.map((t) => t.tuned)),
    ratio: median(times.map((t) => t.plain / t.tuned)),
    rounds: times.length,
  };
}

async function timed(step: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await step();
  return performance.now() - began;
}
