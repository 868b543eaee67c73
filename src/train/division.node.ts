// A run's pictures: the folder, its division into train, val and test, and a fingerprint of both, by which a resumed
// run knows that it goes on with the same pictures.

import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { type ImageFolder, imageFolder, partition, type Split } from "../data/index.ts";
import type { RunOptions } from "./run_info.ts";
import { SHARES } from "./run_options.ts";

export interface Division extends Split {
  readonly folder: ImageFolder;
  readonly fingerprint: string;
  /** A hash of the pictures' sizes, first and last bytes. */
  readonly contents: string;
}

/** Throws as imageFolder and partition do. */
export async function divide(dir: string, options: RunOptions): Promise<Division> {
  const folder = await imageFolder(dir);
  const own = (part: "val" | "test") => folder.parts?.includes(part) ?? false;
  const split = partition(folder, {
    seed: options.seed,
    val: options.val ?? (own("val") ? undefined : SHARES.val),
    test: options.test ?? (own("test") ? undefined : SHARES.test),
    group: options.group ?? undefined,
    perClass: options.perClass ?? undefined,
    limit: options.limit ?? undefined,
  });
  const notes = [...split.notes];
  const { ignored } = folder;
  if (ignored.length > 0)
    notes.push(
      `${ignored.length} file${ignored.length === 1 ? "" : "s"} passed over, not pictures in class folders, such as ${ignored[0]}`,
    );
  const fingerprint = fingerprintOf(folder, split);
  return { ...split, notes, folder, fingerprint, contents: await contentsOf(folder, split) };
}

/** SHA-256 of the classes and of each part's paths and labels. */
function fingerprintOf(folder: ImageFolder, split: Split): string {
  const hash = createHash("sha256").update(JSON.stringify(folder.classes));
  for (const part of [split.train, split.val, split.test])
    hash.update(JSON.stringify(part.map((i) => [folder.paths[i], folder.labels[i]])));
  return hash.digest("hex");
}

/**
 * Bytes read at either end of each file: compressed pictures that differ anywhere differ in length or at the end, but
 * for how they are turned (EXIF), which is at the beginning.
 */
const END = 4096;

/** Files open at once. */
const OPEN = 16;

/** SHA-256 of each picture's size and ends, in the order of the data set; dates change with every copy. */
async function contentsOf(folder: ImageFolder, { train, val, test }: Split): Promise<string> {
  const files = [...train, ...val, ...test].sort((a, b) => a - b).map((i) => folder.path(i));
  const hash = createHash("sha256");
  for (let at = 0; at < files.length; at += OPEN)
    for (const part of await Promise.all(files.slice(at, at + OPEN).map(witness))) hash.update(part);
  return hash.digest("hex");
}

/** A file that cannot be read, which is told later, counts as empty. */
async function witness(file: string): Promise<Uint8Array> {
  const handle = await open(file).catch(() => null);
  if (!handle) return new Uint8Array(8);
  try {
    const { size } = await handle.stat();
    const bytes = new Uint8Array(8 + Math.min(size, 2 * END));
    new DataView(bytes.buffer).setBigUint64(0, BigInt(size));
    const head = Math.min(size, END);
    const tail = bytes.length - 8 - head;
    await handle.read(bytes, 8, head, 0);
    await handle.read(bytes, 8 + head, tail, size - tail);
    return bytes;
  } catch {
    return new Uint8Array(8);
  } finally {
    await handle.close();
  }
}
