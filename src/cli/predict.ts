// thaw predict: the likeliest classes of pictures; a folder of them becomes a table in CSV.

import { open, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DataError, messageOf, ThawError, UsageError } from "../core/error.ts";
import { pictureFiles } from "../data/index.ts";
import { loadClassifier, type Prediction } from "../train/index.ts";
import type { Options } from "./args.ts";
import { command } from "./command.ts";
import { type Output, percent, plural } from "./output.ts";

const OPTIONS = {
  top: { kind: "whole", value: "K", help: "how many classes (default 5; in a table 1)" },
  csv: {
    kind: "text",
    value: "FILE",
    help: "write the table there instead of on standard output; with --json, as well as the lines",
  },
  strict: { kind: "flag", help: "stop at a picture that cannot be read, instead of leaving it out" },
} as const satisfies Options;

/** Pictures whose predictions are told at once. */
const CHUNK = 16;

interface Row {
  readonly file: string;
  readonly top: Prediction["top"];
}

export const prediction = command({
  name: "predict",
  usage: "RUN IMAGE… [options]",
  about:
    "the likeliest classes of pictures, or of all pictures below a folder as CSV; RUN may be a Teachable Machine export",
  options: OPTIONS,
  arguments: { least: 2, most: Number.POSITIVE_INFINITY },
  async run({ values, positionals: [path, ...images], out, signal }) {
    if (values.top !== undefined && values.top < 1)
      throw new UsageError(`--top must be a whole number of at least 1, not ${values.top}`);
    const { files, folders } = await listed(images);
    const { csv } = values;
    if (csv !== undefined) await checkWritable(csv);
    const asTable = csv !== undefined || (folders > 0 && !out.json);
    const asLines = out.json || !asTable;
    const run = await loadClassifier(path);
    const most = (usual: number) => Math.min(values.top ?? usual, run.classes.length);
    const rows: Row[] = [];
    let failed = 0;
    for (let at = 0; at < files.length; at += CHUNK) {
      signal.throwIfAborted();
      const part = files.slice(at, at + CHUNK);
      const found = await predictions(part, (list) => run.predictAll(list));
      for (const [i, p] of found.entries()) {
        if (p instanceof DataError) {
          if (values.strict) throw p;
          failed++;
          out.say(`thaw: ${p.message}`);
          continue;
        }
        const row = { file: part[i], top: p.top.slice(0, most(5)) };
        if (asTable) rows.push({ ...row, top: row.top.slice(0, most(1)) });
        if (asLines) out.result(row, textOf(row));
      }
      if (files.length > CHUNK) out.progress("predict", Math.min(at + CHUNK, files.length), files.length);
    }
    if (asTable) await writeTable(out, rows, most(1), csv);
    if (failed === files.length || (failed > 0 && folders === 0))
      throw new ThawError(`${plural(failed, "picture")} of ${files.length} could not be read`);
    if (failed > 0)
      out.say(`${plural(failed, "picture")} could not be read and ${failed === 1 ? "is" : "are"} left out`);
  },
});

/** The pictures named, folders replaced by what lies below them. */
async function listed(images: readonly string[]): Promise<{ files: string[]; folders: number }> {
  const files: string[] = [];
  let folders = 0;
  for (const image of images) {
    const info = await stat(image).catch(() => null);
    if (!info) throw new DataError(`${image}: there is no such file or folder`);
    if (!info.isDirectory()) {
      files.push(image);
      continue;
    }
    folders++;
    const below = await pictureFiles(image);
    if (below.length === 0) {
      const others = (await readdir(image)).length;
      throw new DataError(`${image} holds no pictures${others > 0 ? ", only other files" : ""}`);
    }
    files.push(...below.map((f) => join(image, f)));
  }
  return { files, folders };
}

/** Predictions of a chunk; where one picture is broken, each alone, so that the others still count. */
async function predictions(
  files: readonly string[],
  predict: (files: readonly string[]) => Promise<Prediction[]>,
): Promise<(Prediction | DataError)[]> {
  try {
    return await predict(files);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    if (files.length === 1) return [error];
    const half = Math.ceil(files.length / 2);
    return [
      ...(await predictions(files.slice(0, half), predict)),
      ...(await predictions(files.slice(half), predict)),
    ];
  }
}

const textOf = ({ file, top }: Row) =>
  [file, ...top.map((t) => `  ${percent(t.p).padStart(6)}  ${t.class}`)].join("\n");

/** Throws DataError unless the file could be written: better now than after hours of work. Leaves it as it was. */
async function checkWritable(path: string): Promise<void> {
  const there = await stat(path).catch(() => null);
  try {
    await (await open(path, "a")).close();
    if (!there) await rm(path);
  } catch (error) {
    throw new DataError(`${path} cannot be written: ${messageOf(error)}`);
  }
}

/** RFC 4180: quotes where there is a comma, a quote or a line's end. */
const field = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

async function writeTable(
  out: Output,
  rows: readonly Row[],
  k: number,
  csv: string | undefined,
): Promise<void> {
  const heads = Array.from({ length: k }, (_, i) => (i === 0 ? "class,p" : `class${i + 1},p${i + 1}`));
  const lines = rows.map(({ file, top }) => [
    field(file),
    ...top.flatMap((t) => [field(t.class), t.p.toFixed(6)]),
  ]);
  const text = [["file", ...heads], ...lines].map((l) => l.join(",")).join("\n");
  if (csv === undefined) return out.result({}, text);
  await writeFile(csv, `${text}\n`).catch((error) => {
    throw new DataError(`${csv} could not be written: ${messageOf(error)}`);
  });
  out.say(`${plural(rows.length, "prediction")} written to ${csv}`);
}
