// Measurements in a page: one IndexedDB for all machines, a record under [machine, call]. Where the page may not keep
// anything (a private window) there are none, with one warning.

import { messageOf } from "../../core/error.ts";
import { isRecord, type Records } from "./records.ts";
import { type Machine, machineKey, type TuningStore } from "./store.ts";

const NAME = "thaw-tuning";
const STORE = "calls";

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const completed = (t: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    t.oncomplete = () => resolve();
    t.onerror = t.onabort = () => reject(t.error);
  });

export class PageStore implements TuningStore {
  readonly where = `IndexedDB ${NAME}`;
  readonly #machine: string;
  readonly #factory: IDBFactory;
  #warned = false;

  constructor(machine: Machine, factory: IDBFactory) {
    this.#machine = machineKey(machine);
    this.#factory = factory;
  }

  /** Runs `work` in a transaction. */
  async #with<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => Promise<T>): Promise<T> {
    const opening = this.#factory.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const db = await done(opening);
    try {
      const transaction = db.transaction(STORE, mode);
      const ended = completed(transaction);
      const [out] = await Promise.all([work(transaction.objectStore(STORE)), ended]);
      return out;
    } finally {
      db.close();
    }
  }

  /** The keys [machine, call] of this machine: an array sorts behind every text. */
  get #own(): IDBKeyRange {
    return IDBKeyRange.bound([this.#machine], [this.#machine, []]);
  }

  async read(): Promise<Records> {
    try {
      return await this.#with("readonly", async (store) => {
        const [keys, values] = await Promise.all([
          done(store.getAllKeys(this.#own)),
          done(store.getAll(this.#own) as IDBRequest<unknown[]>),
        ]);
        const pairs = keys.map((k, i) => [(k as string[])[1], values[i]] as const);
        return new Map(pairs.flatMap(([key, r]) => (isRecord(r) ? [[key, r] as const] : [])));
      });
    } catch (error) {
      this.#warn(`measurements cannot be read: ${messageOf(error)}`);
      return new Map();
    }
  }

  async add(records: Records): Promise<void> {
    try {
      await this.#with("readwrite", async (store) => {
        for (const [key, r] of records) store.put(r, [this.#machine, key]);
      });
    } catch (error) {
      this.#warn(`measurements are not kept: ${messageOf(error)}`);
    }
  }

  async clear(): Promise<void> {
    await this.#with("readwrite", (store) => done(store.delete(this.#own)));
  }

  #warn(text: string): void {
    if (!this.#warned) console.warn(`thaw: ${text}`);
    this.#warned = true;
  }
}
