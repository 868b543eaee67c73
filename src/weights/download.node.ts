// Downloading a file to the disk so that what broke off can go on. It grows in a file of its own beside the target
// (NAME.part), and is neither kept in memory nor believed: who asks for it checks its hash before moving it.
// Two processes may fetch one file at once: both write the same bytes at the same places, and neither empties it.

import { constants, type FileHandle, open, rm, stat } from "node:fs/promises";
import { DataError, messageOf, ThawError } from "../core/error.ts";
import { type Answer, get } from "./http_get.node.ts";

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  /** Bytes so far and in all (0 where the server does not say). */
  readonly onProgress?: (done: number, total: number) => void;
  /** An answer of more bytes is refused. Default 4 GiB. */
  readonly maxBytes?: number;
  /** Milliseconds of silence after which to give up. Default 30,000. */
  readonly idleMs?: number;
}

/** What messages say of a download. */
export interface Subject {
  /** What is fetched: the file's name. */
  readonly file: string;
  readonly url: string;
  /** What to do to go on: "repeat thaw weights pull x". */
  readonly again: string;
  /** What to do where nothing can be fetched. */
  readonly byHand: string;
}

/**
 * Fetches `subject.url` into `part`, going on where an earlier attempt ended if the server allows it; resolves to
 * whether it did go on. Throws DataError where it cannot be had, ThawError where it was interrupted; both leave what
 * has come in `part`, unless that was too much.
 */
export async function download(
  subject: Subject,
  part: string,
  { signal, onProgress, maxBytes = 2 ** 32, idleMs = 30_000 }: DownloadOptions,
): Promise<boolean> {
  const { answer, complete } = await begin(subject, await sizeOf(part), { signal, idleMs });
  if (complete) return true;
  const { total, from } = answer;
  let done = from;
  const reached = (n: number) => {
    if (n > maxBytes) throw new TooMuch();
    done = n;
    onProgress?.(n, total ?? 0);
  };
  try {
    if (total !== null && total > maxBytes) throw new TooMuch();
    reached(from);
    await receive(answer, part, reached);
    if (total !== null && done !== total) throw new Error("it just ended");
  } catch (error) {
    if (!(error instanceof TooMuch))
      throw brokenOff(subject, part, done, total, signal?.aborted ? null : error);
    await rm(part, { force: true });
    const much = total === null ? "more and more" : total;
    throw new DataError(
      `${subject.url} gives ${much} bytes for ${subject.file}, more than ${maxBytes}; refused`,
    );
  } finally {
    answer.close();
  }
  return from > 0;
}

class TooMuch extends Error {}

/** Writes the body to its place in the file; `reached` is told after each piece how far that is. */
async function receive(answer: Answer, part: string, reached: (done: number) => void): Promise<void> {
  // Not emptied first, also where all of it comes anew: another process may be writing the same file.
  const file = await open(part, constants.O_RDWR | constants.O_CREAT);
  try {
    let at = answer.from;
    for await (const chunk of answer.body) {
      await writeAt(file, chunk, at);
      at += chunk.length;
      reached(at);
    }
    await file.truncate(at);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The answer that gives the file from `had` on, or from its beginning; or that nothing is missing. */
async function begin(
  subject: Subject,
  had: number,
  options: { signal: AbortSignal | undefined; idleMs: number },
): Promise<{ answer: Answer; complete: boolean }> {
  const { url, byHand } = subject;
  const answer = await get(url, { ...options, from: had }).catch((error) => {
    throw options.signal?.aborted
      ? new ThawError(`interrupted before ${url} answered`)
      : new DataError(`${url} could not be fetched (${causeOf(error)}); ${byHand}`);
  });
  if (answer.status === 200 || (answer.status === 206 && answer.from === had))
    return { answer, complete: false };
  answer.close();
  if (had > 0 && answer.status === 416 && answer.total === had) return { answer, complete: true };
  // Not the range that was asked for: what is here may be of another file.
  if (had > 0 && (answer.status === 206 || answer.status === 416)) return begin(subject, 0, options);
  throw new DataError(`${url} could not be fetched (${answer.statusLine}); ${byHand}`);
}

function brokenOff(
  { file, url, again }: Subject,
  part: string,
  done: number,
  total: number | null,
  cause: unknown,
): ThawError {
  const far = total === null ? `${mib(done)} MiB` : `${mib(done)} of ${mib(total)} MiB`;
  const what = `the download of ${file} from ${url}`;
  const how = `${far} are kept in ${part}: ${again} to go on from there, or anew if the server cannot`;
  return cause === null
    ? new ThawError(`interrupted: ${what}; ${how}`)
    : new DataError(`${what} broke off (${causeOf(cause)}); ${how}`);
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** Writes all of it; one write may stop early. */
async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (s) => (s.isFile() ? s.size : 0),
    () => 0,
  );
}

/** What a network error says; those of several addresses tried at once have no message of their own. */
function causeOf(error: unknown): string {
  const inner = error instanceof AggregateError ? error.errors[0] : error;
  return messageOf(inner) || String((inner as { code?: unknown }).code);
}
