// One GET of a file, or of the rest of one. Plain node:http, because a download needs what fetch does not give: bytes
// as they come (no decoding behind one's back), a bound on silence, and errors that can be caught.

import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { VERSION } from "../core/version.ts";

export interface GetOptions {
  /** The first byte wanted; a server that knows no ranges gives all. */
  readonly from: number;
  /** Milliseconds of silence after which to give up. */
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  /** "404 Not Found". */
  readonly statusLine: string;
  /** Where in the file the body begins. */
  readonly from: number;
  /** Bytes of the whole file, or null where the server does not say. */
  readonly total: number | null;
  /** The body, to be read to its end or left by `close`. Throws where it breaks off. */
  readonly body: AsyncIterable<Uint8Array>;
  close(): void;
}

const MAX_REDIRECTS = 10;

/** Asks for a file, following redirects. Throws Error with a few words on what went wrong. */
export async function get(address: string, options: GetOptions): Promise<Answer> {
  let url = new URL(address);
  for (let redirects = 0; ; redirects++) {
    const response = await ask(url, options);
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    if (!(status >= 300 && status < 400 && location)) return answerOf(response, options);
    response.destroy();
    if (redirects === MAX_REDIRECTS) throw new Error(`more than ${MAX_REDIRECTS} redirects`);
    url = redirected(url, location);
  }
}

/** Where a redirect leads. Throws Error where that is no web address, or a less secure one. */
export function redirected(from: URL, location: string): URL {
  const to = URL.parse(location, from);
  if (!to || !/^https?:$/.test(to.protocol)) throw new Error(`redirected to ${location.slice(0, 200)}`);
  // Only the beginning of some hashes is published: too little against somebody on the way.
  if (from.protocol === "https:" && to.protocol === "http:")
    throw new Error(`redirected from https to ${to.href.slice(0, 200)}`);
  return to;
}

async function ask(url: URL, { from, idleMs, signal }: GetOptions): Promise<IncomingMessage> {
  if (!/^https?:$/.test(url.protocol)) throw new Error(`${url.protocol} is no web address`);
  const http = url.protocol === "https:" ? await import("node:https") : await import("node:http");
  return new Promise((resolve, reject) => {
    const headers = {
      "accept-encoding": "identity",
      "user-agent": `thaw/${VERSION}`,
      ...(from > 0 ? { range: `bytes=${from}-` } : {}),
    };
    const request = http.get(url, { headers, signal });
    const timer = setTimeout(() => request.destroy(new Error(`no answer in ${idleMs / 1000} s`)), idleMs);
    request.on("response", (response) => {
      clearTimeout(timer);
      // Whoever reads the body sees its errors too; this keeps one that nobody reads any more from ending the process.
      response.on("error", () => {});
      resolve(response);
    });
    request.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

function answerOf(response: IncomingMessage, { idleMs }: GetOptions): Answer {
  const status = response.statusCode ?? 0;
  const encoding = response.headers["content-encoding"] ?? "identity";
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(response.headers["content-range"] ?? "");
  const size = (text: string | undefined) => (text !== undefined && /^\d+$/.test(text) ? Number(text) : null);
  const whole = status === 206 || status === 416 ? range?.[2] : response.headers["content-length"];
  return {
    status,
    statusLine: `${status} ${response.statusMessage ?? ""}`.trim(),
    from: status === 206 ? (size(range?.[1]) ?? -1) : 0,
    // The length of a compressed body is not the file's.
    total: encoding === "identity" ? size(whole) : null,
    body: chunks(response, encoding, idleMs),
    close: () => response.destroy(),
  };
}

/** The body's bytes; servers that compress although asked not to are understood. */
async function* chunks(
  response: IncomingMessage,
  encoding: string,
  idleMs: number,
): AsyncGenerator<Uint8Array> {
  const silence = new Error(`nothing came for ${idleMs / 1000} s`);
  const timer = setTimeout(() => response.destroy(silence), idleMs);
  try {
    for await (const chunk of decoded(response, encoding)) {
      timer.refresh();
      yield chunk as Uint8Array;
    }
  } finally {
    clearTimeout(timer);
    response.destroy();
  }
}

function decoded(response: IncomingMessage, encoding: string): AsyncIterable<Uint8Array> {
  if (encoding === "identity") return response;
  const decoders = {
    gzip: createGunzip,
    "x-gzip": createGunzip,
    deflate: createInflate,
    br: createBrotliDecompress,
  };
  const decoder = decoders[encoding as keyof typeof decoders];
  if (!decoder) throw new Error(`the server compresses by ${encoding}`);
  // The callback takes the error that the iteration throws as well.
  return pipeline(response, decoder(), () => {});
}
