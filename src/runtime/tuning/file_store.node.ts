// Measurements of one machine in one JSON file of the user's cache folder. It is replaced as a whole, so that two
// processes at once can at worst lose what one of them has just measured; a file that is damaged or another's is
// ignored with one warning.

import { readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../../core/error.ts";
import { makeFolder } from "../../core/make_folder.node.ts";
import { isPlain } from "../../core/options.ts";
import { replaceFile } from "../../core/replace_file.node.ts";
import { userCache } from "../../core/user_cache.node.ts";
import { isRecord, type Records } from "./records.ts";
import { FORMAT, type Machine, machineKey, type TuningStore } from "./store.ts";

interface Contents {
  readonly format: string;
  readonly machine: Machine;
  readonly calls: Readonly<Record<string, unknown>>;
}

export class FileStore implements TuningStore {
  readonly where: string;
  readonly #machine: Machine;
  #warned = false;

  constructor(machine: Machine, folder: string = userCache("tuning")) {
    this.#machine = machine;
    this.where = join(folder, `${machineKey(machine)}.json`);
  }

  async read(): Promise<Records> {
    try {
      return this.#parsed(await readFile(this.where, "utf8"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        this.#warn(`${this.where} is not used: ${messageOf(error)}`);
      return new Map();
    }
  }

  #parsed(text: string): Records {
    const all = JSON.parse(text) as Contents;
    if (!isPlain(all) || all.format !== FORMAT || !isPlain(all.calls))
      throw new Error("it holds no measurements");
    if (JSON.stringify(all.machine) !== JSON.stringify(this.#machine))
      throw new Error("it is of another machine");
    const calls = Object.entries(all.calls).map(([key, r]) => {
      if (!isRecord(r)) throw new Error(`its record of ${key} is damaged`);
      return [key, r] as const;
    });
    return new Map(calls);
  }

  /** A line for each call: a model has hundreds, and each a dozen measurements. */
  #text(records: Records): string {
    const head = JSON.stringify({ format: FORMAT, machine: this.#machine }).slice(0, -1);
    const calls = [...records].map(([key, r]) => `${JSON.stringify(key)}:${JSON.stringify(r)}`);
    return `${head},"calls":{\n${calls.join(",\n")}\n}}\n`;
  }

  async add(records: Records): Promise<void> {
    try {
      await makeFolder(dirname(this.where), "the folder of measurements");
      // Another process may have added some since.
      const all = new Map([...(await this.read()), ...records]);
      await replaceFile(this.where, [this.#text(all)]);
    } catch (error) {
      this.#warn(`measurements are not kept: ${messageOf(error)}`);
    }
  }

  async clear(): Promise<void> {
    await rm(this.where, { force: true });
  }

  /** Once: the work goes on without. */
  #warn(text: string): void {
    if (!this.#warned) console.warn(`thaw: ${text}`);
    this.#warned = true;
  }
}
