// A folder on disk, as weight files of several parts need it.

import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DataError, messageOf } from "../core/error.ts";
import type { Folder } from "./folder.ts";

/** The folder at `path`; `name` is what messages call it. */
export function diskFolder(path: string, name: string): Folder {
  return {
    name,
    size: async (file) => {
      const info = await stat(join(path, file)).catch(() => null);
      return info?.isFile() ? info.size : null;
    },
    read: async (file) => {
      try {
        return await readFile(join(path, file));
      } catch (error) {
        throw new DataError(`weights: ${name}: its file ${file} cannot be read (${messageOf(error)})`);
      }
    },
  };
}

/** The folder in which the file at `path` lies. */
export function besideFile(path: string, name: string): Folder {
  return diskFolder(dirname(path), name);
}

/** Whether there is a folder at `path` that holds a TensorFlow.js model. */
export async function isModelFolder(path: string): Promise<boolean> {
  const info = await stat(join(path, "model.json")).catch(() => null);
  return info?.isFile() ?? false;
}
