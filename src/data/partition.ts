// From a folder and the options of the command line to the pictures of train, val and test.
import { DataError, UsageError } from "../core/error.ts";
import { groupsOf } from "./groups.ts";
import type { ImageFolder, PartName } from "./image_folder.ts";
import { sample } from "./sample.ts";
import { type Split, split } from "./split.ts";

export interface PartitionOptions {
  /** Shares held out; where the folder has a part of its own, leave it undefined. */
  readonly val?: number;
  readonly test?: number;
  readonly seed: number;
  /** A regular expression that finds a picture's group in its path relative to the folder. */
  readonly group?: string;
  readonly perClass?: number;
  readonly limit?: number;
}

/**
 * Draws the sample (`perClass`, `limit`), then divides it: into the folder's own parts where it has them, else by
 * `split`; a part that the folder lacks is taken from its train part by the share given. The lot of a picture hangs
 * on its path and the seed. Pictures are divided as they are listed, readable or not, so that a file that breaks
 * later moves no other from one side to the other.
 *
 * Throws UsageError for bad shares or numbers, a pattern that fits not all paths, or a share for a part that the
 * folder itself has; DataError when the folder's own parts have a group in common.
 */
export function partition(
  folder: Pick<ImageFolder, "root" | "labels" | "classes" | "paths" | "parts">,
  options: PartitionOptions,
): Split {
  const { labels, classes, paths, parts } = folder;
  const { seed, perClass, limit } = options;
  const groups = options.group === undefined ? undefined : groupsOf(paths, options.group);
  const strata = parts ?? undefined;
  const chosen = sample(labels, { perClass, limit, seed, keys: paths, classes, strata });
  const common = { seed, keys: paths, groups, classes };
  if (parts === null) {
    const { val, test } = options;
    const divided = split(labels, { ...common, val, test, indices: chosen.indices });
    return { ...divided, notes: [...chosen.notes, ...divided.notes] };
  }
  for (const name of ["val", "test"] as const) {
    if (options[name] === undefined || !parts.includes(name)) continue;
    const train = paths[parts.indexOf("train")].split("/")[0];
    throw new UsageError(
      `${folder.root} has a ${name} folder, so --${name} cannot be honoured: leave it out, or give ${folder.root}/${train}`,
    );
  }
  if (groups) checkGroups(groups, parts, paths);
  const own = (name: PartName) => chosen.indices.filter((i) => parts[i] === name);
  const rest = split(labels, { ...common, val: options.val, test: options.test, indices: own("train") });
  return {
    train: rest.train,
    val: parts.includes("val") ? own("val") : rest.val,
    test: parts.includes("test") ? own("test") : rest.test,
    notes: [...chosen.notes, ...rest.notes],
  };
}

function checkGroups(groups: readonly string[], parts: readonly PartName[], paths: readonly string[]): void {
  const first = new Map<string, number>();
  for (const [i, group] of groups.entries()) {
    const other = first.get(group);
    if (other === undefined) first.set(group, i);
    else if (parts[other] !== parts[i]) {
      throw new DataError(
        `group ${group} is in ${parts[other]} and in ${parts[i]} (${paths[other]}, ${paths[i]}): give one undivided folder instead`,
      );
    }
  }
}
