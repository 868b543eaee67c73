// What a command says: results on standard output (as JSON lines with --json), everything else on standard error; a
// progress bar on a terminal, now and then a plain line elsewhere.

import { styleText } from "node:util";

export { table } from "../core/table.ts";

/** Seconds between plain lines of progress. */
const PLAIN_SECONDS = 10;
const BAR = 24;

export interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export class Output {
  readonly json: boolean;
  readonly #out: Stream;
  readonly #err: Stream;
  readonly #now: () => number;
  #bar = false;
  #told = Number.NEGATIVE_INFINITY;
  #about = "";
  #ended = false;

  constructor(json: boolean, out: Stream, err: Stream, now: () => number = () => performance.now()) {
    this.json = json;
    this.#out = out;
    this.#err = err;
    this.#now = now;
  }

  /** A result: `object` with --json, else `text`. */
  result(object: object, text: string): void {
    this.clear();
    this.#out.write(`${this.json ? JSON.stringify(object) : text}\n`);
  }

  /** Something for the person at the terminal. */
  say(text: string): void {
    this.clear();
    this.#err.write(`${text}\n`);
  }

  /** Bold on a terminal. */
  strong(text: string): string {
    return this.#out.isTTY && !this.json ? styleText("bold", text) : text;
  }

  /** How far `about` has come, and a few words on it. */
  progress(about: string, done: number, total: number, words = ""): void {
    const tail = words ? `  ${words}` : "";
    if (this.#err.isTTY) {
      const full = Math.round((BAR * Math.min(done, total)) / Math.max(1, total));
      const bar = "█".repeat(full) + "░".repeat(BAR - full);
      const line = `${about} ${bar} ${done}/${total}${tail}`;
      this.#err.write(`\r\x1b[K${line.slice(0, (this.#err.columns ?? 120) - 1)}`);
      this.#bar = true;
      return;
    }
    if (this.#isDue(about, done, total)) this.#err.write(`${about} ${done}/${total}${tail}\n`);
  }

  /** Whether a plain line is written: at the end in any case, else now and then, and soon where something begins. */
  #isDue(about: string, done: number, total: number): boolean {
    const now = this.#now();
    const other = about !== this.#about;
    const ended = done >= total;
    if (ended && !other && this.#ended) return false;
    if (!ended && now - this.#told < (other ? 1000 : PLAIN_SECONDS * 1000)) return false;
    this.#told = now;
    this.#about = about;
    this.#ended = ended;
    return true;
  }

  /** Takes the bar away, so that a line can be written. */
  clear(): void {
    if (this.#bar) this.#err.write("\r\x1b[K");
    this.#bar = false;
  }
}

export const percent = (share: number | null): string =>
  share === null ? "–" : `${(100 * share).toFixed(1)}%`;

export const thousands = (n: number): string => n.toLocaleString("en-US");

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${String(s % 60).padStart(2, "0")}s`;
  return `${Math.floor(s / 3600)}h${String(Math.floor(s / 60) % 60).padStart(2, "0")}m`;
}

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${thousands(n)} ${n === 1 ? one : many}`;
