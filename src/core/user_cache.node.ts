// Where what can be had again is kept between runs: THAW_CACHE, else the user's cache folder of this system.

import { homedir } from "node:os";
import { join } from "node:path";
import { env } from "./env.ts";

/** The folder for one kind of thing: `weights`, `tuning`. It need not exist. */
export function userCache(kind: string): string {
  const own = env("THAW_CACHE");
  if (own) return join(own, kind);
  if (process.platform === "darwin") return join(homedir(), "Library/Caches/thaw", kind);
  if (process.platform === "win32")
    return join(env("LOCALAPPDATA") ?? join(homedir(), "AppData/Local"), "thaw/Cache", kind);
  return join(env("XDG_CACHE_HOME") || join(homedir(), ".cache"), "thaw", kind);
}
