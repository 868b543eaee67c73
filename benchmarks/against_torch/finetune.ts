// A full fine-tune of DenseNet-121 from random weights, in Thaw and in PyTorch on the CPU: the same initial weights, the
// same prepared pictures, the same batches in the same order. Prints both, and how far apart they end.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { close, data, init, manualSeed, models, optim, train, weights } from "../../src/index.ts";
import { exportState } from "../../src/nn/index.ts";

const HELP = `node benchmarks/against_torch/finetune.ts DIR [--per-class N] [--epochs N] [--batch-size N] [--size N] [--lr X]

Trains DenseNet-121 with everything open from the same random weights on the same batches in Thaw and in PyTorch
(/usr/bin/python3 with torch and torchvision), and compares accuracy on held-out pictures. Exits with 1 when the mean
of validation and test accuracy differs by more than 5 points.

  DIR             a folder with one sub-folder of pictures per class
  --per-class N   pictures of each class (default 100)
  --epochs N      default 4
  --batch-size N  default 16
  --size N        height and width of the input (default 64)
  --lr X          of Adam (default 0.001)
  --seed N        default 0
`;

const POINTS = 5;

interface Score {
  readonly loss: number;
  readonly accuracy: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "per-class": { type: "string", default: "100" },
    epochs: { type: "string", default: "4" },
    "batch-size": { type: "string", default: "16" },
    size: { type: "string", default: "64" },
    lr: { type: "string", default: "0.001" },
    seed: { type: "string", default: "0" },
    help: { type: "boolean" },
  },
});

const say = (text: string) => process.stdout.write(`${text}\n`);
const percent = (s: Score) => `${(100 * s.accuracy).toFixed(1)}% (loss ${s.loss.toFixed(4)})`;

/** The batches of every epoch, as picture numbers. */
async function orders(pictures: train.PreparedPictures, indices: readonly number[], batchSize: number) {
  const epochs: number[][][] = [];
  for (let epoch = 0; epoch < Number(values.epochs); epoch++) {
    const own: number[][] = [];
    const order = data.batches(pictures.dataset, indices, {
      batchSize,
      shuffle: true,
      seed: Number(values.seed),
      epoch,
      unreadable: pictures.unreadable,
    });
    for await (const { samples } of order) own.push(samples.map((s) => s.index));
    epochs.push(own);
  }
  return epochs;
}

async function python(folder: string): Promise<{ val: Score; test: Score }> {
  const script = fileURLToPath(new URL("finetune_torch.py", import.meta.url));
  const child = spawn("/usr/bin/python3", [script, folder], { stdio: ["ignore", "pipe", "inherit"] });
  let val: Score | null = null;
  let test: Score | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    const told = JSON.parse(line) as { epoch?: number; train?: number; val?: Score; test?: Score };
    val = told.val ?? val;
    test = told.test ?? test;
    if (told.val)
      say(`torch epoch ${told.epoch}: train loss ${told.train?.toFixed(4)}, val ${percent(told.val)}`);
  }
  if (!val || !test) throw new Error("PyTorch's run did not finish");
  return { val, test };
}

async function run(dir: string): Promise<number> {
  const [seed, side, batchSize, lr] = [values.seed, values.size, values["batch-size"], values.lr].map(Number);
  await init();
  const folder = await data.imageFolder(dir);
  const split = data.partition(folder, {
    seed,
    val: 0.25,
    test: 0.25,
    perClass: Number(values["per-class"]),
  });
  const spec = { ...models.IMAGENET, resize: side, crop: side };
  const indices = [...split.train, ...split.val, ...split.test];
  const pictures = await train.preparePictures(folder, spec, { indices });
  manualSeed(seed);
  const model = models.densenet121({ numClasses: folder.classes.length });
  const exchange = await mkdtemp(join(tmpdir(), "thaw-torch-"));
  try {
    const used = (list: readonly number[]) => list.filter((i) => !pictures.unreadable.has(i));
    const number = new Map(used(indices).map((i, k) => [i, k]));
    const k = (list: readonly number[]) => list.map((i) => number.get(i) as number);
    await weights.write(
      join(exchange, "weights.safetensors"),
      (await exportState(model)) as Map<string, weights.WriteEntry>,
    );
    const samples = await Promise.all(
      used(indices).map(async (i) => ({
        ...(await pictures.dataset.get(i)),
        label: 0,
        index: i,
        path: "",
        position: 0,
      })),
    );
    const bytes = await pictures.of(samples);
    const all = new Uint8Array(bytes.length * side * side * 3);
    for (const [i, b] of bytes.entries()) all.set(b, i * b.length);
    const shape = [bytes.length, side, side, 3];
    const stacked = new Map([["pictures", { shape, dtype: "u8" as const, data: all }]]);
    await weights.write(join(exchange, "pictures.safetensors"), stacked);
    const plan = {
      classes: folder.classes.length,
      labels: used(indices).map((i) => folder.label(i)),
      epochs: (await orders(pictures, split.train, batchSize)).map((e) => e.map(k)),
      val: k(used(split.val)),
      test: k(used(split.test)),
      mean: spec.mean,
      std: spec.std,
      lr,
      batchSize,
    };
    await writeFile(join(exchange, "plan.json"), JSON.stringify(plan));
    say(
      `${used(split.train).length} pictures to train on, ${plan.val.length} for validation, ${plan.test.length} for the test`,
    );
    const test = train.pictureSource(pictures, split.test, { batchSize });
    const source = train.pictureSource(pictures, split.train, { batchSize, seed, shuffle: true });
    const result = await train.fit(model, source, {
      epochs: Number(values.epochs),
      optimizer: new optim.Adam(model.parameters(), { lr }),
      val: train.pictureSource(pictures, split.val, { batchSize }),
      restoreBest: false,
      onEvent: (e) => {
        if (e.event === "epoch" && e.val)
          say(`thaw  epoch ${e.epoch}: train loss ${e.train.loss.toFixed(4)}, val ${percent(e.val)}`);
      },
    });
    const thaw = { val: result.history.at(-1)?.val as Score, test: await train.evaluate(model, test) };
    const torch = await python(exchange);
    for (const [name, r] of Object.entries({ thaw, torch }))
      say(`${name.padEnd(5)} after the last epoch: val ${percent(r.val)}, test ${percent(r.test)}`);
    const n = plan.val.length + plan.test.length;
    const mean = (r: { val: Score; test: Score }) =>
      (r.val.accuracy * plan.val.length + r.test.accuracy * plan.test.length) / n;
    const points = 100 * (mean(thaw) - mean(torch));
    say(
      `over all ${n} held-out pictures Thaw is ${Math.abs(points).toFixed(1)} points ${points < 0 ? "below" : "above"} PyTorch`,
    );
    return Math.abs(points) <= POINTS ? 0 : 1;
  } finally {
    await rm(exchange, { recursive: true, force: true });
    await close();
  }
}

if (values.help || positionals.length !== 1) {
  process.stdout.write(HELP);
  process.exitCode = values.help ? 0 : 2;
} else process.exitCode = await run(positionals[0]);
