// thaw eval: a run's classifier on a folder of labelled pictures.

import { resolve } from "node:path";
import { DataError, nearest, UsageError } from "../core/error.ts";
import { type ImageFolder, imageFolder } from "../data/index.ts";
import { evaluate, loadRun, pictureSource, preparePictures, type RunClassifier } from "../train/index.ts";
import { confusionMatrix, perClass, predictions, topK } from "../train/metrics.ts";
import type { Options } from "./args.ts";
import { command } from "./command.ts";
import { type Output, percent, plural, table } from "./output.ts";

const OPTIONS = {
  "batch-size": { kind: "whole", value: "N", help: "pictures in a batch (default 32)" },
  part: {
    kind: "text",
    value: "NAME",
    help: "of a folder that is divided into train, val and test: only that part",
  },
  strict: { kind: "flag", help: "stop at a picture that cannot be read, instead of leaving it out" },
} as const satisfies Options;

/** A confusion matrix of more classes is not printed. */
const MAX_CONFUSION = 20;

export const evaluation = command({
  name: "eval",
  usage: "RUN DIR [options]",
  about: "test a run on a folder of labelled pictures",
  more: "DIR has a sub-folder for each class, called as in the run; not every class need be there.",
  options: OPTIONS,
  arguments: { least: 2, most: 2 },
  async run({ values, positionals: [path, dir], out, signal }) {
    const batchSize = values["batch-size"] ?? 32;
    if (batchSize < 1)
      throw new UsageError(`--batch-size must be a whole number of at least 1, not ${batchSize}`);
    const run = await loadRun(path);
    const folder = await imageFolder(dir, { classes: run.classes });
    const indices = chosen(folder, values.part);
    const seen = run.info.data.folder === resolve(dir) ? seenBefore(values.part) : null;
    if (seen) out.say(`note: ${seen}`);
    const left: { file: string; reason: string }[] = [];
    const pictures = await preparePictures(folder, run.info.preprocessing, {
      indices,
      strict: values.strict,
      onProgress: (done, total) => {
        signal.throwIfAborted();
        out.progress("pictures", done, total);
      },
      onUnreadable: (error, i) => {
        left.push({ file: folder.path(i), reason: error.message });
        out.say(`left out: ${error.message}`);
      },
    });
    const source = pictureSource(pictures, indices, { batchSize });
    const result = await evaluate(run.model, source, {
      logits: true,
      signal,
      onProgress: (done, total) => out.progress("eval", done, total),
    });
    report(out, path, run, result, left);
  },
});

function chosen(folder: ImageFolder, part: string | undefined): number[] {
  const all = Array.from({ length: folder.length }, (_, i) => i);
  if (part === undefined) return all;
  const own = all.filter((i) => folder.parts?.[i] === part);
  if (own.length === 0) {
    const parts = [...new Set(folder.parts ?? [])];
    const near = nearest(part, parts);
    const there = near
      ? `did you mean ${near}?`
      : parts.length > 0
        ? `it has ${parts.join(", ")}`
        : "it is not divided";
    throw new DataError(`${folder.root} has no part called ${part}; ${there}`);
  }
  return own;
}

/** What the run itself did with a part of its own folder, or with all of it; null for the part that it never saw. */
function seenBefore(part: string | undefined): string | null {
  if (part === "test") return null;
  if (part === "val") return "the run's best epoch was chosen by these pictures";
  return `the run was trained on ${part === "train" ? "" : "most of "}these pictures`;
}

function report(
  out: Output,
  path: string,
  { classes }: RunClassifier,
  result: Awaited<ReturnType<typeof evaluate>>,
  unreadable: readonly { file: string; reason: string }[],
): void {
  const { labels, logits, loss, accuracy, count } = result;
  const confusion = confusionMatrix(predictions(logits, classes.length), labels, classes.length);
  const rows = perClass(confusion).map((r, c) => ({ class: classes[c], ...r }));
  const top5 = classes.length > 5 ? topK(logits, labels, 5) : null;
  const lines = [
    `${plural(count, "picture")}: accuracy ${percent(accuracy)}, loss ${loss.toFixed(4)}${top5 === null ? "" : `, top-5 ${percent(top5)}`}`,
    "",
    table(
      ["class", "precision", "recall", "F1", "pictures"],
      rows.map((r) => [r.class, percent(r.precision), percent(r.recall), percent(r.f1), r.support]),
    ),
  ];
  if (classes.length <= MAX_CONFUSION)
    lines.push(
      "",
      "confusion (rows: true class)",
      table(
        ["", ...classes],
        confusion.map((r, c) => [classes[c], ...r]),
      ),
    );
  out.result(
    { event: "eval", run: path, count, loss, accuracy, top5, classes: rows, confusion, unreadable },
    lines.join("\n"),
  );
}
