// npm run margin: how far transfer is ahead of training from scratch, over several seeds. Each seed draws other pictures
// and other initial weights. Ends with exit code 1 when the mean margin is below 10 points.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { init, UsageError } from "../src/index.ts";
import { drawFolder } from "./pictures/folder.ts";
import { adapterName, percent, runMain, wholeNumber } from "./support.ts";
import { BUDGET, openTask, runWay, TASK } from "./transfer.ts";

const HELP = `npm run margin -- [--seeds 0,1,2] [--json]

Runs what npm start runs for each seed and prints held-out accuracies and the mean margin of the frozen, pretrained trunk
over training from scratch. Exit code 1 when the mean margin is below ${10} points.
`;

const LEAST = 0.1;

interface Row {
  readonly seed: number;
  readonly transfer: number;
  readonly scratch: number;
}

async function one(seed: number): Promise<Row> {
  const dir = await mkdtemp(join(tmpdir(), "thaw-margin-"));
  try {
    await drawFolder(dir, { ...TASK, seed });
    const task = await openTask(dir, seed);
    const transfer = await runWay(task, "transfer");
    const scratch = await runWay(task, "scratch");
    return { seed, transfer: transfer.accuracy, scratch: scratch.accuracy };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const points = (share: number) => `${(100 * share).toFixed(1)} points`;

async function margin(seeds: readonly number[], json: boolean): Promise<number> {
  const say = json ? console.error : console.log;
  await init();
  say(
    `${TASK.train} training and ${TASK.test} held-out pictures of each class, ${BUDGET.epochs} epochs; ${await adapterName()}`,
  );
  const rows: Row[] = [];
  for (const seed of seeds) {
    const row = await one(seed);
    rows.push(row);
    say(
      `seed ${seed}: frozen trunk ${percent(row.transfer)}, from scratch ${percent(row.scratch)}, margin ${points(row.transfer - row.scratch)}`,
    );
    if (json) console.log(JSON.stringify({ event: "seed", ...row }));
  }
  const mean = rows.reduce((s, r) => s + r.transfer - r.scratch, 0) / rows.length;
  const passed = mean >= LEAST;
  say(
    `mean margin over ${rows.length} seeds: ${points(mean)} (at least ${points(LEAST)} wanted: ${passed ? "yes" : "NO"})`,
  );
  if (json) console.log(JSON.stringify({ event: "done", seeds, margin: mean, passed }));
  return passed ? 0 : 1;
}

await runMain(async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      seeds: { type: "string", default: "0,1,2" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const seeds = values.seeds.split(",").map((s) => wholeNumber("seeds", s, 0));
  if (new Set(seeds).size < seeds.length) throw new UsageError("--seeds names a seed twice");
  return margin(seeds, values.json);
});
