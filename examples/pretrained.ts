// npm run pretrained: what real ImageNet features are worth. On a folder of pictures, over several seeds, a pretrained network
// whose trunk is frozen against the same network from scratch, with the same pictures and epochs; then the pretrained one
// with everything open. Ends with exit code 1 unless the worst seed of transfer is above the best from scratch.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { init, train, UsageError } from "../src/index.ts";
import { adapterName, percent, runMain, wholeNumber } from "./support.ts";

const HELP = `npm run pretrained -- DIR --weights FILE [--model M] [options]

For each seed: fine-tunes a fresh head on the frozen, pretrained trunk; trains the same network from scratch; then opens
all of the fine-tuned network and trains on, at a smaller rate. Accuracies are on pictures that nothing was trained or
chosen on. Exit code 1 unless transfer's worst seed is above scratch's best, and opening holds what there was: on average
it loses no more than one standard error of an accuracy on so many pictures.

  --weights FILE     pretrained weights: whatever thaw finetune --weights takes
  --model M          the architecture (default: squeezenet1_1)
  --seeds 0,1,2      seeds of the division, the initial values and the order
  --epochs N         of each of the first two (default 8); opened, half as many more
  --image-size N     (default 128)
  --lr X             of the fresh head (default 0.003), from scratch (a third of it), and opened (a hundredth)
  --per-class N      pictures of each class at most
  --test F           share held out (default 0.3)
  --json             one JSON object a line on standard output
`;

interface Row {
  readonly seed: number;
  readonly frozen: number;
  readonly scratch: number;
  readonly opened: number;
  /** Pictures held out. */
  readonly pictures: number;
}

interface Settings {
  readonly dir: string;
  readonly model: string;
  readonly weights: string;
  readonly epochs: number;
  readonly imageSize: number;
  readonly lr: number;
  readonly perClass: number | undefined;
  readonly test: number;
}

async function one(s: Settings, seed: number, out: string): Promise<Row> {
  const { dir, model, epochs, imageSize, perClass, test } = s;
  const common = { model, imageSize, perClass, test, val: 0.2, batchSize: 16, seed };
  const run = async (name: string, options: train.FinetuneOptions): Promise<train.Score> => {
    const result = await train.finetune(dir, { ...common, ...options, out: join(out, `${name}-${seed}`) });
    return result.test as train.Score;
  };
  const trunk = { weights: s.weights, freeze: ["trunk"], epochs, lr: s.lr };
  const frozen = await run("frozen", trunk);
  const scratch = await run("scratch", { weights: "none", freeze: ["none"], epochs, lr: s.lr / 3 });
  const opened = await run("opened", {
    weights: join(out, `frozen-${seed}`),
    head: "keep",
    freeze: ["none"],
    epochs: Math.ceil(epochs / 2),
    lr: s.lr / 100,
  });
  const [a, b, c] = [frozen, scratch, opened].map((score) => score.accuracy);
  return { seed, frozen: a, scratch: b, opened: c, pictures: frozen.count };
}

const mean = (rows: readonly Row[], of: "frozen" | "opened"): number =>
  rows.reduce((sum, r) => sum + r[of], 0) / rows.length;

async function compare(s: Settings, seeds: readonly number[], json: boolean): Promise<number> {
  const say = json ? console.error : console.log;
  await init();
  say(`${s.model} on ${s.dir}: ${s.epochs} epochs at ${s.imageSize} pixels; ${await adapterName()}`);
  const out = await mkdtemp(join(tmpdir(), "thaw-pretrained-"));
  const rows: Row[] = [];
  try {
    for (const seed of seeds) {
      const row = await one(s, seed, out);
      rows.push(row);
      const shown = [row.frozen, row.scratch, row.opened].map(percent);
      say(`seed ${seed}: frozen trunk ${shown[0]}, from scratch ${shown[1]}, then opened ${shown[2]}`);
      if (json) console.log(JSON.stringify({ event: "seed", ...row }));
    }
  } finally {
    await rm(out, { recursive: true, force: true });
  }
  const worst = Math.min(...rows.map((r) => r.frozen));
  const best = Math.max(...rows.map((r) => r.scratch));
  const [closed, open] = [mean(rows, "frozen"), mean(rows, "opened")];
  const pictures = rows.reduce((n, r) => n + r.pictures, 0);
  const error = Math.sqrt((closed * (1 - closed)) / pictures);
  const passed = worst > best && open >= closed - error;
  say(
    `worst transfer ${percent(worst)}, best from scratch ${percent(best)}; opening: ${percent(closed)} to ${percent(open)} on average (standard error ${percent(error)})`,
  );
  if (json) console.log(JSON.stringify({ event: "done", worst, best, frozen: closed, opened: open, passed }));
  return passed ? 0 : 1;
}

function share(name: string, text: string, least: number, most: number): number {
  const v = Number(text);
  if (!(v > least && v < most))
    throw new UsageError(`--${name} must be between ${least} and ${most}, not ${text}`);
  return v;
}

await runMain(async (args) => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      weights: { type: "string" },
      model: { type: "string", default: "squeezenet1_1" },
      seeds: { type: "string", default: "0,1,2" },
      epochs: { type: "string", default: "8" },
      "image-size": { type: "string", default: "128" },
      lr: { type: "string", default: "0.003" },
      "per-class": { type: "string" },
      test: { type: "string", default: "0.3" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [dir] = positionals;
  if (positionals.length !== 1 || values.weights === undefined)
    throw new UsageError("give one folder of pictures, and --weights FILE (--help says more)");
  const perClass = values["per-class"];
  const settings: Settings = {
    dir,
    model: values.model,
    weights: values.weights,
    epochs: wholeNumber("epochs", values.epochs, 1),
    imageSize: wholeNumber("image-size", values["image-size"], 1),
    lr: share("lr", values.lr, 0, 1),
    perClass: perClass === undefined ? undefined : wholeNumber("per-class", perClass, 3),
    test: share("test", values.test, 0, 0.7),
  };
  return compare(
    settings,
    values.seeds.split(",").map((v) => wholeNumber("seeds", v, 0)),
    values.json,
  );
});
