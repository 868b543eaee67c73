// The unpickler: a stack machine over the opcodes of pickle protocols 0 to 5 (Python's Lib/pickletools.py), which
// runs nothing. It knows no recursion, so deep nesting cannot overflow; every opcode consumes file bytes and counts
// against Limits. What names and calls mean is decided in globals.ts and construct.ts, opcodes are in opcodes.ts.

import { OPCODES } from "./opcodes.ts";
import { Cursor, type Source } from "./source.ts";
import { describe, type Limits, type PyValue } from "./values.ts";

/** What a pickle stands in: its file, its bounds, and what a persistent id (a storage) means there. */
export interface PickleHost {
  readonly source: Source;
  readonly limits: Limits;
  /** The value of a persistent id; throws DataError where the container knows none. */
  persistent(id: PyValue): PyValue;
  /** Reads a torch.save stream inside the pickle (torch.storage._load_from_bytes). */
  loadFromBytes(bytes: Uint8Array): PyValue;
}

const STOP = 0x2e;

/** Above this many entries a memo would outgrow what a Map can hold. */
const MAX_MEMO = 4_000_000;

export class Machine {
  readonly host: PickleHost;
  readonly cursor: Cursor;
  readonly #stack: PyValue[] = [];
  /** Heights of the stack at each open MARK. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PyValue>();

  constructor(host: PickleHost, cursor: Cursor) {
    this.host = host;
    this.cursor = cursor;
  }

  error(sentence: string) {
    return this.host.source.error(`its pickle ${sentence} (at byte ${this.cursor.at})`);
  }

  push(value: PyValue): void {
    this.#stack.push(value);
  }

  #need(): void {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.error("takes from an empty stack");
  }

  pop(): PyValue {
    this.#need();
    return this.#stack.pop() as PyValue;
  }

  top(): PyValue {
    this.#need();
    return this.#stack[this.#stack.length - 1];
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** POP takes a mark where one is on top. */
  popOrUnmark(): void {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.pop();
  }

  /** Everything above the last mark, which goes too. */
  popMark(): PyValue[] {
    const height = this.#marks.pop();
    if (height === undefined) throw this.error("takes a mark that was never set");
    return this.#stack.splice(height);
  }

  put(index: number): void {
    this.#memo.set(index, this.top());
    if (this.#memo.size > MAX_MEMO) throw this.error("remembers more than 4,000,000 values; refused");
  }

  memoize(): void {
    this.put(this.#memo.size);
  }

  get(index: number): PyValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.error(`recalls value ${index}, which it never remembered`);
    return value;
  }

  /** Runs to STOP and gives the value on top. */
  run(): PyValue {
    for (;;) {
      this.host.limits.step();
      const code = this.cursor.u8();
      if (code === STOP) return this.#result();
      const op = OPCODES[code];
      if (!op)
        throw this.error(`has no opcode 0x${code.toString(16).padStart(2, "0")}: damaged or no pickle`);
      op(this);
    }
  }

  #result(): PyValue {
    if (this.#stack.length !== 1 || this.#marks.length > 0) {
      throw this.error(
        `ends with ${this.#stack.length} values and ${this.#marks.length} marks instead of one value`,
      );
    }
    return this.#stack[0];
  }
}

/** Reads one pickle at the cursor, which is left behind its STOP. Throws DataError for all it refuses. */
export function unpickle(host: PickleHost, cursor: Cursor): PyValue {
  return new Machine(host, cursor).run();
}

/** The same where a whole number must come out: counts and magic numbers. */
export function unpickleInteger(host: PickleHost, cursor: Cursor, what: string): number | bigint {
  const value = unpickle(host, cursor);
  if (typeof value === "bigint" || Number.isInteger(value)) return value as number | bigint;
  throw host.source.error(`${what} is ${describe(value)} instead of a whole number`);
}

/** A cursor over the bytes of a pickle that begins at `at`. */
export function pickleCursor(source: Source, at = 0): Cursor {
  return new Cursor(source, "its pickle", at);
}
