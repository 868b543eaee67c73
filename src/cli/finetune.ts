// thaw finetune: a folder of pictures in, a run's folder out.

import { ThawError } from "../core/error.ts";
import { type FinetuneEvent, type FinetuneOptions, finetune, type Score } from "../train/index.ts";
import type { Options, Values } from "./args.ts";
import { command } from "./command.ts";
import { duration, type Output, percent, plural, thousands } from "./output.ts";
import { FREEZE, frozenBatchNorm } from "./shared_options.ts";

const OPTIONS = {
  model: { kind: "text", value: "M", help: "the architecture (default densenet121; thaw models lists them)" },
  weights: {
    kind: "text",
    value: "W",
    help: "where to start: none (random), imagenet, a weight file, or the folder of a finished run (default imagenet where its file is on this machine, else none)",
  },
  ...FREEZE,
  head: {
    kind: "text",
    value: "SPEC",
    help: "linear (default): a fresh last layer; mlp:512,dropout:0.5: fresh layers of these widths and dropouts before it; keep: the head that the weights have",
  },
  epochs: {
    kind: "whole",
    value: "N",
    help: "passes over the training pictures, from the beginning of the run (default 10)",
  },
  "batch-size": { kind: "whole", value: "N", help: "pictures in a batch (default 32)" },
  accumulate: { kind: "whole", value: "N", help: "batches whose gradients make one step (default 1)" },
  optimizer: { kind: "text", value: "NAME", help: "adam (default), adamw or sgd" },
  lr: { kind: "number", value: "X", help: "learning rate (default 0.001; sgd 0.01)" },
  "weight-decay": { kind: "number", value: "X", help: "default 0; adamw 0.01" },
  momentum: { kind: "number", value: "X", help: "of sgd (default 0.9)" },
  "clip-norm": { kind: "number", value: "X", help: "scale gradients down to this norm" },
  val: {
    kind: "number",
    value: "X",
    help: "share held out for validation (default 0.2, unless DIR has a val folder)",
  },
  test: {
    kind: "number",
    value: "X",
    help: "share held out for the test at the end (default 0.1, unless DIR has a test folder)",
  },
  group: {
    kind: "text",
    value: "REGEX",
    help: "what in a picture's path names its patient or slide: pictures of one group never come to both sides",
  },
  "per-class": { kind: "whole", value: "N", help: "use at most N pictures of each class" },
  limit: { kind: "whole", value: "N", help: "use at most N pictures in all" },
  monitor: {
    kind: "text",
    value: "NAME",
    help: "which epoch is best by validation: loss (default) or accuracy",
  },
  patience: {
    kind: "whole",
    value: "N",
    help: "stop after N epochs without an improvement (default 0: never)",
  },
  seed: { kind: "whole", value: "N", help: "of the division, the order, the fresh weights (default 0)" },
  out: { kind: "text", value: "RUN", help: "the run's folder (default runs/DIR-MODEL)" },
  resume: {
    kind: "flag",
    help: "go on where the last checkpoint stands of the run in --out, or of the newest in runs/DIR-MODEL; its options are kept, other --epochs and --patience count",
  },
  "checkpoint-seconds": {
    kind: "number",
    value: "S",
    help: "between checkpoints within an epoch (default 120)",
  },
  strict: { kind: "flag", help: "stop at a picture that cannot be read, instead of leaving it out" },
} as const satisfies Options;

export const finetuning = command({
  name: "finetune",
  usage: "DIR [options]",
  about: "train on the pictures of a folder with one sub-folder per class",
  more: "DIR/CLASS/picture.jpg; JPEG, PNG, WebP and others. DIR may also be divided already, as DIR/train/CLASS, DIR/val/CLASS.\nThe run's folder gets model.safetensors (the best epoch), run.json, metrics.jsonl and checkpoint/.",
  options: OPTIONS,
  arguments: { least: 1, most: 1 },
  saves: true,
  async run({ values, positionals, out, signal }) {
    const onEvent = reporter(out);
    const result = await finetune(positionals[0], { ...optionsOf(values), signal, onEvent });
    const { run, val, test } = result;
    if (result.end === "aborted")
      throw new ThawError(
        `interrupted: a checkpoint is in ${run}/checkpoint; go on by: thaw finetune ${[positionals[0], "--out", run].map(quoted).join(" ")} --resume`,
      );
    const early = result.end === "early" ? `stopped early after ${plural(result.epochs, "epoch")}; ` : "";
    const scores = `${scoreText("validation", val)}${scoreText("test", test)}`;
    out.result(
      { event: "done", run, end: result.end, epochs: result.epochs, bestEpoch: result.bestEpoch, val, test },
      `${early}best epoch ${result.bestEpoch}${scores}\n${out.strong(run)}: thaw predict ${run} IMAGE… uses it`,
    );
  },
});

/** A word as a shell takes it back. */
const quoted = (word: string) =>
  /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

const scoreText = (what: string, s: Score | null) =>
  s ? `, ${what} accuracy ${percent(s.accuracy)}, loss ${s.loss.toFixed(4)}` : "";

function optionsOf(v: Values<typeof OPTIONS>): FinetuneOptions {
  return {
    model: v.model,
    weights: v.weights,
    freeze: v.freeze,
    unfrozenBlocks: v["unfrozen-blocks"],
    frozenBatchNorm: frozenBatchNorm(v["frozen-bn"]),
    head: v.head,
    imageSize: v["image-size"],
    epochs: v.epochs,
    batchSize: v["batch-size"],
    accumulate: v.accumulate,
    optimizer: v.optimizer as FinetuneOptions["optimizer"],
    lr: v.lr,
    weightDecay: v["weight-decay"],
    momentum: v.momentum,
    clipNorm: v["clip-norm"],
    val: v.val,
    test: v.test,
    group: v.group,
    perClass: v["per-class"],
    limit: v.limit,
    monitor: v.monitor as FinetuneOptions["monitor"],
    patience: v.patience,
    seed: v.seed,
    out: v.out,
    resume: v.resume,
    checkpointSeconds: v["checkpoint-seconds"],
    strict: v.strict,
  };
}

type Of<E extends FinetuneEvent["event"]> = Extract<FinetuneEvent, { event: E }>;

function startText(e: Of<"start">): string {
  const share = percent(e.trainable / e.parameters);
  return [
    `${e.model} from ${e.weights === "none" ? "random weights" : e.weights}, head ${e.head}: ${thousands(e.trainable)} of ${thousands(e.parameters)} parameters train (${share})`,
    `${plural(e.train, "picture")} to train on, ${thousands(e.val)} for validation, ${thousands(e.test)} for the test; ${e.imageSize}×${e.imageSize} pixels, batches of ${e.batchSize}; ${plural(e.classes.length, "class", "classes")}: ${e.classes.join(", ")}`,
    `on ${e.adapter}`,
    `into ${e.run}`,
  ].join("\n");
}

function epochText(e: Of<"epoch">): string {
  const val = e.val ? `  val loss ${e.val.loss.toFixed(4)} acc ${percent(e.val.accuracy)}` : "";
  const rate = `${e.imagesPerSecond.toFixed(1)} images/s, ${duration(e.seconds)}`;
  const best = e.best ? "  ← best" : "";
  return `epoch ${e.epoch}/${e.epochs}  loss ${e.train.loss.toFixed(4)} acc ${percent(e.train.accuracy)}${val}  (${rate})${best}`;
}

/** Tells a run's events: what is to be kept on standard output, progress on standard error. */
function reporter(out: Output): (event: FinetuneEvent) => void {
  let unreadable = 0;
  return (e) => {
    switch (e.event) {
      case "note":
        return out.json ? out.result(e, "") : out.say(`note: ${e.text}`);
      case "unreadable":
        unreadable++;
        return out.json ? out.result(e, "") : out.say(`left out: ${e.reason}`);
      case "start":
        if (unreadable > 0)
          out.say(
            `${plural(unreadable, "picture")} could not be read and ${unreadable === 1 ? "is" : "are"} left out`,
          );
        return out.result(e, startText(e));
      case "resumed":
        return out.result(
          e,
          `going on ${e.batch > 0 ? `in epoch ${e.epoch + 1} after batch ${e.batch}` : `after epoch ${e.epoch}`}`,
        );
      case "epoch":
        return out.result(e, epochText(e));
      case "pictures":
        return out.progress("pictures", e.done, e.total);
      case "validation":
        return out.progress(`validation ${e.epoch}`, e.done, e.total);
      case "test":
        return out.progress("test", e.done, e.total);
      case "step": {
        const rate = `${e.imagesPerSecond.toFixed(1)} images/s  ${duration(e.secondsLeft)} left`;
        const words = `loss ${e.loss.toFixed(4)}  acc ${percent(e.accuracy)}  ${rate}`;
        return out.progress(`epoch ${e.epoch}/${e.epochs}`, e.batch, e.batches, words);
      }
      case "checkpoint":
        return;
      default:
        return e satisfies never;
    }
  };
}
