// The WGSL files: all read once, when a device is opened; afterwards everything about shaders is synchronous. The
// browser bundle replaces this file by one that carries their text (scripts/bundle.ts).

const FOLDER = new URL("../../shaders/", import.meta.url);

let sources: Promise<ReadonlyMap<string, string>> | null = null;

/** File stem → text. */
export function loadShaders(): Promise<ReadonlyMap<string, string>> {
  sources ??= readAll();
  return sources;
}

async function readAll(): Promise<ReadonlyMap<string, string>> {
  const { readdir, readFile } = await import("node:fs/promises");
  const names = (await readdir(FOLDER)).filter((f) => f.endsWith(".wgsl")).sort();
  const texts = await Promise.all(names.map((f) => readFile(new URL(f, FOLDER), "utf8")));
  return new Map(names.map((f, i) => [f.slice(0, -5), texts[i]]));
}
