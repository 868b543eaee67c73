// What `thaw finetune` says of a run while it goes: results on standard output, progress and warnings on standard error.

import type { FinetuneEvent } from "../train/index.ts";
import { duration, type Output, percent, plural, thousands } from "./output.ts";

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

/** Counts pictures that are left out, and says how many there are whenever there are more than it said before. */
export class LeftOut {
  readonly #out: Output;
  #count = 0;
  #said = 0;

  constructor(out: Output) {
    this.#out = out;
  }

  add(): void {
    this.#count++;
  }

  say(): void {
    const n = this.#count;
    if (n > this.#said)
      this.#out.say(`${plural(n, "picture")} could not be read and ${n === 1 ? "is" : "are"} left out`);
    this.#said = n;
  }
}

/** Tells a run's events: what is to be kept on standard output, progress on standard error. */
export function reporter(out: Output, left: LeftOut): (event: FinetuneEvent) => void {
  return (e) => {
    switch (e.event) {
      case "note":
        return out.json ? out.result(e, "") : out.say(`note: ${e.text}`);
      case "unreadable":
        left.add();
        return out.json ? out.result(e, "") : out.say(`left out: ${e.reason}`);
      case "start":
        left.say();
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
