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
import type { Preprocessing } from "./model_info.ts";

/** One entry of the manifest (written by weights/manifest.py). */
export interface KnownWeights {
  /** Name of the file in the cache folder. */
  readonly file: string;
  readonly url: string;
  /** The SHA-256 of the file in hexadecimal, or its beginning where only that is published. */
  readonly sha256?: string;
  /** The MD5, where that is what is published. Without either nothing is checked. */
  readonly md5?: string;
  /** 0 for a network without its head. */
  readonly classes: number;
  readonly parameters: number;
  /** On ImageNet's validation pictures, percent, as published. */
  readonly accuracy?: { readonly top1: number; readonly top5: number };
  /** What the published accuracy was reached with. */
  readonly preprocessing: Preprocessing;
  readonly recipe: string;
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
  const other = await check(path, entry);
  if (other !== null)
    throw new DataError(`${notThat(path, name, other)}; thaw weights pull ${name} replaces it`);
  return path;
}

/** The hash that is published, which may be the beginning of one; null where none is. */
function published({ sha256, md5 }: KnownWeights): Published | null {
  if (sha256 !== undefined) return { algorithm: "sha256", name: "SHA-256", value: sha256, length: 64 };
  return md5 === undefined ? null : { algorithm: "md5", name: "MD5", value: md5, length: 32 };
}

interface Published {
  readonly algorithm: "sha256" | "md5";
  readonly name: string;
  readonly value: string;
  readonly length: number;
}

/** With dots where only its beginning is published. */
const dotted = ({ value, length }: Published) => `${value}${value.length === length ? "" : "…"}`;

/** What is not as published, `SHA-256 is 5e6f…, not 1a2b3c4d…`; null where it is, or nothing is published. */
async function check(path: string, entry: KnownWeights): Promise<string | null> {
  const wanted = published(entry);
  if (!wanted) return null;
  const found = await hashOf(path, wanted.algorithm);
  return found.startsWith(wanted.value) ? null : `${wanted.name} is ${found}, not ${dotted(wanted)}`;
}

const notThat = (path: string, name: string, other: string) =>
  `${path} is not the file that ${name} names: its ${other}`;

/** `SHA-256 1a2b3c4d…`. */
function publishedText(entry: KnownWeights): string {
  const hash = published(entry);
  return hash ? `${hash.name} ${dotted(hash)}` : "no hash is published";
}

/** What to do where there is no network. */
const byHand = (entry: KnownWeights, path: string) =>
  `download ${entry.url} (${publishedText(entry)}) and put it at ${path}`;

/** The hash of a file in hexadecimal. */
async function hashOf(path: string, algorithm: Published["algorithm"]): Promise<string> {
  const hash = createHash(algorithm);
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
    const other = await check(path, entry);
    if (other === null) return { path, downloaded: false };
    options.onNotice?.(`${notThat(path, name, other)}; downloading it again`);
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
    // Gone: another process with the same download has moved it.
    const other = await check(part, entry).catch(() => null);
    if (other === null) {
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
        `${entry.url} gave another file than ${name}: ${size} bytes whose ${other}; ${subject.again} if it was cut short`,
      );
    }
    options.onNotice?.(`what was kept of ${entry.file} does not go with the rest; downloading all of it`);
  }
}
