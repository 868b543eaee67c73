// The compiled steps of training and evaluation, and the running sums of what they return. A step's loss and count of
// right answers come back as one small tensor, which is read some steps later, so that the device never waits.

import { ThawError } from "../core/error.ts";
import { clipGradNorm, functional, type Module } from "../nn/index.ts";
import type { Optimizer } from "../optim/index.ts";
import { runtime } from "../runtime/context.ts";
import { compile } from "../tensor/compile.ts";
import { concat, noGrad, tensor } from "../tensor/functions.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { BatchSource, TrainBatch } from "./source.ts";

/** A network from pictures to scores of classes, logits [N, classes]. */
export type Network = Module & { forward(x: Tensor): Tensor };

/** Mean loss of a batch from the network's output [N, classes] and labels i32 [N]. */
export type LossFunction = (logits: Tensor, labels: Tensor) => Tensor;

export interface StepOptions {
  readonly loss?: LossFunction;
  /** Gradients of all parameters together are scaled down to this 2-norm. */
  readonly clipNorm?: number;
}

/** A loss or a weight that is not a finite number any more: the run cannot go on from here. */
export class Diverged extends ThawError {
  override name = "Diverged";
}

/** Loss and accuracy over a number of samples. */
export interface Score {
  readonly loss: number;
  readonly accuracy: number;
  readonly count: number;
}

/** What a running sum has so far; part of a checkpoint. */
export interface Sums {
  readonly loss: number;
  readonly correct: number;
  readonly count: number;
}

/** Results that may wait to be read: the ring of results on the device holds more. */
const MAX_PENDING = 64;

/** Sums of losses and right answers, read from the device when somebody asks. */
export class Tally {
  #sums: Sums;
  #pending: { result: Tensor; count: number; where: string }[] = [];

  constructor(sums: Sums = { loss: 0, correct: 0, count: 0 }) {
    this.#sums = sums;
  }

  /** Adds a batch's result [loss, correct]. `where` is what an error says of it. */
  add(result: Tensor, count: number, where: string): void {
    this.#pending.push({ result, count, where });
  }

  /** Results that are not in the sums yet. */
  get pending(): number {
    return this.#pending.length;
  }

  get full(): boolean {
    return this.#pending.length >= MAX_PENDING;
  }

  /**
   * Reads what is pending but for the newest `leave` results: reading what the device has not finished yet would let it
   * run dry. Throws Diverged naming the first batch whose loss is none.
   */
  async settle(leave = 0): Promise<Sums> {
    const pending = this.#pending.splice(0, Math.max(0, this.#pending.length - leave));
    for (const { result, count, where } of pending) {
      const [loss, correct] = await result.data();
      if (!Number.isFinite(loss)) throw new Diverged(`the loss became ${loss} in ${where}`);
      const sums = this.#sums;
      this.#sums = {
        loss: sums.loss + loss * count,
        correct: sums.correct + correct,
        count: sums.count + count,
      };
    }
    return this.#sums;
  }

  async score(): Promise<Score> {
    return scoreOf(await this.settle());
  }
}

/** The score alone of an evaluation that holds more. */
export const scoreIn = ({ loss, accuracy, count }: Score): Score => ({ loss, accuracy, count });

export function scoreOf({ loss, correct, count }: Sums): Score {
  return { loss: loss / count, accuracy: correct / count, count };
}

const crossEntropy: LossFunction = (logits, labels) => functional.crossEntropy(logits, labels);

function forwardOf(model: Network, source: BatchSource, loss: LossFunction) {
  return (x: Tensor, y: Tensor): { logits: Tensor; value: Tensor; report: Tensor } => {
    const logits = model.forward(source.toInput?.(x) ?? x);
    const value = loss(logits, y);
    const correct = logits.detach().argmax(1).eq(y).sum();
    const report = concat([value.detach().reshape(1), correct.reshape(1)]);
    return { logits, value, report };
  };
}

/** Takes a group of batches as one step of the optimizer; returns [loss, correct] of each batch. */
export type TrainStep = (group: readonly TrainBatch[]) => Tensor[];

/**
 * The training step: a group's gradient is that of the mean loss over all its samples. The optimizer's parameters
 * must belong to the model.
 */
export function trainStep<H extends object>(
  model: Network,
  optimizer: Optimizer<H>,
  source: BatchSource,
  { loss = crossEntropy, clipNorm }: StepOptions = {},
): TrainStep {
  const forward = forwardOf(model, source, loss);
  const params = optimizer.paramGroups.flatMap((g) => g.params);
  const finish = (): void => {
    if (clipNorm !== undefined) clipGradNorm(params, clipNorm);
    void optimizer.step();
  };
  const whole = compile((x: Tensor, y: Tensor) => {
    optimizer.zeroGrad();
    const { value, report } = forward(x, y);
    value.backward();
    finish();
    return report;
  });
  const part = compile((x: Tensor, y: Tensor, share: Tensor) => {
    const { value, report } = forward(x, y);
    value.mul(share).backward();
    return report;
  });
  const update = compile(() => {
    finish();
    optimizer.zeroGrad();
  });
  return (group) => {
    if (group.length === 1) return [whole(group[0].x, tensor(group[0].labels))];
    optimizer.zeroGrad();
    const total = group.reduce((n, b) => n + b.labels.length, 0);
    const reports = group.map((b) => {
      const share = tensor(Float32Array.of(b.labels.length / total), []);
      return part(b.x, tensor(b.labels), share);
    });
    update();
    return reports;
  };
}

/** Steps that may be unfinished on the device when `throttled` resolves. */
export const IN_FLIGHT = 2;

/** Resolves when at most IN_FLIGHT steps are unfinished on the device. */
export function throttled(): Promise<void> {
  return runtime().step();
}

/** What an evaluation gives: the score, and for each sample, in the source's order, its label and logits on request. */
export interface Evaluation extends Score {
  readonly labels: Int32Array;
  /** [count, classes], row-major; empty unless asked for. */
  readonly logits: Float32Array;
}

export interface EvaluateOptions {
  readonly loss?: LossFunction;
  /** Keep the logits of every sample. */
  readonly logits?: boolean;
  readonly signal?: AbortSignal;
  /** What an error calls this evaluation. */
  readonly where?: () => string;
  /** Told after each batch how many samples are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** An evaluation that can be run again and again on one compiled step. */
export function evaluator(
  model: Network,
  source: BatchSource,
  options: EvaluateOptions = {},
): () => Promise<Evaluation> {
  const forward = forwardOf(model, source, options.loss ?? crossEntropy);
  const step = compile((x: Tensor, y: Tensor) =>
    noGrad(() => {
      const { logits, report } = forward(x, y);
      return options.logits ? [report, logits] : [report];
    }),
  );
  return async () => {
    const training = model.training;
    model.eval();
    try {
      return await run(source, step, options);
    } finally {
      model.train(training);
    }
  };
}

async function run(
  source: BatchSource,
  step: (x: Tensor, y: Tensor) => Tensor[],
  { signal, onProgress, where = () => "the evaluation" }: EvaluateOptions,
): Promise<Evaluation> {
  const tally = new Tally();
  const labels: number[] = [];
  const rows: Float32Array[] = [];
  for await (const batch of source.epoch(0)) {
    signal?.throwIfAborted();
    const [report, logits] = step(batch.x, tensor(batch.labels));
    tally.add(report, batch.labels.length, where());
    for (const l of batch.labels) labels.push(l);
    if (logits) rows.push((await logits.data()) as Float32Array);
    await throttled();
    if (tally.full) await tally.settle();
    onProgress?.(labels.length, source.length);
  }
  const all = new Float32Array(rows.reduce((n, r) => n + r.length, 0));
  let at = 0;
  for (const r of rows) {
    all.set(r, at);
    at += r.length;
  }
  return { ...(await tally.score()), labels: Int32Array.from(labels), logits: all };
}

/** Loss and accuracy of a model in eval mode over a source. */
export function evaluate(
  model: Network,
  source: BatchSource,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  return evaluator(model, source, options)();
}
