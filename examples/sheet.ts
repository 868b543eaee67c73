// A page to look at: held-out pictures with what each network said of them. One file, pictures inside.

import { readFile } from "node:fs/promises";
import { percent } from "./support.ts";
import type { Outcome, Task } from "./transfer.ts";

const PER_CLASS = 8;

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.2rem 1rem .2rem 0;text-align:right}td:first-child,th:first-child{text-align:left}
section{display:flex;flex-wrap:wrap;gap:.6rem}figure{margin:0;width:6.6rem;font-size:.75rem;line-height:1.3}
img{width:100%;image-rendering:pixelated;border-radius:4px}.right{color:#0a6b2d}.wrong{color:#b3261e}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}.right{color:#6fdc8c}.wrong{color:#ff8a80}}`;

const NAMES = { transfer: "frozen trunk", scratch: "from scratch" } as const;

function said(task: Task, outcome: Outcome, i: number): string {
  const label = task.folder.label(task.test[i]);
  const right = outcome.predicted[i] === label;
  const guess = task.folder.classes[outcome.predicted[i]];
  return `<div class="${right ? "right" : "wrong"}">${right ? "✓" : "✗"} ${guess} ${(100 * outcome.certainty[i]).toFixed(0)}&nbsp;%</div>`;
}

async function figure(task: Task, outcomes: readonly Outcome[], i: number): Promise<string> {
  const png = (await readFile(task.folder.path(task.test[i]))).toString("base64");
  const lines = outcomes.map((o) => said(task, o, i)).join("");
  return `<figure><img alt="" src="data:image/png;base64,${png}">${lines}</figure>`;
}

/** The page's HTML: a table of both ways, then some held-out pictures of each class. */
export async function sheet(task: Task, outcomes: readonly Outcome[]): Promise<string> {
  const { classes } = task.folder;
  const rows = outcomes.map(
    (o) =>
      `<tr><td>${NAMES[o.way]}</td><td>${percent(o.accuracy)}</td><td>${o.trainable.toLocaleString("en")}</td><td>${o.seconds.toFixed(1)}</td><td>${o.imagesPerSecond.toFixed(0)}</td></tr>`,
  );
  const sections: string[] = [];
  for (const [c, name] of classes.entries()) {
    const own = task.test.flatMap((index, i) => (task.folder.label(index) === c ? [i] : []));
    const figures = await Promise.all(own.slice(0, PER_CLASS).map((i) => figure(task, outcomes, i)));
    sections.push(`<h2>${name}</h2><section>${figures.join("")}</section>`);
  }
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Thaw: transfer against scratch</title><style>${STYLE}</style>
<h1>Transfer against scratch</h1>
<p>${task.train.length} training pictures of ${classes.length} classes, ${task.test.length} held out, seed ${task.seed}. Under each held-out picture: what the network with the frozen, pretrained trunk said, then what the one trained from scratch said.</p>
<table><tr><th></th><th>held-out accuracy</th><th>trained parameters</th><th>seconds</th><th>images/s</th></tr>${rows.join("")}</table>
${sections.join("\n")}
</html>
`;
}
