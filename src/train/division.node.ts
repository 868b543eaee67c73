// A run's pictures: the folder, its division into train, val and test, and a fingerprint of both, by which a resumed
// run knows that it goes on with the same pictures.

import { createHash } from "node:crypto";
import { type ImageFolder, imageFolder, partition, type Split } from "../data/index.ts";
import type { RunOptions } from "./run_info.ts";

export interface Division extends Split {
  readonly folder: ImageFolder;
  readonly fingerprint: string;
}

/** Shares held out where neither the user nor the folder says otherwise. */
const VAL = 0.2;
const TEST = 0.1;

/** Throws as imageFolder and partition do. */
export async function divide(dir: string, options: RunOptions): Promise<Division> {
  const folder = await imageFolder(dir);
  const own = (part: "val" | "test") => folder.parts?.includes(part) ?? false;
  const split = partition(folder, {
    seed: options.seed,
    val: options.val ?? (own("val") ? undefined : VAL),
    test: options.test ?? (own("test") ? undefined : TEST),
    group: options.group ?? undefined,
    perClass: options.perClass ?? undefined,
    limit: options.limit ?? undefined,
  });
  const notes = [...split.notes];
  const { ignored } = folder;
  if (ignored.length > 0)
    notes.push(
      `${ignored.length} file${ignored.length === 1 ? "" : "s"} passed over, not pictures in class folders, such as ${ignored[0]}`,
    );
  return { ...split, notes, folder, fingerprint: fingerprintOf(folder, split) };
}

/** SHA-256 of the classes and of each part's paths and labels. */
function fingerprintOf(folder: ImageFolder, split: Split): string {
  const hash = createHash("sha256").update(JSON.stringify(folder.classes));
  for (const part of [split.train, split.val, split.test])
    hash.update(JSON.stringify(part.map((i) => [folder.paths[i], folder.labels[i]])));
  return hash.digest("hex");
}
