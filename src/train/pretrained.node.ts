// Which weights a fine-tune starts from: none, the architecture's ImageNet weights, others of the manifest, a weight file,
// or a finished run.

import { stat } from "node:fs/promises";
import { DataError, nearest } from "../core/error.ts";
import { read, readCheckpoint } from "../weights/index.ts";
import { findKnown, type KnownWeights, manifest, openKnown } from "../weights/known.node.ts";
import { isModelFile } from "./model_file.node.ts";
import type { Pretrained } from "./network.ts";
import { RunFolder } from "./run_folder.node.ts";
import { teachableOf } from "./teachable.ts";

const knownName = (model: string) => `${model}/imagenet`;

async function known(model: string): Promise<KnownWeights | undefined> {
  return (await manifest()).get(knownName(model));
}

/** Whether the architecture's ImageNet weights lie on this machine; `missing` says where they would lie. */
export async function hasImagenet(model: string): Promise<{ present: boolean; path: string | null }> {
  const entry = await known(model);
  return entry ? findKnown(entry) : { present: false, path: null };
}

/** Published weights go with the preprocessing that their accuracy was reached with. */
async function openEntry(name: string, entry: KnownWeights): Promise<Pretrained> {
  const path = await openKnown(name, entry);
  return { dict: await read(path), source: path, preprocessing: entry.preprocessing };
}

/** A weight file; of a Teachable Machine export the head, classes and preprocessing, too. */
async function openFile(path: string): Promise<Pretrained> {
  const checkpoint = await readCheckpoint(path);
  const machine = teachableOf(checkpoint, path);
  if (!machine) return { dict: checkpoint.tensors, source: path };
  const { state: dict, head, classes, preprocessing } = machine;
  return { dict, source: path, head, classes, preprocessing };
}

/**
 * Reads the weights that `--weights` names; null for "none". Throws DataError for a file that is missing or cannot be
 * read, and, for "imagenet", one that says how to get the file.
 */
export async function openPretrained(weights: string, model: string): Promise<Pretrained | null> {
  if (weights === "none") return null;
  if (weights === "imagenet") {
    const entry = await known(model);
    if (!entry) throw new DataError(`there are no published ImageNet weights of ${model}; give a file`);
    return openEntry(knownName(model), entry);
  }
  const found = await stat(weights).catch(() => null);
  const named = found ? undefined : (await manifest()).get(weights);
  if (named) return openEntry(weights, named);
  if (!found) {
    const near = nearest(weights, ["none", "imagenet"]);
    const instead = near ? `; did you mean ${near}?` : " (or write none, or imagenet)";
    throw new DataError(`weights ${weights}: there is no such file${instead}`);
  }
  if (await isModelFile(weights)) return openFile(weights);
  const folder = new RunFolder(weights);
  const { model: own, classes, preprocessing } = await folder.readInfo();
  return { dict: await folder.readModel(), source: weights, head: own.head, classes, preprocessing };
}
