// thaw finetune: a folder of pictures in, a run's folder out.

import { ThawError } from "../core/error.ts";
import { type FinetuneOptions, finetune, type Score } from "../train/index.ts";
import type { Options, Values } from "./args.ts";
import { command } from "./command.ts";
import { percent, plural } from "./output.ts";
import { LeftOut, reporter } from "./run_report.ts";
import { commandLine } from "./self.ts";
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
  out: {
    kind: "text",
    value: "RUN",
    help: "the run's folder, outside of DIR (default runs/DIR-MODEL, or …-2, …-3 where that is taken)",
  },
  resume: {
    kind: "flag",
    help: "go on where the last checkpoint stands of the run in --out, or of the newest unfinished one in runs/DIR-MODEL; its options are kept, and --epochs, --patience, --checkpoint-seconds and --strict may be given anew",
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
  more: "DIR/CLASS/picture.jpg; JPEG, PNG, WebP and others. DIR may also be divided already, as DIR/train/CLASS, DIR/val/CLASS.\nThe run's folder gets model.safetensors (the best epoch), run.json, metrics.jsonl and checkpoint/.\nCtrl-C, or closing its output, ends it with a checkpoint and exit code 1; the last message is the command that goes on.",
  options: OPTIONS,
  arguments: { least: 1, most: 1 },
  saves: true,
  async run({ values, positionals, out, signal }) {
    const left = new LeftOut(out);
    const onEvent = reporter(out, left);
    const result = await finetune(positionals[0], { ...optionsOf(values), signal, onEvent });
    left.say();
    const { run, val, test } = result;
    if (result.end === "aborted") {
      const next = commandLine("finetune", positionals[0], "--out", run, "--resume");
      throw new ThawError(`interrupted: a checkpoint is in ${run}/checkpoint; go on by: ${next}`);
    }
    const early = result.end === "early" ? `stopped early after ${plural(result.epochs, "epoch")}; ` : "";
    const scores = `${scoreText("validation", val)}${scoreText("test", test)}`;
    out.result(
      { event: "done", run, end: result.end, epochs: result.epochs, bestEpoch: result.bestEpoch, val, test },
      `${early}best epoch ${result.bestEpoch}${scores}\n${out.strong(run)}: ${commandLine("predict", run)} IMAGE… uses it`,
    );
  },
});

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
