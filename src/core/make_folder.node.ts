// Making a folder with its parents. Not by mkdir's `recursive`: where a parent exists but takes no children, such as
// /proc, that tries for ever.

import { mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { DataError, messageOf } from "./error.ts";

/** Makes a folder unless it is there. Throws DataError naming what is in the way; `what` says what the folder is. */
export async function makeFolder(folder: string, what: string): Promise<void> {
  const missing: string[] = [];
  const fail = (why: string) => new DataError(`${what} ${folder} cannot be made: ${why}`);
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await stat(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
      throw fail(messageOf(error));
    });
    if (found?.isDirectory()) break;
    if (found) throw fail(`${at} is no folder`);
    missing.unshift(at);
    if (dirname(at) === at) break;
  }
  for (const path of missing) {
    await mkdir(path).catch((error: NodeJS.ErrnoException) => {
      // Another process may have been faster.
      if (error.code !== "EEXIST") throw fail(messageOf(error));
    });
  }
}
