// Progress on standard error: one bar that is drawn over itself on a terminal, a line every few epochs elsewhere.

import type { FitEvent } from "../src/train/index.ts";
import { percent } from "./support.ts";

const WIDTH = 24;
/** Lines in all where there is no terminal. */
const LINES = 5;

/** Listens to a run called `name`. */
export function progress(name: string): (event: FitEvent) => void {
  const terminal = process.stderr.isTTY === true;
  return (event) => {
    if (event.event === "step" && terminal) {
      const done = (event.epoch - 1 + event.batch / event.batches) / event.epochs;
      const bar = "█".repeat(Math.round(done * WIDTH)).padEnd(WIDTH, "·");
      const speed = `${event.imagesPerSecond.toFixed(0)} images/s`;
      const left = `${Math.ceil(event.secondsLeft)} s left`;
      process.stderr.write(`\r\x1b[K${name} ${bar} ${speed}, loss ${event.loss.toFixed(2)}, ${left}`);
    }
    if (event.event !== "epoch") return;
    const { epoch, epochs, train } = event;
    const text = `${name}: epoch ${epoch} of ${epochs}, loss ${train.loss.toFixed(2)}, right on ${percent(train.accuracy)} of the training pictures`;
    if (terminal && epoch === epochs) process.stderr.write(`\r\x1b[K${text}\n`);
    if (!terminal && (epoch === epochs || epoch % Math.ceil(epochs / LINES) === 0)) console.error(text);
  };
}
