// Known weight files (weights/manifest.json): what they are called, where they come from, and the folder of the user's
// cache in which they are looked for. Downloading is left to the user here; what is found is checked by its hash.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { env } from "../core/env.ts";
import { DataError, messageOf } from "../core/error.ts";
import { replaceFile } from "../core/replace_file.node.ts";

/** One entry of the manifest. */
export interface KnownWeights {
  /** Name of the file in the cache folder. */
  readonly file: string;
  readonly url: string;
  /** The SHA-256 of the file in hexadecimal, or its beginning where only that is published. */
  readonly sha256: string;
  readonly classes: number;
  readonly licence: string;
}

const FOLDER = new URL("../../weights/", import.meta.url);

/** The manifest: `MODEL/NAME` → entry. */
export async function manifest(): Promise<Map<string, KnownWeights>> {
  const text = await readFile(new URL("manifest.json", FOLDER), "utf8");
  return new Map(Object.entries(JSON.parse(text) as Record<string, KnownWeights>));
}

/** Where downloaded weights lie: THAW_CACHE, else the user's cache folder of this system. */
export function cacheFolder(): string {
  const own = env("THAW_CACHE");
  if (own) return join(own, "weights");
  if (process.platform === "darwin") return join(homedir(), "Library/Caches/thaw/weights");
  if (process.platform === "win32")
    return join(env("LOCALAPPDATA") ?? join(homedir(), "AppData/Local"), "thaw/Cache/weights");
  return join(env("XDG_CACHE_HOME") || join(homedir(), ".cache"), "thaw/weights");
}

/** Where a known file would lie, and whether it does. */
export async function findKnown(entry: KnownWeights): Promise<{ path: string; present: boolean }> {
  const path = join(cacheFolder(), entry.file);
  const present = await stat(path).then(
    (s) => s.isFile(),
    () => false,
  );
  return { path, present };
}

/** The path of a known file whose content is right. Throws DataError saying how to get it, or that it is another. */
export async function openKnown(name: string, entry: KnownWeights): Promise<string> {
  const { path, present } = await findKnown(entry);
  if (!present) {
    throw new DataError(
      `the weights ${name} are not on this machine: download ${entry.url} (SHA-256 ${entry.sha256}…) and put it at ${path}`,
    );
  }
  const hash = await sha256(path);
  if (!hash.startsWith(entry.sha256)) {
    throw new DataError(
      `${path} is not the file that ${name} names: its SHA-256 is ${hash}, not ${entry.sha256}…; download ${entry.url} again`,
    );
  }
  return path;
}

/** The SHA-256 of a file in hexadecimal. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** The path of a file that the project ships in weights/. */
export const shipped = (file: string): string => fileURLToPath(new URL(file, FOLDER));

export interface PullOptions {
  readonly signal?: AbortSignal;
  /** Bytes so far and in all (0 where the server does not say). */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Downloads a known file into the cache unless it is there, and checks its hash; resolves to its path. Throws DataError
 * when it cannot be had, or is another file than expected (which is not kept).
 */
export async function pull(name: string, entry: KnownWeights, options: PullOptions = {}): Promise<string> {
  const { path, present } = await findKnown(entry);
  if (!present) {
    const by = `put the file at ${path} by hand where there is no network`;
    const answer = await fetch(entry.url, { signal: options.signal }).catch((error) => {
      throw new DataError(`${entry.url} could not be fetched (${causeOf(error)}); ${by}`);
    });
    if (!answer.ok || !answer.body)
      throw new DataError(`${entry.url} could not be fetched (${answer.status} ${answer.statusText}); ${by}`);
    const total = Number(answer.headers.get("content-length") ?? 0);
    const chunks: Uint8Array[] = [];
    const hash = createHash("sha256");
    let done = 0;
    for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
      chunks.push(chunk);
      hash.update(chunk);
      done += chunk.length;
      options.onProgress?.(done, total);
    }
    const digest = hash.digest("hex");
    if (!digest.startsWith(entry.sha256))
      throw new DataError(`${entry.url} gave another file: its SHA-256 is ${digest}, not ${entry.sha256}…`);
    await mkdir(cacheFolder(), { recursive: true });
    await replaceFile(path, chunks);
  }
  return openKnown(name, entry);
}

function causeOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return messageOf(cause ?? error);
}
