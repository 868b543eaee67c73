// What the command says: JSON lines on standard output, or aligned tables for people; progress on standard error, as
// one line that rewrites itself on a terminal and as plain lines elsewhere.

export type Value = string | number | boolean | null | readonly number[] | { readonly [key: string]: number };
/** One result: a JSON object of the contract. */
export type Line = { readonly kind: string } & { readonly [key: string]: Value | undefined };

/** Four significant digits: more than a noisy machine can tell. */
export const round = (x: number): number => Number(x.toPrecision(4));

const columnOf = (cells: readonly string[]): number => Math.max(...cells.map((c) => c.length));

/** Rows under a heading, columns padded: names to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((h, i) => columnOf([h, ...rows.map((r) => r[i])]));
  const right = head.map((_, i) => rows.every((r) => /^[-+\d.,×%—]*$/.test(r[i])));
  const line = (r: readonly string[]) =>
    r
      .map((c, i) => (right[i] ? c.padStart(widths[i]) : c.padEnd(widths[i])))
      .join("  ")
      .trimEnd();
  return [line(head), ...rows.map(line)].join("\n");
}

interface Stream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Report {
  readonly json: boolean;
  readonly #out: Stream;
  readonly #err: Stream;
  readonly #everyMs: number;
  #open = false;
  #said = 0;

  /** `everyMs`: how far apart plain lines of progress are at least. */
  constructor(
    json: boolean,
    out: Stream = process.stdout,
    err: Stream = process.stderr,
    everyMs: number = 10_000,
  ) {
    this.json = json;
    this.#everyMs = everyMs;
    this.#out = out;
    this.#err = err;
  }

  /** A result, printed in JSON mode only; tables show it to people. */
  line(line: Line): void {
    if (this.json) this.#out.write(`${JSON.stringify(line)}\n`);
  }

  /** Text for people: on standard output, or beside the JSON lines on standard error. */
  text(text: string): void {
    this.#clear();
    (this.json ? this.#err : this.#out).write(`${text}\n`);
  }

  /** A phase begins. */
  phase(text: string): void {
    this.#clear();
    this.#said = performance.now();
    this.#err.write(`${text}\n`);
  }

  /** Where the phase stands; where lines cannot be rewritten, one now and then. */
  progress(text: string): void {
    if (this.#err.isTTY) {
      this.#err.write(`\r\x1b[K${text}`);
      this.#open = true;
    } else if (performance.now() - this.#said >= this.#everyMs) {
      this.#said = performance.now();
      this.#err.write(`  ${text}\n`);
    }
  }

  #clear(): void {
    if (this.#open) this.#err.write("\r\x1b[K");
    this.#open = false;
  }

  end(): void {
    this.#clear();
  }
}
