// Writing a file so that a crash leaves either the old one or the new one: into a temporary file in the same folder,
// flushed to the disk, then renamed over the old one.

import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { DataError, messageOf } from "./error.ts";

/** Replaces `path` by the parts one after another. Throws DataError where the disk refuses. */
export async function replaceFile(path: string, parts: readonly (Uint8Array | string)[]): Promise<void> {
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
    throw new DataError(`${path} could not be written (${messageOf(error)})`);
  }
  await syncFolder(dirname(path));
}

/** Makes the rename itself durable; where folders cannot be opened (Windows) there is nothing to do. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // The file itself is complete; only its directory entry might be older after a power failure.
  }
}
