// Makes weights/densenet_mini-shapes.safetensors: densenet_mini trained from scratch on the procedural pretraining
// classes, new pictures in every epoch. node examples/pretrain.ts --help

import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { init, models, optim, train, weights } from "../src/index.ts";
import { exportState } from "../src/nn/index.ts";
import { shipped } from "../src/weights/known.node.ts";
import { classesOf } from "./pictures/fields.ts";
import { drawnSource } from "./pictures/source.ts";
import { adapterName, runMain, wholeNumber } from "./support.ts";

const HELP = `node examples/pretrain.ts [--epochs N] [--per-class N] [--seed N] [--out FILE]
node examples/pretrain.ts --show [--out FILE]

Trains densenet_mini from scratch on ${classesOf("pretrain").length} procedural classes (examples/pictures/fields.ts), drawing new pictures in every
epoch, and writes its weights. The same command gives the same bytes on the same adapter and driver.

  --epochs N     epochs (default 40)
  --per-class N  pictures of each class in an epoch (default 40)
  --seed N       seed of the pictures and of the initial weights (default 0)
  --out FILE     default weights/densenet_mini-shapes.safetensors
  --show         train nothing; print what the file says of itself
`;

const BATCH = 16;
const LR = 3e-3;
/** Held-out pictures have numbers that no epoch reaches. */
const HELD_OUT = { first: 1_000_000, perClass: 50 };

interface Options {
  readonly epochs: number;
  readonly perClass: number;
  readonly seed: number;
  readonly out: string;
}

/** Cosine from LR to nearly nothing, by epochs counted from 0. */
const rate = (epoch: number, epochs: number) => 0.5 * LR * (1 + Math.cos((Math.PI * (epoch + 0.5)) / epochs));

async function pretrain({ epochs, perClass, seed, out }: Options): Promise<void> {
  const began = performance.now();
  await init({ seed });
  const classes = classesOf("pretrain");
  const model = models.densenet_mini({ numClasses: classes.length });
  const common = { family: "pretrain", seed, batchSize: BATCH, spec: model.preprocessing } as const;
  const optimizer = new optim.AdamW(model.parameters(), { lr: rate(0, epochs), weightDecay: 0.01 });
  const adapter = await adapterName();
  console.error(
    `densenet_mini on ${classes.length} classes, ${epochs} epochs of ${classes.length * perClass} new pictures, ${adapter}`,
  );
  await train.fit(model, drawnSource({ ...common, perClass, first: 0 }), {
    epochs,
    optimizer,
    onEvent: (e) => {
      if (e.event !== "epoch") return;
      optimizer.paramGroups[0].lr = rate(e.epoch, epochs);
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      const left = (((epochs - e.epoch) * Number(seconds)) / e.epoch).toFixed(0);
      console.error(
        `epoch ${e.epoch}/${epochs}: loss ${e.train.loss.toFixed(3)}, accuracy ${(100 * e.train.accuracy).toFixed(1)} %, ${e.imagesPerSecond.toFixed(0)} images/s, ${seconds} s, about ${left} s left`,
      );
    },
  });
  const held = await train.evaluate(model, drawnSource({ ...common, ...HELD_OUT }));
  const metadata = {
    architecture: model.architecture,
    classes: classes.join(","),
    command: `node examples/pretrain.ts --epochs ${epochs} --per-class ${perClass} --seed ${seed}`,
    seed: String(seed),
    heldOutAccuracy: held.accuracy.toFixed(4),
    heldOutPictures: String(held.count),
    adapter,
    licence: "MIT",
  };
  await mkdir(dirname(out), { recursive: true });
  await weights.write(out, entriesOf(await exportState(model)), { metadata });
  const minutes = ((performance.now() - began) / 60_000).toFixed(1);
  console.log(
    `${out}: held-out accuracy ${(100 * held.accuracy).toFixed(1)} % on ${held.count} pictures of ${classes.length} classes; ${minutes} minutes`,
  );
}

const entriesOf = (state: Awaited<ReturnType<typeof exportState>>) =>
  new Map([...state].map(([name, e]) => [name, e as weights.WriteEntry]));

await runMain(async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      epochs: { type: "string", default: "40" },
      "per-class": { type: "string", default: "40" },
      seed: { type: "string", default: "0" },
      out: { type: "string", default: shipped("densenet_mini-shapes.safetensors") },
      show: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  if (values.show) {
    const { extras, tensors } = await weights.readCheckpoint(values.out);
    for (const [key, value] of extras) console.log(`${key}: ${value}`);
    console.log(`tensors: ${tensors.size}`);
    return;
  }
  await pretrain({
    epochs: wholeNumber("epochs", values.epochs, 1),
    perClass: wholeNumber("per-class", values["per-class"], 1),
    seed: wholeNumber("seed", values.seed, 0),
    out: values.out,
  });
});
