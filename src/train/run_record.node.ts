// What a running fine-tune writes into its folder beside the checkpoints: run.json and metrics.jsonl, kept in step with
// them.

import { resolve } from "node:path";
import type { AdapterSummary } from "../gpu/device.ts";
import { adapterName } from "../gpu/device.ts";
import type { Division } from "./division.node.ts";
import type { PreparedNetwork } from "./network.ts";
import { type RunFolder, softwareVersions } from "./run_folder.node.ts";
import type { RunInfo, RunOptions, RunSchedule } from "./run_info.ts";
import type { CheckpointStore, Progress } from "./snapshot.ts";
import type { PreparedPictures } from "./source.ts";
import type { Score } from "./steps.ts";

export interface RecordParts {
  /** The run.json of a run that goes on. */
  readonly stored: RunInfo | null;
  readonly division: Division;
  readonly network: PreparedNetwork;
  readonly options: RunOptions;
  readonly schedule: RunSchedule;
  readonly pictures: PreparedPictures;
  readonly adapter: AdapterSummary;
}

export class RunRecord {
  readonly folder: RunFolder;
  readonly #parts: RecordParts;
  #status: RunInfo["status"] = "running";
  #metrics: RunInfo["metrics"] = { epochs: 0, bestEpoch: 0, train: null, val: null, test: null };
  #versions: RunInfo["versions"] = {};
  readonly #started: string;

  constructor(folder: RunFolder, parts: RecordParts) {
    this.folder = folder;
    this.#parts = parts;
    this.#started = parts.stored?.started ?? new Date().toISOString();
    if (parts.stored) this.#metrics = { ...parts.stored.metrics, test: null };
  }

  async begin(): Promise<void> {
    this.#versions = await softwareVersions();
    await this.folder.create();
    await this.#write();
  }

  /** The folder's checkpoints; whenever the last one is saved, run.json and metrics.jsonl follow. */
  get store(): CheckpointStore {
    const { store } = this.folder;
    return {
      load: (which) => store.load(which),
      save: async (which, snapshot) => {
        await store.save(which, snapshot);
        if (which === "last") await this.#advance(snapshot.state.progress);
      },
    };
  }

  async #advance({ history, best }: Progress): Promise<void> {
    const kept = history[(best?.epoch ?? 0) - 1];
    this.#metrics = {
      epochs: history.length,
      bestEpoch: kept?.epoch ?? 0,
      train: kept?.train ?? null,
      val: kept?.val ?? null,
      test: null,
    };
    await this.folder.writeMetrics(history);
    await this.#write();
  }

  /** Runs the training; where it throws, run.json says so. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.end("failed", null);
      throw error;
    }
  }

  async end(status: RunInfo["status"], test: Score | null): Promise<void> {
    this.#status = status;
    this.#metrics = { ...this.#metrics, test };
    await this.#write();
  }

  /** What the beginning of a run is told with. */
  summary() {
    const { network, options, division, adapter } = this.#parts;
    const { train, val, test } = this.#data();
    return {
      model: network.model.architecture,
      weights: options.weights,
      head: network.head,
      classes: division.folder.classes,
      train,
      val,
      test,
      parameters: network.report.totalCount,
      trainable: network.report.trainableCount,
      imageSize: network.preprocessing.crop,
      batchSize: options.batchSize,
      adapter: adapterName(adapter),
    };
  }

  #data(): RunInfo["data"] {
    const { division, pictures } = this.#parts;
    const { folder, fingerprint, contents, notes } = division;
    const readable = (part: readonly number[]) => part.filter((i) => !pictures.unreadable.has(i)).length;
    return {
      folder: resolve(folder.root),
      train: readable(division.train),
      val: readable(division.val),
      test: readable(division.test),
      fingerprint,
      contents,
      unreadable: [...pictures.unreadable].map(([i, e]) => ({ file: folder.paths[i], reason: e.message })),
      notes,
    };
  }

  async #write(): Promise<void> {
    const { network, options, schedule, division, adapter } = this.#parts;
    const { architecture } = network.model;
    await this.folder.writeInfo({
      format: 1,
      status: this.#status,
      model: {
        name: architecture,
        head: network.head,
        trainable: network.report.trainableCount,
        parameters: network.report.totalCount,
      },
      classes: division.folder.classes,
      preprocessing: network.preprocessing,
      options,
      schedule,
      data: this.#data(),
      metrics: this.#metrics,
      seed: options.seed,
      adapter,
      versions: this.#versions,
      started: this.#started,
      updated: new Date().toISOString(),
    });
  }
}
