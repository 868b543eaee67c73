// How this command was called, so that a message can give the next one word for word.

import { relative } from "node:path";

/** `thaw`, or what stands for it in a checkout. */
function self(): string {
  if (process.env["npm_lifecycle_event"] === "thaw") return "npm run thaw --";
  const main = process.argv[1] ?? "";
  if (!main.endsWith(".ts")) return "thaw";
  const near = relative(process.cwd(), main);
  return `node ${quoted(near.startsWith("..") ? main : near)}`;
}

/** A word as a POSIX shell reads it. */
const quoted = (word: string) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The command line that calls this command with these arguments. */
export function commandLine(...args: readonly string[]): string {
  return [self(), ...args.map(quoted)].join(" ");
}
