// The main job: a folder of pictures in, a run's folder out. Checks everything that can be checked before the first
// step, so that a wrong option or a broken file does not cost an hour.

import { DataError, UsageError } from "../core/error.ts";
import type { Classifier } from "../models/index.ts";
import { Adam, AdamW, type Optimizer, SGD } from "../optim/index.ts";
import { runtime } from "../runtime/context.ts";
import { manualSeed } from "../tensor/session.ts";
import { type Division, divide } from "./division.node.ts";
import type { FinetuneEvent, FinetuneOptions, FinetuneResult } from "./finetune_options.ts";
import { fit } from "./fit.ts";
import { checkSchedule, type FitResult } from "./fit_options.ts";
import { buildNetwork, type PreparedNetwork } from "./network.ts";
import { hasImagenet, openPretrained } from "./pretrained.node.ts";
import { RunFolder, runFolderFor } from "./run_folder.node.ts";
import type { RunInfo, RunOptions } from "./run_info.ts";
import { newRunOptions, resumedOptions } from "./run_options.ts";
import { RunRecord } from "./run_record.node.ts";
import { type PreparedPictures, pictureSource, preparePictures } from "./source.ts";
import { evaluate, type Score, scoreIn } from "./steps.ts";
import { checkImageSize } from "./summary.ts";

const EPOCHS = 10;

/**
 * Fine-tunes a classifier on a folder with one sub-folder of pictures per class, and writes a run's folder. The same
 * seed, pictures and options give the same weights, bit for bit, on the same adapter, broken off and resumed or not.
 *
 * Throws UsageError for options that cannot be, DataError for pictures and weights that cannot be used, DeviceError
 * without an adapter, Diverged when the loss is no number any more (the run's folder keeps the last good checkpoint).
 */
export async function finetune(dir: string, options: FinetuneOptions = {}): Promise<FinetuneResult> {
  const {
    epochs = EPOCHS,
    patience,
    out,
    resume = false,
    checkpointSeconds,
    strict,
    signal,
    onEvent,
    ...given
  } = options;
  const tell = onEvent ?? (() => {});
  checkSchedule({ epochs, patience, checkpointSeconds });
  const { folder, stored } = await openFolder(out, resume, tell);
  const { runOptions, notes } = stored
    ? { runOptions: resumedOptions(given, stored.options), notes: [] }
    : await optionsOf(given);
  const division = await divide(dir, runOptions);
  for (const text of [...notes, ...division.notes]) tell({ event: "note", text });
  if (stored && stored.data.fingerprint !== division.fingerprint)
    throw new DataError(`${dir} does not hold the pictures, divided so, that ${folder?.path} was begun with`);
  const { adapter } = await runtime().backend();
  const network = await networkOf(runOptions, division, stored);
  const pictures = await picturesOf(division, network.preprocessing, { strict, signal, tell });
  if (pictures.unseen > 0) tell({ event: "note", text: unseenText(pictures.unseen) });
  const run = folder ?? new RunFolder(await runFolderFor(dir, runOptions.model));
  const record = new RunRecord(run, { stored, division, network, options: runOptions, pictures, adapter });
  await record.begin();
  const sources = sourcesOf(pictures, division, runOptions);
  tell({ event: "start", run: run.path, ...record.summary(), epochs });
  const { clipNorm, accumulate, monitor } = runOptions;
  const schedule = { epochs, patience, checkpointSeconds, accumulate, monitor };
  const result = await record.guard(() =>
    fit(network.model, sources.train, {
      ...schedule,
      clipNorm: clipNorm ?? undefined,
      optimizer: optimizerOf(network.model, runOptions),
      val: sources.val ?? undefined,
      store: record.store,
      resume,
      config: runOptions,
      signal,
      onEvent: tell,
    }),
  );
  return finish(record, result, network.model, sources.test, tell);
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

/** The run's folder where one is named, and what it holds of a run to go on with. */
async function openFolder(
  out: string | undefined,
  resume: boolean,
  tell: (event: FinetuneEvent) => void,
): Promise<{ folder: RunFolder | null; stored: RunInfo | null }> {
  if (out === undefined) {
    if (resume) throw new UsageError("resume needs --out, the folder of the run to go on with");
    return { folder: null, stored: null };
  }
  const folder = new RunFolder(out);
  const found = await folder.found();
  if (found === "nothing" || (found === "begun" && resume)) {
    // Broken off before its first checkpoint: there is nothing to go on from.
    if (resume) tell({ event: "note", text: `${out} holds no checkpoint yet: beginning from the start` });
    return { folder, stored: null };
  }
  if (!resume)
    throw new UsageError(`${out} holds a run already: go on with it by --resume, or give another --out`);
  return { folder, stored: await folder.readInfo() };
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
  { strict, signal, tell }: Pick<FinetuneOptions, "strict" | "signal"> & { tell: (e: FinetuneEvent) => void },
): Promise<PreparedPictures> {
  return preparePictures(folder, spec, {
    indices: [...train, ...val, ...test],
    strict,
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
