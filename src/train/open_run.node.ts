// Where a fine-tune's run lives: a new folder, or the one of the run to go on with; and what that run keeps beside its
// options.

import { resolve } from "node:path";
import { UsageError } from "../core/error.ts";
import { checkName } from "../models/index.ts";
import type { FinetuneEvent, FinetuneOptions } from "./finetune_options.ts";
import { checkSchedule } from "./fit_options.ts";
import { checkWritable, isWithin } from "./folders.node.ts";
import { defaultFolders, RunFolder, runFolderFor } from "./run_folder.node.ts";
import type { RunInfo, RunSchedule } from "./run_info.ts";

export interface OpenRun {
  /** Null where its name is chosen when the run begins. */
  readonly folder: RunFolder | null;
  /** The run.json of the run to go on with; null for a new one. */
  readonly begun: RunInfo | null;
  /** False where that was broken off before its first checkpoint: it begins again, with its own options. */
  readonly checkpoint: boolean;
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
  if (out === undefined && !resume) return { folder: null, begun: null, checkpoint: false };
  const folder = new RunFolder(path);
  const found = await folder.found();
  if (resume) return goOn(folder, found, tell);
  if (found === "model" || (found === "checkpoint" && !(await folder.nothingLearned())))
    throw new UsageError(`${path} holds a run already: go on with it by --resume, or give another --out`);
  return { folder, begun: null, checkpoint: false };
}

async function goOn(
  folder: RunFolder,
  found: Awaited<ReturnType<RunFolder["found"]>>,
  tell: (event: FinetuneEvent) => void,
): Promise<OpenRun> {
  if (found === "nothing")
    throw new UsageError(`${folder.path} holds no run to go on with: leave --resume out to begin one`);
  if (found === "model")
    throw new UsageError(`${folder.path} holds a run whose checkpoint is gone: it cannot be gone on with`);
  const checkpoint = found === "checkpoint";
  const begun = await folder.readInfo();
  if (!checkpoint)
    tell({ event: "note", text: `${folder.path} holds no checkpoint yet: beginning from the start` });
  return { folder, begun, checkpoint };
}

/** The newest unfinished run of these pictures in the default folders, or the only one. */
async function newest(dir: string, model: string): Promise<string> {
  checkName(model);
  const { name, folders } = await defaultFolders(dir, model);
  const runs: { readonly path: string; readonly info: RunInfo }[] = [];
  for (const path of folders) {
    const folder = new RunFolder(path);
    if ((await folder.found()) === "nothing") continue;
    const info = await folder.readInfo();
    if (info.data.folder === resolve(dir)) runs.push({ path, info });
  }
  const open = runs.find(({ info }) => info.status !== "finished");
  if (open) return open.path;
  if (runs.length === 1) return runs[0].path;
  if (runs.length > 1)
    throw new UsageError(
      `all runs of ${dir} are finished (${runs.map((r) => r.path).join(", ")}): name the one to go on with by --out`,
    );
  throw new UsageError(
    `${name} holds no run of ${dir} to go on with: leave --resume out to begin one, or name its folder by --out`,
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
