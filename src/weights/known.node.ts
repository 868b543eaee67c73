// Known weight files (weights/manifest.json): what they are called, where they come from, and the folder of the user's
// cache in which they are looked for and into which they are downloaded. What is found is checked by its hash.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DataError, messageOf } from "../core/error.ts";
import { makeFolder } from "../core/make_folder.node.ts";
import { userCache } from "../core/user_cache.node.ts";
import { type DownloadOptions, download } from "./download.node.ts";

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

/** Where downloaded weights lie. */
export const cacheFolder = (): string => userCache("weights");

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
      `the weights ${name} are not on this machine: thaw weights pull ${name} fetches them, or ${byHand(entry, path)}`,
    );
  }
  const hash = await sha256(path);
  if (!hash.startsWith(entry.sha256)) {
    throw new DataError(`${notThat(path, name, entry, hash)}; thaw weights pull ${name} replaces it`);
  }
  return path;
}

const notThat = (path: string, name: string, entry: KnownWeights, hash: string) =>
  `${path} is not the file that ${name} names: its SHA-256 is ${hash}, not ${hashOf(entry)}`;

/** A hash, with dots where only its beginning is published. */
const hashOf = ({ sha256 }: KnownWeights) => (sha256.length === 64 ? sha256 : `${sha256}…`);

/** What to do where there is no network. */
const byHand = (entry: KnownWeights, path: string) =>
  `download ${entry.url} (SHA-256 ${hashOf(entry)}) and put it at ${path}`;

/** The SHA-256 of a file in hexadecimal. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** The path of a file that the project ships in weights/. */
export const shipped = (file: string): string => fileURLToPath(new URL(file, FOLDER));

export interface PullOptions extends DownloadOptions {
  /** Told what happens beside the download itself. */
  readonly onNotice?: (sentence: string) => void;
}

/** What `pull` did: where the file lies, and whether it had to be downloaded. */
export interface Pulled {
  readonly path: string;
  readonly downloaded: boolean;
}

/**
 * Downloads a known file into the cache unless it is there, and checks its hash; a damaged one is replaced. Throws
 * DataError when it cannot be had (what has come is kept, and the next call goes on from there) or is another file than
 * expected (which is not kept), ThawError when it was interrupted.
 */
export async function pull(name: string, entry: KnownWeights, options: PullOptions = {}): Promise<Pulled> {
  const { path, present } = await findKnown(entry);
  if (present) {
    const hash = await sha256(path);
    if (hash.startsWith(entry.sha256)) return { path, downloaded: false };
    options.onNotice?.(`${notThat(path, name, entry, hash)}; downloading it again`);
  }
  await makeFolder(cacheFolder(), "the cache folder");
  const part = `${path}.part`;
  const subject = {
    file: entry.file,
    url: entry.url,
    again: `repeat thaw weights pull ${name}`,
    byHand: `where there is no network, ${byHand(entry, path)}`,
  };
  for (;;) {
    const resumed = await download(subject, part, options);
    const hash = await sha256(part).catch(() => null);
    if (hash === null || hash.startsWith(entry.sha256)) {
      await rename(part, path).catch((error: NodeJS.ErrnoException) => {
        // Another process with the same download may have moved it first; what lies there is looked at again below.
        if (error.code !== "ENOENT")
          throw new DataError(`${path} could not be written (${messageOf(error)})`);
      });
      return { path: await openKnown(name, entry), downloaded: true };
    }
    const { size } = await stat(part);
    await rm(part, { force: true });
    if (!resumed) {
      throw new DataError(
        `${entry.url} gave another file than ${name}: ${size} bytes with the SHA-256 ${hash}, not ${hashOf(entry)}; ${subject.again} if it was cut short`,
      );
    }
    options.onNotice?.(`what was kept of ${entry.file} does not go with the rest; downloading all of it`);
  }
}
