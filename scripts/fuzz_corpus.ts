// The corpus of npm run fuzz: weight files of every format that Thaw reads, all made by the project: the fixtures of the
// tests (scripts beside them) and what Thaw itself writes.

import { readdir, readFile } from "node:fs/promises";
import { writeSafetensors } from "../src/weights/index.ts";

/** A file is also read cut short at every so many parts of its length. */
export const PARTS = 64;
/** More than a small file justifies, in bytes. */
export const MEMORY = 512 * 2 ** 20;

export interface CorpusFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const FIXTURES = ["weights", "formats"].map((f) => new URL(`../test/fixtures/${f}/`, import.meta.url));
const NOT_WEIGHTS = /\.(py|ts|json)$/;

/** All of them, in order of their names. */
export async function corpus(): Promise<CorpusFile[]> {
  const files: CorpusFile[] = [];
  for (const folder of FIXTURES) {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (!entry.isFile() || NOT_WEIGHTS.test(entry.name)) continue;
      files.push({ name: entry.name, bytes: new Uint8Array(await readFile(new URL(entry.name, folder))) });
    }
  }
  const dict = {
    weight: { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    halves: { shape: [3], dtype: "bf16", data: Uint16Array.of(1, 2, 3) },
    count: { shape: [], data: BigInt64Array.of(7n) },
  } as const;
  files.push({ name: "written.safetensors", bytes: writeSafetensors(dict, { metadata: { format: "pt" } }) });
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}
