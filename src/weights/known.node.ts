// Known weight files (weights/manifest.json): what they are called, where they come from, and the folder of the user's
// cache in which they are looked for. Downloading is left to the user here; what is found is checked by its hash.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { env } from "../core/env.ts";
import { DataError } from "../core/error.ts";

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
