// Shards of an earlier TensorFlow.js model in the same folder, which the new model.json does not name.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DataError, messageOf } from "../core/error.ts";

/** Removes files called as shards are that are not among `kept`; everything else stays. */
export async function removeOldShards(folder: string, kept: ReadonlySet<string>): Promise<void> {
  try {
    for (const name of await readdir(folder))
      if (/^group1-shard\d+of\d+\.bin$/.test(name) && !kept.has(name)) await rm(join(folder, name));
  } catch (error) {
    throw new DataError(`an old shard in ${folder} could not be removed (${messageOf(error)})`);
  }
}
