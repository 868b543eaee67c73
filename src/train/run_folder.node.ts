// A run's folder on disk: run.json, metrics.jsonl, model.safetensors, checkpoint/last and checkpoint/best. Every file is
// replaced atomically, so that a run killed at any moment leaves a folder that can be read and resumed.

import { readdir, readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { DataError, messageOf } from "../core/error.ts";
import { replaceFile } from "../core/replace_file.node.ts";
import { VERSION } from "../core/version.ts";
import { read, readCheckpoint, type Weights, write } from "../weights/index.ts";
import { makeFolder, removeStale } from "./folders.node.ts";
import { parseRunInfo, type RunInfo } from "./run_info.ts";
import type { CheckpointStore, EpochRecord, Snapshot, SnapshotState } from "./snapshot.ts";
import { snapshotWeights } from "./snapshot.ts";

const KEY = "thaw";

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** What a former run left: nothing, something that was begun, a model only, or a checkpoint to go on from. */
  async found(): Promise<"nothing" | "begun" | "model" | "checkpoint"> {
    if (await exists(this.file("checkpoint/last.safetensors"))) return "checkpoint";
    if (await exists(this.file("model.safetensors"))) return "model";
    return (await exists(this.file("run.json"))) ? "begun" : "nothing";
  }

  /** Whether a run ended here before its first step, so that nothing is lost with its checkpoint. */
  async nothingLearned(): Promise<boolean> {
    const info = await this.readInfo().catch(() => null);
    if (info === null || info.status === "running") return false;
    const last = await this.#load("last").catch(() => null);
    return last?.state.progress.step === 0;
  }

  /** Makes the folder, or clears it of half-written files. Throws DataError where that is impossible. */
  async create(): Promise<void> {
    try {
      await makeFolder(this.file("checkpoint"));
      for (const path of [this.path, this.file("checkpoint")]) await removeStale(path);
    } catch (error) {
      throw new DataError(`the run folder ${this.path} could not be made: ${messageOf(error)}`);
    }
  }

  async writeInfo(info: RunInfo): Promise<void> {
    await replaceFile(this.file("run.json"), [`${JSON.stringify(info, null, 2)}\n`]);
  }

  /** Throws DataError when there is no run here, or a damaged one. */
  async readInfo(): Promise<RunInfo> {
    const text = await readFile(this.file("run.json"), "utf8").catch(() => {
      throw new DataError(`${this.path} is not a run folder: it has no run.json`);
    });
    return parseRunInfo(text, this.file("run.json"));
  }

  /** Writes metrics.jsonl whole: a line for each epoch that the last checkpoint knows, and none twice. */
  async writeMetrics(history: readonly EpochRecord[]): Promise<void> {
    await replaceFile(
      this.file("metrics.jsonl"),
      history.map((r) => `${JSON.stringify(r)}\n`),
    );
  }

  /** The store of a run's checkpoints; the best one's weights are also the run's model. */
  get store(): CheckpointStore {
    return {
      save: async (which, snapshot) => {
        const metadata = { [KEY]: JSON.stringify(snapshot.state) };
        await write(this.#checkpoint(which), snapshot.tensors, { metadata });
        if (which === "best") await this.writeModel(snapshot);
      },
      load: (which) => this.#load(which),
    };
  }

  async writeModel(snapshot: Snapshot): Promise<void> {
    await write(this.file("model.safetensors"), snapshotWeights(snapshot));
  }

  /** The run's weights. Throws DataError when it has none yet. */
  async readModel(): Promise<Weights> {
    const path = this.file("model.safetensors");
    if (!(await exists(path)))
      throw new DataError(`${this.path} has no model.safetensors yet: its first epoch was never finished`);
    return read(path);
  }

  #checkpoint(which: "last" | "best"): string {
    return this.file(`checkpoint/${which}.safetensors`);
  }

  async #load(which: "last" | "best"): Promise<Snapshot | null> {
    const path = this.#checkpoint(which);
    if (!(await exists(path))) return null;
    const { tensors, extras } = await readCheckpoint(path);
    const state = extras.get(KEY);
    if (typeof state !== "string") throw new DataError(`${path} is not a checkpoint of a run`);
    return { tensors, state: JSON.parse(state) as SnapshotState };
  }
}

const defaultName = (dir: string, model: string) => join("runs", `${basename(resolve(dir))}-${model}`);

/** A new run's folder for pictures in `dir`: the first of `runs/DIR-MODEL`, `…-2`, `…-3` that is free. */
export async function runFolderFor(dir: string, model: string): Promise<string> {
  const name = defaultName(dir, model);
  for (let i = 1; ; i++) {
    const path = i === 1 ? name : `${name}-${i}`;
    if (!(await exists(path))) return path;
  }
}

/** Those of them that are there, the newest first, and the name of the first. */
export async function defaultFolders(
  dir: string,
  model: string,
): Promise<{ name: string; folders: string[] }> {
  const name = defaultName(dir, model);
  const prefix = `${basename(name)}-`;
  const later = (await readdir("runs").catch(() => [] as string[]))
    .filter((entry) => entry.startsWith(prefix) && /^[1-9]\d*$/.test(entry.slice(prefix.length)))
    .map((entry) => Number(entry.slice(prefix.length)))
    .sort((a, b) => b - a);
  return { name, folders: [...later.map((n) => `${name}-${n}`), name] };
}

/** Versions of the software that a run was made with; packages that are not installed are left out. */
export async function softwareVersions(): Promise<Record<string, string>> {
  const versions: Record<string, string> = { thaw: VERSION, node: process.version };
  const require = createRequire(import.meta.url);
  for (const name of ["webgpu", "sharp"]) {
    const folder = `node_modules/${name}/`;
    try {
      // Not every package exports its package.json, so it is found beside the entry point.
      const main = require.resolve(name).replaceAll("\\", "/");
      const text = await readFile(`${main.slice(0, main.lastIndexOf(folder))}${folder}package.json`, "utf8");
      versions[name] = (JSON.parse(text) as { version: string }).version;
    } catch {
      // Not installed here.
    }
  }
  return versions;
}
