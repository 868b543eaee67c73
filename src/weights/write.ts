// Writing weight files to disk, so that a crash leaves either the old file or the new one: into a temporary file in
// the same folder, flushed to the disk, then renamed over the old one.

import { DataError, messageOf, UsageError } from "../core/error.ts";
import { safetensorsParts, type WriteDict, type WriteOptions } from "./safetensors_write.ts";

/**
 * Writes arrays to `path` (Node only), in the format its extension names: .safetensors.
 * Throws UsageError for another extension or arrays that do not fit their shapes, DataError where the disk refuses.
 */
export async function write(path: string, dict: WriteDict, options: WriteOptions = {}): Promise<void> {
  if (!/\.safetensors$/i.test(path)) {
    throw new UsageError(`weights: cannot write ${path}: the formats that can be written are .safetensors`);
  }
  if (typeof process !== "object" || !process.versions?.node) {
    throw new UsageError(
      "weights: there are no files in a browser; writeSafetensors gives the bytes to save",
    );
  }
  await writeAtomically(path, safetensorsParts(dict, options));
}

async function writeAtomically(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const { open, rename, rm } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  const temporary = `${path}.${process.pid}-${Math.random().toString(36).slice(2, 10)}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      // FileHandle.writeFile writes every byte; write() may stop early.
      for (const part of parts) await file.writeFile(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new DataError(`weights: ${path}: could not be written (${messageOf(error)})`);
  }
  await syncFolder(dirname(path));
}

/** Makes the rename itself durable; where folders cannot be opened (Windows) there is nothing to do. */
async function syncFolder(folder: string): Promise<void> {
  const { open } = await import("node:fs/promises");
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // The file itself is complete; only its directory entry might be older after a power failure.
  }
}
