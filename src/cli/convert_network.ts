// The networks that thaw convert writes whole: a run's folder, or a weight file and the name of its architecture.

import { readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { DataError, messageOf, UsageError } from "../core/error.ts";
import { type ExportOptions, exportOnnx, exportTfjs } from "../export/index.ts";
import { type Classifier, create } from "../models/index.ts";
import { init as nn } from "../nn/index.ts";
import { init } from "../tensor/session.ts";
import { loadRun } from "../train/index.ts";
import { teachableOf } from "../train/teachable.ts";
import type { Checkpoint, Weights } from "../weights/index.ts";

/** How a network is written. */
export interface NetworkRequest {
  readonly out: string;
  readonly model?: string;
  readonly imageSize?: number;
  readonly softmax?: boolean;
  /** A file of class names. */
  readonly classes?: string;
  readonly dtype?: "f32" | "f16";
}

export type NetworkFormat = "onnx" | "tfjs";

/** The whole-network format that a file's name asks for; null where it names one of weights alone. */
export function networkFormat(out: string): NetworkFormat | null {
  if (/\.onnx$/i.test(out)) return "onnx";
  if (!/\.json$/i.test(out)) return null;
  if (basename(out) !== "model.json")
    throw new UsageError(
      `a TensorFlow.js model is a folder with model.json: write FOLDER/model.json, not ${out}`,
    );
  return "tfjs";
}

export interface WrittenNetwork {
  readonly model: string;
  readonly classes: number | null;
  readonly input: readonly number[];
  readonly parameters: number;
}

/** Writes the network of a run's folder. Throws DataError for a folder that is none. */
export async function writeRun(
  format: NetworkFormat,
  folder: string,
  r: NetworkRequest,
): Promise<WrittenNetwork> {
  if (r.model !== undefined)
    throw new UsageError(`--model goes with a weight file: the run ${folder} says which model it is of`);
  await init({ device: "cpu" });
  const { model, info } = await loadRun(folder);
  return writeNetwork(format, model, r, { classes: info.classes, preprocessing: info.preprocessing });
}

/**
 * Writes a network with the weights of the file `source`: the architecture `r.model`, or what a Teachable Machine export
 * says that it is; the file's own labels and preprocessing go along. Throws DataError where they do not fit.
 */
export async function writeModel(
  format: NetworkFormat,
  read: Checkpoint,
  source: string,
  r: NetworkRequest,
): Promise<WrittenNetwork> {
  await init({ device: "cpu" });
  const { tensors, model: own } = read;
  const machine =
    r.model === undefined && read.format === "teachable-machine" ? teachableOf(read, source) : null;
  if (machine) return writeNetwork(format, machine.model, r, machine);
  const name = r.model;
  if (name === undefined)
    throw new UsageError(
      `a whole network needs to know which it is: name the architecture of ${source} by --model, or give a run's folder`,
    );
  const model = nn.skipInit(() => create(name, { numClasses: outputsIn(name, tensors) }));
  model.loadStateDict(tensors, { source });
  return writeNetwork(format, model, r, {
    ...(own?.labels ? { classes: own.labels } : {}),
    ...(own?.preprocessing ? { preprocessing: own.preprocessing } : {}),
  });
}

/** Outputs of the file's head, where it has others than the architecture by itself. */
function outputsIn(name: string, tensors: Weights): number | undefined {
  const model = nn.skipInit(() => create(name));
  const { misshaped } = model.loadStateDict(tensors, { strict: false, dryRun: true });
  // Of a head of several layers the last one has them.
  return misshaped.findLast((m) => m.name.startsWith(`${model.headName}.`))?.found[0];
}

async function writeNetwork(
  format: NetworkFormat,
  model: Classifier,
  r: NetworkRequest,
  known: Pick<ExportOptions, "classes" | "preprocessing">,
): Promise<WrittenNetwork> {
  const own = known.preprocessing ?? model.preprocessing;
  const side = r.imageSize ?? own.crop;
  if (side < 1) throw new UsageError(`--image-size must be a whole number of at least 1, not ${side}`);
  // The short side keeps its proportion to the crop.
  const resize = Math.round((own.resize * side) / own.crop);
  const classes = r.classes === undefined ? known.classes : await readClasses(r.classes);
  const options: ExportOptions = {
    inputShape: [3, side, side],
    preprocessing: { ...own, crop: side, resize },
    softmax: r.softmax ?? false,
    dtype: r.dtype ?? "f32",
    ...(classes ? { classes } : {}),
  };
  if (format === "onnx") await exportOnnx(r.out, model, options);
  else await exportTfjs(dirname(r.out), model, options);
  return {
    model: model.architecture,
    classes: classes?.length ?? null,
    input: [3, side, side],
    parameters: model.parameters().reduce((n, p) => n + p.numel, 0),
  };
}

/** Names from a JSON list, or from a text with one a line. */
async function readClasses(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch((error) => {
    throw new DataError(`the classes ${path} could not be read: ${messageOf(error)}`);
  });
  if (!text.trimStart().startsWith("[")) return text.trim().split(/\r?\n/);
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((c) => typeof c === "string")) return list;
  } catch {
    // Told below, as a list of something else is.
  }
  throw new DataError(`the classes ${path} are no JSON list of names`);
}

/** Bytes of what was written: one file, or a model.json with its shards. */
export async function bytesWritten(format: NetworkFormat, out: string): Promise<number> {
  const own = (await stat(out)).size;
  if (format === "onnx") return own;
  const { weightsManifest } = JSON.parse(await readFile(out, "utf8")) as {
    weightsManifest: { paths: string[] }[];
  };
  const shards = weightsManifest.flatMap(({ paths }) => paths);
  const sizes = await Promise.all(shards.map(async (name) => (await stat(`${dirname(out)}/${name}`)).size));
  return sizes.reduce((n, size) => n + size, own);
}
