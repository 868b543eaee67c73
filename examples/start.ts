// npm start: the main job on what the repository itself carries. Draws a small set of pictures, then trains the same
// network on it twice: a fresh head on the shipped, frozen trunk, and everything from scratch. No network is needed.

import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { init, weights } from "../src/index.ts";
import { exportState } from "../src/nn/index.ts";
import { drawFolder } from "./pictures/folder.ts";
import { progress } from "./progress.ts";
import { sheet } from "./sheet.ts";
import { adapterName, percent, runMain, wholeNumber } from "./support.ts";
import {
  BUDGET,
  MODEL,
  type Outcome,
  openTask,
  runWay,
  TASK,
  type Task,
  type Way,
  WEIGHTS,
} from "./transfer.ts";

const HELP = `npm start -- [--seed N] [--out DIR] [--json]

Draws pictures of six classes and fine-tunes a small DenseNet on them: a fresh head on a frozen trunk that the project
pretrained on other classes, against the same network from scratch with the same pictures and epochs.

  --seed N   another seed draws other pictures and other initial weights (default 0)
  --out DIR  where pictures, weights and the page go (default runs/start)
  --json     one JSON object a line on standard output, the rest on standard error
`;

interface Options {
  readonly seed: number;
  readonly out: string;
  readonly json: boolean;
}

const NAMES: Readonly<Record<Way, string>> = { transfer: "Frozen trunk", scratch: "From scratch" };

async function train(task: Task, way: Way, json: boolean): Promise<Outcome> {
  const show = progress(NAMES[way]);
  return runWay(task, way, (event) => {
    show(event);
    if (json && event.event === "epoch") console.log(JSON.stringify({ ...event, way }));
  });
}

/** A table of both ways in plain text. */
function table(outcomes: readonly Outcome[]): string {
  const head = [
    "",
    "held-out accuracy",
    "on its training pictures",
    "trained parameters",
    "seconds",
    "images/s",
  ];
  const rows = outcomes.map((o) => [
    NAMES[o.way],
    percent(o.accuracy),
    percent(o.trainAccuracy),
    o.trainable.toLocaleString("en"),
    o.seconds.toFixed(1),
    o.imagesPerSecond.toFixed(0),
  ]);
  const widths = head.map((h, c) => Math.max(h.length, ...rows.map((r) => r[c].length)));
  const line = (cells: string[]) =>
    cells.map((v, c) => (c === 0 ? v.padEnd(widths[c]) : v.padStart(widths[c]))).join("  ");
  return [head, ...rows].map(line).join("\n");
}

/** One held-out picture of each class, and what both said. */
function samples(task: Task, outcomes: readonly Outcome[]): string {
  const { folder, test } = task;
  const lines = folder.classes.map((name, c) => {
    const i = test.findIndex((index) => folder.label(index) === c);
    const said = outcomes.map((o) => `${folder.classes[o.predicted[i]]} (${percent(o.certainty[i])})`);
    return `  ${folder.paths[test[i]]}: ${said[0]}; from scratch ${said[1]}${name === folder.classes[outcomes[0].predicted[i]] ? "" : "  ✗"}`;
  });
  return lines.join("\n");
}

async function save(out: string, task: Task, outcomes: readonly Outcome[]): Promise<void> {
  await writeFile(join(out, "index.html"), await sheet(task, outcomes));
  for (const { way, model } of outcomes) {
    const state = await exportState(model);
    const entries = new Map([...state].map(([name, e]) => [name, e as weights.WriteEntry]));
    const metadata = { architecture: MODEL, classes: task.folder.classes.join(",") };
    await weights.write(join(out, `${way}.safetensors`), entries, { metadata });
  }
}

function report({ out }: Options, task: Task, outcomes: readonly Outcome[], seconds: number): string {
  const [transfer, scratch] = outcomes;
  const margin = 100 * (transfer.accuracy - scratch.accuracy);
  return `
${table(outcomes)}

Transfer is ${Math.abs(margin).toFixed(1)} points ${margin < 0 ? "behind" : "ahead"}. Some held-out pictures (frozen trunk; from scratch):
${samples(task, outcomes)}

Look at ${join(out, "index.html")} (pictures with predictions); pictures are in ${join(out, "pictures")}, weights in ${out}.
All in all ${seconds.toFixed(0)} seconds. Next: another draw with npm start -- --seed 1, or three of them with npm run margin;
your own pictures, in a folder per class: npm run thaw -- finetune DIR --model ${MODEL} --weights ${relative(".", WEIGHTS)}`;
}

async function start(options: Options): Promise<void> {
  const { seed, out, json } = options;
  const began = performance.now();
  const say = json ? console.error : console.log;
  await init({ seed });
  const pictures = join(out, "pictures");
  await mkdir(out, { recursive: true });
  const count = await drawFolder(pictures, { ...TASK, seed });
  const task = await openTask(pictures, seed);
  const { classes } = task.folder;
  say(`Adapter: ${await adapterName()}
Drew ${count} pictures of ${classes.length} classes (${classes.join(", ")}) into ${pictures}: ${task.train.length} to train on, ${task.test.length} held out.
Training ${MODEL} twice, ${BUDGET.epochs} epochs each: a new head on the pretrained trunk, frozen; and everything from scratch.`);
  const outcomes = [await train(task, "transfer", json), await train(task, "scratch", json)];
  await save(out, task, outcomes);
  const seconds = (performance.now() - began) / 1000;
  say(report(options, task, outcomes, seconds));
  if (!json) return;
  const summary = ({ accuracy, trainAccuracy, trainable, seconds: s, imagesPerSecond }: Outcome) => ({
    accuracy,
    trainAccuracy,
    trainable,
    seconds: s,
    imagesPerSecond,
  });
  const [transfer, scratch] = outcomes.map(summary);
  const margin = transfer.accuracy - scratch.accuracy;
  console.log(JSON.stringify({ event: "done", run: out, seed, transfer, scratch, margin, seconds }));
}

await runMain(async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: "string", default: "0" },
      out: { type: "string", default: "runs/start" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) console.log(HELP);
  else await start({ ...values, seed: wholeNumber("seed", values.seed, 0) });
  return 0;
});
