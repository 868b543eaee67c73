// HDF5 files in Node: a thread reads them one after the other, and is ended where a file takes longer than any honest
// file of its size would.

import { once } from "node:events";
import { extname } from "node:path";
import { type Transferable, Worker } from "node:worker_threads";
import { DataError, messageOf, ThawError } from "../core/error.ts";
import type { Hdf5File } from "./hdf5_read.ts";
import type { Source } from "./source.ts";

/** What the thread is asked. */
export interface Hdf5Request {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly skipUnsupported: boolean;
  /** Bytes that the library's memory may grow to. */
  readonly mostMemory: number;
}

/** What it answers: the file, or an error as text. */
export type Hdf5Answer =
  | { readonly file: Hdf5File }
  | { readonly error: string; readonly kind: "data" | "thaw" | "other" };

/** Memory for a small file, the library's own 19 MiB among it; the library's maximum is 2 GiB. */
const LEAST_MEMORY = 192 * 2 ** 20;
const MOST_MEMORY = 2 ** 31;

/** Far more than a slow machine needs for a small file, and for a MiB of a large one (the disk is not waited for). */
const SECONDS = 5;
const SECONDS_PER_MIB = 0.5;

let thread: Worker | null = null;
let last: Promise<unknown> = Promise.resolve();

/** Reads the file in the thread. Throws what reading it threw, and DataError where it takes too long. */
export function readInThread(source: Source, skipUnsupported: boolean): Promise<Hdf5File> {
  const turn = last.then(() => read(source, skipUnsupported));
  last = turn.catch(() => {});
  return turn;
}

async function read(source: Source, skipUnsupported: boolean): Promise<Hdf5File> {
  const mostMemory = Math.min(MOST_MEMORY, LEAST_MEMORY + 4 * source.bytes.length);
  // A copy, which the thread keeps: the file stays with whoever passed it.
  const bytes = source.bytes.slice();
  const request: Hdf5Request = { name: source.name, bytes, skipUnsupported, mostMemory };
  const answer = await ask(source, request, [bytes.buffer]);
  if ("file" in answer) return answer.file;
  if (answer.kind === "data") throw new DataError(answer.error);
  if (answer.kind === "thaw") throw new ThawError(answer.error);
  throw new Error(answer.error);
}

async function ask(source: Source, request: Hdf5Request, transfer: Transferable[]): Promise<Hdf5Answer> {
  thread ??= new Worker(new URL(`./hdf5_thread.node${extname(import.meta.url)}`, import.meta.url));
  const worker = thread;
  const seconds = Math.ceil(SECONDS + (SECONDS_PER_MIB * source.bytes.length) / 2 ** 20);
  const signal = AbortSignal.timeout(1000 * seconds);
  // Between files it keeps no process alive.
  worker.ref();
  try {
    worker.postMessage(request, transfer);
    const [answer] = (await once(worker, "message", { signal })) as [Hdf5Answer];
    worker.unref();
    return answer;
  } catch (error) {
    thread = null;
    await worker.terminate();
    if (!signal.aborted) throw source.error(`broke the library that reads HDF5 files (${messageOf(error)})`);
    throw source.error(`is a damaged HDF5 file: after ${seconds} s it is still not read`);
  }
}
