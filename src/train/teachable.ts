// Classifiers that another program trained and Thaw goes on from: Teachable Machine's image projects.

import { inNode } from "../core/env.ts";
import { DataError } from "../core/error.ts";
import { keras } from "../models/index.ts";
import { type Checkpoint, readCheckpoint, type WeightInput } from "../weights/index.ts";
import { PictureClassifier } from "./picture_classifier.ts";
import { loadRun } from "./run.ts";

/**
 * The Teachable Machine network of a checkpoint; null for one that does not tell its layers and labels. Throws a
 * DataError for a network that is none of Teachable Machine's.
 */
export function teachableOf(checkpoint: Checkpoint, source: string): keras.TeachableMachine | null {
  const { tensors, model } = checkpoint;
  if (!model?.config || !model.labels) return null;
  return keras.teachableMachine({
    topology: model.config,
    weights: tensors,
    labels: model.labels,
    imageSize: model.preprocessing?.crop,
    source,
  });
}

/**
 * A classifier from a Teachable Machine export (a zip, model.json with its files beside it, or a list of these), or in
 * Node also from a run's folder or URL. Throws DataError for whatever is neither, or broken.
 */
export async function loadClassifier(input: WeightInput): Promise<PictureClassifier> {
  const path = typeof input === "string" || input instanceof URL ? String(input) : null;
  if (path !== null && !(await isExport(path))) return loadRun(path);
  const name = path ?? "the Teachable Machine export";
  const machine = teachableOf(await readCheckpoint(input, { name }), name);
  if (!machine)
    throw new DataError(
      `${name} is no classifier: expected a run's folder, or a Teachable Machine export with its labels`,
    );
  return new PictureClassifier(machine);
}

async function isExport(path: string): Promise<boolean> {
  if (/^https?:/.test(path) || !inNode()) return false;
  const { isModelFile } = await import("./model_file.node.ts");
  return isModelFile(path);
}
