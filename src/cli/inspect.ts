// thaw weights inspect FILE: the arrays of a weight file with dtype, shape and statistics, what the file says beside
// them, and which architecture they may belong to.

import { DataError } from "../core/error.ts";
import { type Guess, guessArchitecture } from "../models/guess.ts";
import { type Checkpoint, readCheckpoint, type WeightEntry } from "../weights/index.ts";
import { printable } from "../weights/source.ts";
import { type Statistics, statistics } from "../weights/statistics.ts";
import { weightsAt } from "./convert.ts";
import { type Output, plural, table, thousands } from "./output.ts";

/** Prints what there is to say of the file at `path`, with `--json` a line for each array and one for the whole. */
export async function inspect(path: string, out: Output): Promise<void> {
  const file = await readCheckpoint(await weightsAt(path), { skipUnsupported: true });
  if (file.tensors.size + file.skipped.length === 0) throw new DataError(`${path} holds no tensors`);
  const rows: string[][] = [];
  for (const [name, entry] of file.tensors) {
    const facts = statistics(entry);
    if (out.json) {
      const { shape, dtype, data } = entry;
      out.result({ event: "tensor", name, dtype, shape, elements: data.length, ...facts }, "");
    } else rows.push(row(name, entry, facts));
  }
  const entries = [...file.tensors.values()];
  const totals = {
    tensors: file.tensors.size,
    elements: entries.reduce((n, e) => n + e.data.length, 0),
    bytes: entries.reduce((n, e) => n + e.data.byteLength, 0),
    dtypes: [...new Set(entries.map((e) => e.dtype))],
  };
  const guess = guessArchitecture(file.tensors);
  const { format, skipped, foreign, model } = file;
  const about = {
    kerasVersion: model?.kerasVersion ?? null,
    topology: model?.config?.["class_name"] ?? null,
    labels: model?.labels ?? null,
    preprocessing: model?.preprocessing ?? null,
  };
  const names = ["name", "dtype", "shape", "min", "max", "mean", "std", "remarks"];
  out.result(
    { event: "done", file: path, format, ...totals, guess, ...about, skipped, foreign },
    `${table(names, rows)}\n\n${lines(path, file, totals, guess).map(printable).join("\n")}`,
  );
}

const number = (v: number | null): string => (v === null ? "–" : String(Number(v.toPrecision(4))));

function row(name: string, { dtype, shape, data }: WeightEntry, s: Statistics): string[] {
  const remarks: string[] = [];
  if (s.nonFinite > 0) remarks.push(`${thousands(s.nonFinite)} not finite`);
  if (s.zeros > 0) remarks.push(s.zeros === data.length ? "all zero" : `${thousands(s.zeros)} zero`);
  const numbers = [s.min, s.max, s.mean, s.std].map(number);
  return [printable(name), dtype, `[${shape.join(", ")}]`, ...numbers, remarks.join(", ")];
}

interface Totals {
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
  readonly dtypes: readonly string[];
}

function lines(path: string, file: Checkpoint, totals: Totals, guess: Guess | null): string[] {
  const { model, skipped, foreign, format } = file;
  const out = [
    `${path} (${format}): ${plural(totals.tensors, "tensor")}, ${plural(totals.elements, "number")} (${totals.dtypes.join(", ")}), ${plural(totals.bytes, "byte")}`,
    guess ? guessText(guess) : "architecture: none that Thaw knows by these names and shapes",
  ];
  if (model?.config)
    out.push(`layers: Keras ${String(model.config["class_name"])}, ${model.kerasVersion ?? "?"}`);
  if (model?.labels) out.push(`labels (${model.labels.length}): ${model.labels.join(", ")}`);
  if (model?.preprocessing) {
    const { crop, mean, std } = model.preprocessing;
    out.push(`pictures: ${crop}×${crop}, mean ${mean.join(" ")}, std ${std.join(" ")}`);
  }
  for (const { name, reason } of skipped) out.push(`not read: ${name} ${reason}`);
  if (foreign.length > 0)
    out.push(`read as data, running nothing of theirs: objects of ${foreign.join(", ")}`);
  return out;
}

function guessText({ model, matched, of, unexpected }: Guess): string {
  const all = matched === of ? `all ${of}` : `${matched} of ${of}`;
  const more = unexpected > 0 ? `; ${unexpected} of its names are not the model's` : "";
  return `architecture: ${model} (${all} tensors by name and shape${more})`;
}
