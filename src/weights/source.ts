// A weight file in memory under the name that messages give it, and a cursor that cannot read past the end. Also
// the budget that keeps a small hostile file from claiming a large machine: whatever is decompressed or copied out
// beyond the file's own bytes is paid for here before it is allocated.

import { inNode } from "../core/env.ts";
import { DataError, messageOf, UsageError } from "../core/error.ts";

/**
 * A path (Node only), a `file:` URL, or the file's bytes. A TensorFlow.js model is a folder, its model.json, or in a page
 * the list of its files.
 */
export type WeightInput = string | URL | Uint8Array | ArrayBuffer | Blob | ArrayLike<Blob>;

const ALLOWANCE = 256 * 2 ** 20;
const ALLOWANCE_PER_BYTE = 32;

export class Source {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly #budget: { left: number };

  constructor(name: string, bytes: Uint8Array, budget?: { left: number }) {
    this.name = name;
    this.bytes = bytes;
    this.#budget = budget ?? { left: ALLOWANCE + ALLOWANCE_PER_BYTE * bytes.length };
  }

  /** A DataError that names the file; `sentence` goes on from its name. */
  error(sentence: string): DataError {
    return new DataError(`weights: ${this.name}: ${printable(sentence)}`);
  }

  /** Claims memory beyond the file's own bytes; throws DataError when the file has claimed too much already. */
  spend(bytes: number, what: string): void {
    this.#budget.left -= bytes;
    if (!(this.#budget.left >= 0)) {
      throw this.error(
        `${what} would unpack to far more than the ${this.bytes.length} bytes of the file justify; refused as a likely bomb`,
      );
    }
  }

  /** Other bytes under the same name and budget: an archive member, a pickle within a pickle. */
  part(bytes: Uint8Array): Source {
    return new Source(this.name, bytes, this.#budget);
  }
}

/** A sentence that quotes a hostile file: no megabytes, no control characters that a terminal would obey. */
export function printable(sentence: string): string {
  const short = sentence.length > 1000 ? `${sentence.slice(0, 1000)}…` : sentence;
  return short.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Reads little-endian values from a source, each checked against the end. */
export class Cursor {
  readonly source: Source;
  at: number;
  readonly #what: string;
  readonly #view: DataView;

  constructor(source: Source, what: string, at = 0) {
    this.source = source;
    this.at = at;
    this.#what = what;
    this.#view = new DataView(source.bytes.buffer, source.bytes.byteOffset, source.bytes.byteLength);
  }

  get left(): number {
    return this.source.bytes.length - this.at;
  }

  #advance(n: number): number {
    if (n > this.left) {
      throw this.source.error(
        `${this.#what} is cut short: ${n} more bytes belong at byte ${this.at}, ${this.left} are there`,
      );
    }
    const from = this.at;
    this.at += n;
    return from;
  }

  /** The next `n` bytes, not copied. */
  take(n: number): Uint8Array {
    const from = this.#advance(n);
    return this.source.bytes.subarray(from, from + n);
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** Big-endian, as pickles write floats. */
  f64big(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  /** A 64-bit size or offset; throws DataError where it is negative or no exact number. */
  size(what: string): number {
    const n = this.#view.getBigInt64(this.#advance(8), true);
    if (n < 0n || n > 2n ** 53n - 1n) throw this.source.error(`${this.#what} says that ${what} is ${n}`);
    return Number(n);
  }
}

/** Loads what a user passed; `name` is what messages call bytes that come without a path. */
export async function load(
  input: string | URL | Uint8Array | ArrayBuffer | Blob,
  name?: string,
): Promise<Source> {
  if (ArrayBuffer.isView(input)) {
    return new Source(
      name ?? "the bytes given",
      new Uint8Array(input.buffer, input.byteOffset, input.byteLength),
    );
  }
  if (input instanceof ArrayBuffer) return new Source(name ?? "the bytes given", new Uint8Array(input));
  if (typeof Blob !== "undefined" && input instanceof Blob) {
    const own = "name" in input && typeof input.name === "string" ? input.name : "the bytes given";
    return new Source(name ?? own, new Uint8Array(await input.arrayBuffer()));
  }
  if (typeof input === "string" || input instanceof URL) return loadPath(input);
  throw new UsageError("weights: pass a path or the file's bytes (Uint8Array, ArrayBuffer or Blob)");
}

/**
 * The path that a string or URL names. Throws UsageError for a URL that is no `file:`, which the caller may fetch
 * (`what` says what to do then), and where there are no files.
 */
export async function pathOf(given: string | URL, what: string): Promise<string> {
  const name = String(given);
  if (given instanceof URL ? given.protocol !== "file:" : /^(https?|ftp|data|blob|s3|gs):/i.test(given)) {
    throw new UsageError(`weights: ${name.slice(0, 200)}: URLs are not taken here; ${what}`);
  }
  if (!inNode()) throw new UsageError(`weights: ${name}: there are no paths in a browser; ${what}`);
  if (typeof given === "string" && !/^file:\/\//i.test(given)) return given;
  const { fileURLToPath } = await import("node:url");
  try {
    return fileURLToPath(given);
  } catch (error) {
    throw new UsageError(`weights: ${name} is no path (${messageOf(error)})`);
  }
}

async function loadPath(given: string | URL): Promise<Source> {
  const path = await pathOf(given, "fetch the file and pass its bytes");
  const name = String(given);
  const { open, stat } = await import("node:fs/promises");
  const fail = (sentence: string) => new DataError(`weights: ${name}: ${sentence}`);
  try {
    const info = await stat(path);
    if (!info.isFile())
      throw fail(
        info.isDirectory() ? "is a folder, not a file, and holds no model.json" : "is not a regular file",
      );
    const file = await open(path, "r");
    try {
      const bytes = new Uint8Array(info.size);
      // In pieces, because one read takes at most 2 GiB.
      for (let at = 0; at < bytes.length; ) {
        const { bytesRead } = await file.read(bytes, at, Math.min(bytes.length - at, 2 ** 30));
        if (bytesRead === 0) throw fail("became shorter while it was read");
        at += bytesRead;
      }
      return new Source(name, bytes);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") throw fail("no such file");
    if (code === "EACCES" || code === "EPERM") throw fail("may not be read (permission denied)");
    throw fail(messageOf(error));
  }
}
