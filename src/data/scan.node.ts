// Walking picture folders in Node, in the order of torchvision's ImageFolder: folders by their path, files by name,
// both by code point. Nothing is decoded here.
import type { Dirent, Stats } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError, messageOf } from "../core/error.ts";

/** What libvips as shipped with sharp decodes. torchvision also takes bmp, ppm and pgm. */
const EXTENSIONS = /\.(jpe?g|png|webp|tiff?|gif|avif)$/i;

/** What a folder tree holds, as paths relative to it with `/` between the parts. */
export interface Tree {
  /** Sub-folders of the first level, sorted. */
  readonly folders: string[];
  /** Pictures by their ending, in ImageFolder's order. */
  readonly pictures: string[];
  /** Every other file that is not hidden. */
  readonly others: string[];
}

/** Python's order of strings: by code point, where JavaScript's `<` goes by UTF-16 unit. */
export function byCodePoint(a: string, b: string): number {
  if (a === b) return 0;
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) return rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
  }
  return a.length - b.length;
}

/** Surrogates, which stand for what lies beyond 0xffff, come after every other unit. */
const rank = (unit: number) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);

/** Hidden things, and the folder that macOS puts into zip archives. */
const isHidden = (name: string) => name.startsWith(".") || name === "__MACOSX";

/** Throws DataError unless `dir` is a folder that can be read. */
export async function checkFolder(dir: string): Promise<void> {
  let info: Stats;
  try {
    info = await stat(dir);
  } catch (error) {
    const gone = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new DataError(gone ? `there is no folder ${dir}` : `${dir} cannot be read: ${messageOf(error)}`);
  }
  if (!info.isDirectory()) throw new DataError(`${dir} is a file, where a folder of pictures was expected`);
}

/** Where a link leads; a broken one counts as a file, so that a picture behind it is reported as unreadable. */
async function isFolder(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}

/**
 * Lists a folder and everything below it. Links to folders are followed, but below each first-level folder every
 * real folder is listed once: loops end, and a class holds no picture twice. Hidden files and folders are left out.
 * Throws DataError when a folder cannot be read.
 */
export async function scan(root: string): Promise<Tree> {
  await checkFolder(root);
  const tree: Tree = { folders: [], pictures: [], others: [] };
  const rooms: { prefix: string; files: string[] }[] = [];

  async function walk(prefix: string, seen: Set<string>): Promise<void> {
    const dir = join(root, prefix);
    const real = await realpath(dir);
    if (seen.has(real)) return;
    seen.add(real);
    const entries = await readdir(dir, { withFileTypes: true }).catch((error) => {
      throw new DataError(`the folder ${dir} cannot be read: ${messageOf(error)}`);
    });
    const files: string[] = [];
    rooms.push({ prefix, files });
    for (const entry of entries.sort((a, b) => byCodePoint(a.name, b.name))) {
      if (isHidden(entry.name)) continue;
      const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
      if (await isFolder(entry, join(root, path))) {
        if (prefix === "") tree.folders.push(entry.name);
        await walk(path, prefix === "" ? new Set([real]) : seen);
      } else files.push(entry.name);
    }
  }

  await walk("", new Set());
  const top = (prefix: string) => prefix.split("/", 1)[0]; // class by class: "a/x" before "a-b"
  rooms.sort((a, b) => byCodePoint(top(a.prefix), top(b.prefix)) || byCodePoint(a.prefix, b.prefix));
  for (const { prefix, files } of rooms) {
    for (const name of files) {
      const path = prefix === "" ? name : `${prefix}/${name}`;
      (EXTENSIONS.test(name) ? tree.pictures : tree.others).push(path);
    }
  }
  return tree;
}
