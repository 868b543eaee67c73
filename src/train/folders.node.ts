// Folders that are about to be written into: made, checked, and cleared of what a killed process left.

import type { Stats } from "node:fs";
import { mkdir, mkdtemp, readdir, realpath, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { DataError, messageOf } from "../core/error.ts";

/** The nearest folder on the way to `path` that is there already; `path` itself if it is. */
async function nearestThere(path: string): Promise<{ path: string; info: Stats }> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const info = await stat(at).catch(() => null);
    if (info || at === dirname(at)) return { path: at, info: info ?? (await stat(at)) };
  }
}

/** Throws DataError unless a folder can be made at `path`, or is there, and can be written into. */
export async function checkWritable(path: string): Promise<void> {
  const { path: there, info } = await nearestThere(path);
  if (!info.isDirectory()) throw new DataError(`${path} cannot be a folder: ${there} is a file`);
  // Tried, not asked: to root everything is permitted, below /proc too.
  try {
    await rmdir(await mkdtemp(join(there, ".thaw-")));
  } catch (error) {
    throw new DataError(`${path} cannot be written: nothing can be made in ${there} (${messageOf(error)})`);
  }
}

/** Makes a folder and those above it, one by one: Node's own recursive mkdir never returns below /proc. */
export async function makeFolder(path: string): Promise<void> {
  const { path: there } = await nearestThere(path);
  let at = there;
  for (const name of relative(there, resolve(path)).split(/[\\/]/)) {
    if (name === "") continue;
    at = join(at, name);
    await mkdir(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

/** Whether `path` is `folder` or lies below it, links followed. */
export async function isWithin(path: string, folder: string): Promise<boolean> {
  const real = async (p: string) => {
    const { path: there } = await nearestThere(p);
    return join(await realpath(there), relative(there, resolve(p)));
  };
  const between = relative(await real(folder), await real(path));
  return between === "" || !/^(\.\.([\\/]|$)|[\\/]|[a-z]:)/i.test(between);
}

/** replaceFile's name for a file that is not whole yet: NAME.PID-RANDOM.tmp. */
const TEMPORARY = /\.(\d+)-[a-z0-9]+\.tmp$/;

/** Removes the files that a process which is gone left half-written; those of a living one stay. */
export async function removeStale(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const pid = TEMPORARY.exec(name)?.[1];
    if (pid && !isOther(Number(pid))) await rm(join(folder, name), { force: true });
  }
}

/** Whether another process of that number lives. */
function isOther(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
