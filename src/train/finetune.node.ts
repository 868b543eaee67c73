// The main job: a folder of pictures in, a run's folder out. Checks everything that can be checked before the first
// step, so that a wrong option or a broken file does not cost an hour.

import { DataError } from "../core/error.ts";
import type { Classifier } from "../models/index.ts";
import { Adam, AdamW, type Optimizer, SGD } from "../optim/index.ts";
import { runtime } from "../runtime/context.ts";
import { manualSeed } from "../tensor/session.ts";
import { type Division, divide } from "./division.node.ts";
import type { FinetuneEvent, FinetuneOptions, FinetuneResult } from "./finetune_options.ts";
import { fit } from "./fit.ts";
import { checkPatience, type FitResult } from "./fit_options.ts";
import { impliedModel } from "./model_file.node.ts";
import { buildNetwork, type PreparedNetwork } from "./network.ts";
import { openRun, scheduleOf } from "./open_run.node.ts";
import { hasImagenet, openPretrained } from "./pretrained.node.ts";
import { RunFolder, runFolderFor } from "./run_folder.node.ts";
import type { RunInfo, RunOptions, RunSchedule } from "./run_info.ts";
import { MODEL, newRunOptions, resumedOptions } from "./run_options.ts";
import { type RecordParts, RunRecord } from "./run_record.node.ts";
import { type PreparedPictures, pictureSource, preparePictures } from "./source.ts";
import { evaluate, type Score, scoreIn } from "./steps.ts";
import { checkImageSize } from "./summary.ts";

/**
 * Fine-tunes a classifier on a folder with one sub-folder of pictures per class, and writes a run's folder. The same
 * seed, pictures and options give the same weights, bit for bit, on the same adapter, broken off and resumed or not.
 *
 * Throws UsageError for options that cannot be, DataError for pictures and weights that cannot be used, DeviceError
 * without an adapter, Diverged when the loss is no number any more (the run's folder keeps the last good checkpoint).
 */
export async function finetune(dir: string, options: FinetuneOptions = {}): Promise<FinetuneResult> {
  const { signal, cacheBytes, onEvent: tell = () => {} } = options;
  const { folder, stored, schedule, runOptions, notes } = await startOf(dir, options, tell);
  const division = await divide(dir, runOptions);
  checkPatience(schedule.patience, division.val.length);
  for (const text of [...notes, ...division.notes]) tell({ event: "note", text });
  if (stored) checkSame(dir, folder, stored.data, division);
  const { adapter } = await runtime().backend();
  const network = await networkOf(runOptions, division, stored);
  const reading = { strict: schedule.strict, cacheBytes, signal, tell };
  const pictures = await picturesOf(division, network.preprocessing, reading);
  if (pictures.unseen > 0) tell({ event: "note", text: unseenText(pictures.unseen) });
  const sources = sourcesOf(pictures, division, runOptions);
  const run = folder ?? new RunFolder(await runFolderFor(dir, runOptions.model));
  const parts = { stored, division, network, options: runOptions, schedule, pictures, adapter };
  const record = new RunRecord(run, parts);
  await record.begin();
  tell({ event: "start", run: run.path, ...record.summary(), epochs: schedule.epochs });
  const result = await train(record, parts, sources, { resume: stored !== null, signal, tell });
  return finish(record, result, network.model, sources.test, tell);
}

/** Where a run goes and what it is to do. */
interface Start {
  readonly folder: RunFolder | null;
  /** The run.json of a run that has a checkpoint to go on from. */
  readonly stored: RunInfo | null;
  readonly schedule: RunSchedule;
  readonly runOptions: RunOptions;
  readonly notes: readonly string[];
}

async function startOf(
  dir: string,
  options: FinetuneOptions,
  tell: (event: FinetuneEvent) => void,
): Promise<Start> {
  const { epochs, patience, checkpointSeconds, strict, ...rest } = options;
  const { out, resume, signal, cacheBytes, onEvent, ...asGiven } = rest;
  const given = { ...asGiven, model: asGiven.model ?? (await impliedModel(asGiven.weights)) };
  const asked = scheduleOf(options, null);
  const { folder, begun, checkpoint } = await openRun(
    dir,
    { out, resume, model: given.model ?? MODEL },
    tell,
  );
  if (!begun) return { folder, stored: null, schedule: asked, ...(await optionsOf(given)) };
  const runOptions = resumedOptions(given, begun.options);
  const schedule = scheduleOf(options, begun);
  return { folder, stored: checkpoint ? begun : null, schedule, runOptions, notes: [] };
}

/** Throws DataError unless a resumed run has its pictures. */
function checkSame(dir: string, folder: RunFolder | null, own: RunInfo["data"], now: Division): void {
  if (own.fingerprint !== now.fingerprint)
    throw new DataError(`${dir} does not hold the pictures, divided so, that ${folder?.path} was begun with`);
  if (own.contents !== undefined && own.contents !== now.contents)
    throw new DataError(
      `pictures in ${dir} were changed since ${folder?.path} was begun: put them back, or start a new run`,
    );
}

interface TrainOptions {
  readonly resume: boolean;
  readonly signal: AbortSignal | undefined;
  readonly tell: (event: FinetuneEvent) => void;
}

function train(
  record: RunRecord,
  { network, options, schedule }: RecordParts,
  sources: ReturnType<typeof sourcesOf>,
  { resume, signal, tell }: TrainOptions,
): Promise<FitResult> {
  const { epochs, patience, checkpointSeconds } = schedule;
  const { clipNorm, accumulate, monitor } = options;
  return record.guard(() =>
    fit(network.model, sources.train, {
      ...{ epochs, patience, checkpointSeconds, accumulate, monitor },
      clipNorm: clipNorm ?? undefined,
      optimizer: optimizerOf(network.model, options),
      val: sources.val ?? undefined,
      store: record.store,
      resume,
      config: options,
      signal,
      onEvent: tell,
    }),
  );
}

const unseenText = (n: number) =>
  `${n} picture${n === 1 ? "" : "s"} beyond the memory for prepared ones will be read while training, and told then if unreadable`;

/** Tests the kept weights and closes the record. */
async function finish(
  record: RunRecord,
  result: FitResult,
  model: Classifier,
  test: ReturnType<typeof pictureSource> | null,
  tell: (event: FinetuneEvent) => void,
): Promise<FinetuneResult> {
  const { end, bestEpoch, history, val } = result;
  const common = { run: record.folder.path, end, epochs: history.length, bestEpoch };
  if (end === "aborted") {
    await record.end("interrupted", null);
    return { ...common, val: null, test: null };
  }
  let score: Score | null = null;
  if (test) {
    const where = () => "the test";
    const onProgress = (done: number, total: number) => tell({ event: "test", done, total });
    score = scoreIn(await evaluate(model, test, { where, onProgress }));
  }
  await record.end("finished", score);
  return { ...common, val, test: score };
}

/** The options of a new run, and what to say of the weights that nobody chose. */
async function optionsOf(
  given: Parameters<typeof newRunOptions>[0],
): Promise<{ runOptions: RunOptions; notes: string[] }> {
  const runOptions = newRunOptions(given, false);
  if (given.weights !== undefined) return { runOptions, notes: [] };
  const { present, path } = await hasImagenet(runOptions.model);
  if (present) return { runOptions: newRunOptions(given, true), notes: [] };
  const put = path ? `; to start from ImageNet's, put them at ${path}` : "";
  const note = `no pretrained weights of ${runOptions.model} here, so they start random${put}`;
  return { runOptions, notes: [note] };
}

async function networkOf(
  o: RunOptions,
  division: Division,
  stored: RunInfo | null,
): Promise<PreparedNetwork> {
  manualSeed(o.seed);
  // A resumed run has its weights in the checkpoint.
  const weights = stored ? null : await openPretrained(o.weights, o.model);
  const policy = {
    freeze: o.freeze,
    unfrozenBlocks: o.unfrozenBlocks || undefined,
    frozenBatchNorm: o.frozenBatchNorm,
  };
  const built = buildNetwork({
    model: o.model,
    classes: division.folder.classes,
    head: stored?.model.head ?? o.head,
    weights: weights ?? undefined,
    policy,
    blank: stored !== null,
  });
  const preset = weights?.preprocessing ?? built.model.preprocessing;
  const sized = o.imageSize === null ? preset : { ...preset, resize: o.imageSize, crop: o.imageSize };
  const preprocessing = stored?.preprocessing ?? sized;
  checkImageSize(built.model, preprocessing.crop);
  return { ...built, preprocessing };
}

function picturesOf(
  { folder, train, val, test }: Division,
  spec: RunInfo["preprocessing"],
  options: Pick<FinetuneOptions, "strict" | "cacheBytes" | "signal"> & { tell: (e: FinetuneEvent) => void },
): Promise<PreparedPictures> {
  const { strict, cacheBytes, signal, tell } = options;
  return preparePictures(folder, spec, {
    indices: [...train, ...val, ...test],
    strict,
    cacheBytes,
    onProgress: (done, total) => {
      signal?.throwIfAborted();
      tell({ event: "pictures", done, total });
    },
    onUnreadable: (error, i) => tell({ event: "unreadable", file: folder.path(i), reason: error.message }),
  });
}

type Source = ReturnType<typeof pictureSource>;

function sourcesOf(
  pictures: PreparedPictures,
  { train, val, test }: Division,
  { batchSize, seed }: RunOptions,
): { train: Source; val: Source | null; test: Source | null } {
  const held = (indices: readonly number[]) =>
    indices.length > 0 ? pictureSource(pictures, indices, { batchSize }) : null;
  const source = pictureSource(pictures, train, { batchSize, seed, shuffle: true });
  return { train: source, val: held(val), test: held(test) };
}

function optimizerOf(model: Classifier, o: RunOptions): Optimizer<object> {
  const params = model.parameters().filter((p) => p.requiresGrad);
  const { lr, weightDecay, momentum } = o;
  if (o.optimizer === "sgd") return new SGD(params, { lr, weightDecay, momentum });
  return new (o.optimizer === "adamw" ? AdamW : Adam)(params, { lr, weightDecay });
}
