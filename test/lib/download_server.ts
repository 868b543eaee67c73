// A server on this machine whose answers a test chooses, a file that it should give, and a cache to download it to.
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { ThawError } from "../../src/core/error.ts";
import { type KnownWeights, type PullOptions, pull } from "../../src/weights/known.node.ts";

export const BODY = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) % 251);
export const HALF = 150_000;
export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A body without a length. */
export const all: Handler = (_request, response) => void response.end(BODY);

export class DownloadServer {
  origin = "";
  cache = "";
  answer: Handler = all;
  asked: IncomingMessage[] = [];
  readonly #server = createServer((request, response) => {
    this.asked.push(request);
    this.answer(request, response);
  });

  /** Starts it for the tests of a file, each with an empty cache. */
  use(): this {
    beforeAll(async () => {
      await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
      this.origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    });
    afterAll(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
    beforeEach(() => {
      this.asked = [];
      this.cache = mkdtempSync(join(tmpdir(), "thaw-download-"));
      process.env["THAW_CACHE"] = this.cache;
    });
    afterEach(() => {
      rmSync(this.cache, { recursive: true, force: true });
      delete process.env["THAW_CACHE"];
    });
    return this;
  }

  /** Where the file comes to lie, and where it grows. */
  get target(): string {
    return join(this.cache, "weights/x.pth");
  }

  get part(): string {
    return `${this.target}.part`;
  }

  /** What the cache holds. */
  get files(): string[] {
    return readdirSync(join(this.cache, "weights"));
  }

  entry(more: Partial<KnownWeights> = {}): KnownWeights {
    const url = `${this.origin}/x.pth`;
    const preset = { resize: 256, crop: 224, interpolation: "bilinear" } as const;
    const preprocessing = { ...preset, mean: [0, 0, 0], std: [1, 1, 1] } as const;
    const about = { classes: 1000, parameters: 1, preprocessing, recipe: "a test's", licence: "none" };
    return { file: "x.pth", url, sha256: sha256(BODY).slice(0, 8), ...about, ...more };
  }

  get(options: PullOptions = {}, more: Partial<KnownWeights> = {}) {
    return pull("x/imagenet", this.entry(more), { idleMs: 5000, ...options });
  }

  /** Downloads the file; fails unless it lies whole and alone in the cache. */
  async downloads(options: PullOptions = {}): Promise<void> {
    expect(await this.get(options)).toEqual({ path: this.target, downloaded: true });
    expect(Buffer.compare(readFileSync(this.target), BODY)).toBe(0);
    expect(this.files).toEqual(["x.pth"]);
  }

  /** The one-sentence error of a download; fails where it is none of Thaw's. */
  async failure(options: PullOptions = {}, more: Partial<KnownWeights> = {}): Promise<string> {
    const error = await this.get(options, more).then(
      () => new Error("it was downloaded"),
      (e: Error) => e,
    );
    expect(error, error.stack).toBeInstanceOf(ThawError);
    expect(error.message).not.toMatch(/\n/);
    return error.message;
  }
}
