// Where a fine-tune's run lives: a new folder, or the one of the run to go on with; and what that run keeps beside its
// options.

import { resolve } from "node:path";
import { UsageError } from "../core/error.ts";
import type { FinetuneEvent, FinetuneOptions } from "./finetune_options.ts";
import { checkSchedule } from "./fit_options.ts";
import { checkWritable, isWithin } from "./folders.node.ts";
import { defaultFolders, RunFolder, runFolderFor } from "./run_folder.node.ts";
import type { RunInfo, RunSchedule } from "./run_info.ts";

/** `folder` is null where its name is chosen when the run begins; `stored` where nothing is there to go on with. */
export interface OpenRun {
  readonly folder: RunFolder | null;
  readonly stored: RunInfo | null;
}

type Asked = Pick<FinetuneOptions, "out" | "resume"> & { readonly model: string };

/** Throws UsageError for a folder that cannot be taken, DataError for one that cannot be written or is damaged. */
export async function openRun(
  dir: string,
  { out, resume = false, model }: Asked,
  tell: (event: FinetuneEvent) => void,
): Promise<OpenRun> {
  if (out?.trim() === "") throw new UsageError("out is an empty text: expected the run's folder");
  const path = out ?? (resume ? await newest(dir, model) : await runFolderFor(dir, model));
  if (await isWithin(path, dir))
    throw new UsageError(
      `the run's folder ${path} lies within ${dir}, among the pictures: give --out a folder outside`,
    );
  await checkWritable(path);
  if (out === undefined && !resume) return { folder: null, stored: null };
  const folder = new RunFolder(path);
  const found = await folder.found();
  if (resume) return { folder, stored: await goOn(folder, found, tell) };
  if (found === "checkpoint" || found === "model")
    throw new UsageError(`${path} holds a run already: go on with it by --resume, or give another --out`);
  return { folder, stored: null };
}

async function goOn(
  folder: RunFolder,
  found: Awaited<ReturnType<RunFolder["found"]>>,
  tell: (event: FinetuneEvent) => void,
): Promise<RunInfo | null> {
  if (found === "checkpoint") return folder.readInfo();
  if (found === "nothing")
    throw new UsageError(`${folder.path} holds no run to go on with: leave --resume out to begin one`);
  if (found === "model")
    throw new UsageError(`${folder.path} holds a run whose checkpoint is gone: it cannot be gone on with`);
  // Broken off before its first checkpoint: there is nothing to go on from.
  tell({ event: "note", text: `${folder.path} holds no checkpoint yet: beginning from the start` });
  return null;
}

/** The newest run in the default folders, rather one of these pictures than of another folder of that name. */
async function newest(dir: string, model: string): Promise<string> {
  const { name, folders } = await defaultFolders(dir, model);
  let other: string | null = null;
  for (const path of folders) {
    const folder = new RunFolder(path);
    if ((await folder.found()) === "nothing") continue;
    const info = await folder.readInfo().catch(() => null);
    if (info?.data.folder === resolve(dir)) return path;
    other ??= path;
  }
  if (other !== null) return other;
  throw new UsageError(
    `${name} holds no run to go on with: leave --resume out to begin one, or name its folder by --out`,
  );
}

const EPOCHS = 10;

/** What is asked now, else what the run was begun with, else the defaults. Throws UsageError for what cannot be. */
export function scheduleOf(asked: FinetuneOptions, stored: RunInfo | null): RunSchedule {
  const own = stored?.schedule;
  const schedule = {
    epochs: asked.epochs ?? own?.epochs ?? EPOCHS,
    patience: asked.patience ?? own?.patience ?? 0,
    checkpointSeconds: asked.checkpointSeconds ?? own?.checkpointSeconds ?? 120,
    strict: asked.strict ?? own?.strict ?? false,
  };
  checkSchedule(schedule);
  return schedule;
}
