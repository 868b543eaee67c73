// Whether a path names a model of another program's, and which architecture that implies.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readCheckpoint } from "../weights/index.ts";
import { teachableOf } from "./teachable.ts";

const found = (path: string) => stat(path).catch(() => null);

/** A file, or a folder with a model.json that is no run's. */
export async function isModelFile(given: string): Promise<boolean> {
  const path = given.startsWith("file:") ? fileURLToPath(given) : given;
  const info = await found(path);
  if (!info?.isDirectory()) return info !== null;
  return !(await found(join(path, "run.json"))) && (await found(join(path, "model.json"))) !== null;
}

/**
 * The architecture of the network in a Teachable Machine export, which `--weights` then needs no `--model` for;
 * undefined for other weights. Only what may be one is read: zips, model.json, folders.
 */
export async function impliedModel(weights: string | undefined): Promise<string | undefined> {
  if (weights === undefined || !(await isModelFile(weights))) return undefined;
  if (!(await found(weights))?.isDirectory() && !/\.(zip|json)$/i.test(weights)) return undefined;
  return teachableOf(await readCheckpoint(weights), weights)?.model.architecture;
}
