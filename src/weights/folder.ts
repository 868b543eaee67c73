// Files that belong together, whatever they lie in: a folder (folder.node.ts), the members of a zip archive, or the
// list of files that a page was given. Names are relative and have "/" between levels.

import { DataError } from "../core/error.ts";
import type { Source } from "./source.ts";
import { readMember, type Zip } from "./zip.ts";

export interface Folder {
  /** What messages call it. */
  readonly name: string;
  /** Bytes of a file, or null where there is no such file; throws DataError where it may not be read. */
  size(path: string): Promise<number | null>;
  /** The file's bytes; throws DataError where it is gone or damaged. */
  read(path: string): Promise<Uint8Array>;
}

/**
 * A path that a file of the folder names, checked: a weight file names others beside it, and must not reach for
 * anything else. Throws DataError for an absolute path, a URL and one that climbs out.
 */
export function relativePath(source: Source, path: unknown): string {
  if (typeof path !== "string" || path.length > 4096) throw source.error("names a file that is no text");
  const steps = path.split("/").filter((step) => step !== "." && step !== "");
  const leaves = /^[/\\]|^[a-z][a-z0-9+.-]*:|\\|\0/i.test(path) || steps.includes("..");
  if (leaves || steps.length === 0) {
    throw source.error(`names the file "${path.slice(0, 200)}", which is not one beside it; refused`);
  }
  return steps.join("/");
}

/** The members of an archive below `prefix`, which is empty or ends at a slash. */
export function zipFolder(zip: Zip, prefix: string): Folder {
  return {
    name: zip.source.name,
    size: async (path) => zip.members.get(prefix + path)?.size ?? null,
    read: async (path) => {
      const member = zip.members.get(prefix + path);
      if (!member) throw zip.source.error(`has no member ${prefix}${path}`);
      return readMember(zip, member);
    },
  };
}

/** A file that a page was given: by a form, a drop or a picker of folders. */
export interface NamedBlob extends Blob {
  readonly name?: string;
  readonly webkitRelativePath?: string;
}

/** The name of a file with the folders above it, where the page knows them. */
export const blobPath = (file: NamedBlob): string => file.webkitRelativePath || file.name || "";

/** The files of a list below `prefix`. */
export function blobFolder(name: string, files: readonly NamedBlob[], prefix: string): Folder {
  const byPath = new Map(files.map((file) => [blobPath(file), file]));
  return {
    name,
    size: async (path) => byPath.get(prefix + path)?.size ?? null,
    read: async (path) => {
      const file = byPath.get(prefix + path);
      if (!file) throw new DataError(`weights: ${name}: there is no file ${prefix}${path} among those given`);
      return new Uint8Array(await file.arrayBuffer());
    },
  };
}
