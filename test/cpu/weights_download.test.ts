// Downloads of known weights, against a server on this machine that does all that servers do: redirects, breaks off,
// lies about lengths, sends another file, compresses, falls silent, or never ends.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { redirected } from "../../src/weights/http_get.node.ts";
import { openKnown } from "../../src/weights/known.node.ts";
import { all, BODY, DownloadServer, HALF, type Handler, sha256 } from "../lib/download_server.ts";

const server = new DownloadServer().use();

/** Sends half and breaks the connection; the rest, where it is asked for by a range. */
const halves: Handler = (request, response) => {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (from > 0) {
    response.writeHead(206, { "content-range": `bytes ${from}-${BODY.length - 1}/${BODY.length}` });
    response.end(BODY.subarray(from));
    return;
  }
  response.writeHead(200, { "content-length": BODY.length });
  response.write(BODY.subarray(0, HALF), () => response.socket?.end());
};

describe("weights: a download", () => {
  it("comes to the cache with progress, once", async () => {
    server.answer = (_request, response) => {
      response.writeHead(200, { "content-length": BODY.length });
      response.end(BODY);
    };
    const seen: Array<[number, number]> = [];
    await server.downloads({ onProgress: (done, total) => seen.push([done, total]) });
    expect(seen[0]).toEqual([0, BODY.length]);
    expect(seen.at(-1)).toEqual([BODY.length, BODY.length]);
    expect(server.asked[0].headers["accept-encoding"]).toBe("identity");
    expect(await server.get()).toEqual({ path: server.target, downloaded: false });
    expect(server.asked).toHaveLength(1);
  });

  it("may be made twice at once", async () => {
    // The second one has begun, and has nothing yet, when the first one ends.
    const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    server.answer = async (_request, response) => {
      const first = server.asked.length === 1;
      response.writeHead(200, { "content-length": BODY.length }).flushHeaders();
      if (first) response.write(BODY.subarray(0, HALF));
      await later(first ? 200 : 300);
      response.end(BODY.subarray(first ? HALF : 0));
    };
    const first = server.get();
    await later(100);
    for (const { path } of await Promise.all([first, server.get()])) expect(path).toBe(server.target);
    expect(Buffer.compare(readFileSync(server.target), BODY)).toBe(0);
    expect(server.files).toEqual(["x.pth"]);
  });

  it("follows redirects, but not without end", async () => {
    server.answer = (request, response) => {
      const to = { "/x.pth": "/second", "/second": `${server.origin}/third` }[request.url as string];
      if (!to) return all(request, response);
      response.writeHead(302, { location: to }).end();
    };
    await server.downloads();
    expect(server.asked.map((r) => r.url)).toEqual(["/x.pth", "/second", "/third"]);
    rmSync(server.target);
    server.answer = (_request, response) => void response.writeHead(302, { location: "/x.pth" }).end();
    expect(await server.failure()).toMatch(/x\.pth could not be fetched \(more than 10 redirects\)/);
  });

  it("is not led from https to http, nor out of the web", () => {
    const from = new URL("https://a.b/c");
    expect(redirected(from, "../d").href).toBe("https://a.b/d");
    expect(() => redirected(from, "http://a.b/c")).toThrow(/from https to http:\/\/a\.b\/c/);
    for (const to of ["file:///etc/passwd", "http://["])
      expect(() => redirected(from, to)).toThrow(/redirected to/);
  });

  it("understands a body that is compressed although that was not asked for", async () => {
    server.answer = (_request, response) => {
      const packed = gzipSync(BODY);
      response.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length }).end(packed);
    };
    await server.downloads();
    rmSync(server.target);
    server.answer = (_request, response) =>
      void response.writeHead(200, { "content-encoding": "zap" }).end(BODY);
    expect(await server.failure()).toMatch(/the server compresses by zap/);
  });

  it("replaces a damaged file in the cache, saying so", async () => {
    server.answer = all;
    mkdirSync(join(server.cache, "weights"));
    writeFileSync(server.target, BODY.subarray(1));
    await expect(openKnown("x/imagenet", server.entry())).rejects.toThrow(
      /; thaw weights pull x\/imagenet replaces it$/,
    );
    const notices: string[] = [];
    await server.downloads({ onNotice: (sentence) => notices.push(sentence) });
    expect(notices).toEqual([expect.stringMatching(/x\.pth is not the file.*; downloading it again$/)]);
  });
});

describe("weights: a download that breaks off", () => {
  it("goes on where it was, by a range", async () => {
    server.answer = halves;
    expect(await server.failure()).toBe(
      `the download of x.pth from ${server.origin}/x.pth broke off (aborted); 0.1 of 0.3 MiB are kept in ${server.part}: ` +
        "repeat thaw weights pull x/imagenet to go on from there, or anew if the server cannot",
    );
    // What had come but was not read yet when the connection broke may be lost.
    const kept = readFileSync(server.part).length;
    expect(kept).toBeGreaterThan(HALF / 2);
    const seen: number[] = [];
    await server.downloads({ onProgress: (done) => seen.push(done) });
    expect(server.asked[1].headers.range).toBe(`bytes=${kept}-`);
    expect(seen[0]).toBe(kept);
  });

  it("begins anew where the server knows no ranges", async () => {
    server.answer = halves;
    await server.failure();
    server.answer = all;
    await server.downloads();
    expect(server.asked[1].headers.range).toMatch(/^bytes=\d+-$/);
  });

  it.each([
    ["begins with other bytes", () => BODY.subarray(0, HALF).map((b) => b ^ 1)],
    ["is longer than the file", () => Uint8Array.from([...BODY, 1])],
  ])("is fetched whole when what was kept %s", async (_what, kept) => {
    mkdirSync(join(server.cache, "weights"));
    writeFileSync(server.part, kept());
    server.answer = (request, response) => {
      if (!request.headers.range) return all(request, response);
      if (request.headers.range === `bytes=${HALF}-`) return halves(request, response);
      response.writeHead(416, { "content-range": `bytes */${BODY.length}` }).end();
    };
    await server.downloads();
    expect(server.asked).toHaveLength(2);
  });

  it("needs nothing more when all of it was kept", async () => {
    mkdirSync(join(server.cache, "weights"));
    writeFileSync(server.part, BODY);
    server.answer = (_request, response) =>
      void response.writeHead(416, { "content-range": `bytes */${BODY.length}` }).end();
    await server.downloads();
  });

  it("is told from one that is too long or too short", async () => {
    server.answer = (_request, response) => {
      response.writeHead(200, { "content-length": BODY.length + 5 });
      response.write(BODY, () => response.socket?.end());
    };
    expect(await server.failure()).toMatch(/broke off \(aborted\); 0\.[23] of 0\.3 MiB are kept/);
    rmSync(server.part);
    server.answer = (_request, response) => {
      response.writeHead(200, { "content-length": HALF }).end(BODY.subarray(0, HALF));
    };
    expect(await server.failure()).toMatch(/gave another file than x\/imagenet: 150000 bytes whose SHA-256/);
  });

  it.each(["before its answer", "in its middle"])("because the server falls silent %s", async (when) => {
    server.answer = (_request, response) => {
      if (when !== "before its answer") response.writeHead(200).write(BODY.subarray(0, HALF));
    };
    const silent =
      when === "in its middle"
        ? /broke off \(nothing came for 0\.2 s\); 0\.1 MiB are kept/
        : /\(no answer in 0\.2 s\)/;
    expect(await server.failure({ idleMs: 200 })).toMatch(silent);
  });

  it("because somebody interrupts it, and goes on", async () => {
    const controller = new AbortController();
    server.answer = (request, response) => {
      if (request.headers.range) return halves(request, response);
      response.writeHead(200, { "content-length": BODY.length }).write(BODY.subarray(0, HALF));
    };
    const onProgress = (done: number) => {
      if (done === HALF) controller.abort();
    };
    const message = await server.failure({ signal: controller.signal, onProgress });
    expect(message).toMatch(
      /^interrupted: the download of x\.pth .* 0\.1 of 0\.3 MiB are kept in .*x\.pth\.part: repeat/,
    );
    await server.downloads();
    const early = new AbortController();
    server.answer = () => early.abort();
    rmSync(server.target);
    expect(await server.failure({ signal: early.signal })).toMatch(
      /^interrupted before http.*x\.pth answered$/,
    );
  });
});

describe("weights: a download that cannot be", () => {
  it("of another file is not kept", async () => {
    server.answer = (_request, response) => void response.end("<html>sign in</html>");
    expect(await server.failure()).toBe(
      `${server.origin}/x.pth gave another file than x/imagenet: 20 bytes whose SHA-256 is ` +
        `${sha256(Buffer.from("<html>sign in</html>"))}, not ${sha256(BODY).slice(0, 8)}…; ` +
        "repeat thaw weights pull x/imagenet if it was cut short",
    );
    expect(server.files).toEqual([]);
  });

  it("is checked by the MD5 where that is published, and by nothing where nothing is", async () => {
    const md5 = (bytes: Uint8Array | string) => createHash("md5").update(bytes).digest("hex");
    server.answer = all;
    const right = { sha256: undefined, md5: md5(BODY) };
    expect(await server.get({}, right)).toEqual({ path: server.target, downloaded: true });
    rmSync(server.target);
    const wrong = { sha256: undefined, md5: md5("another") };
    expect(await server.failure({}, wrong)).toContain(
      `bytes whose MD5 is ${md5(BODY)}, not ${md5("another")}; repeat`,
    );
    expect(server.files).toEqual([]);
    const none = { sha256: undefined };
    server.answer = (_request, response) => void response.writeHead(404).end("no");
    expect(await server.failure({}, none)).toContain("(no hash is published) and put it at");
    server.answer = all;
    expect(await server.get({}, none)).toEqual({ path: server.target, downloaded: true });
  });

  it("without end, or of more than is allowed, is not kept", async () => {
    server.answer = (_request, response) => {
      const more = () => void (response.writable && response.write(BODY, more));
      more();
    };
    expect(await server.failure({ maxBytes: 2_000_000 })).toMatch(
      /gives more and more bytes for x\.pth, more than 2000000; refused/,
    );
    server.answer = (_request, response) =>
      void response.writeHead(200, { "content-length": 2_000_001 }).write("x");
    expect(await server.failure({ maxBytes: 2_000_000 })).toMatch(
      /gives 2000001 bytes for x\.pth, more than 2000000/,
    );
    expect(server.files).toEqual([]);
  });

  it("says where to get the file and where to put it", async () => {
    server.answer = (_request, response) => void response.writeHead(404).end("no");
    expect(await server.failure()).toBe(
      `${server.origin}/x.pth could not be fetched (404 Not Found); where there is no network, download ${server.origin}/x.pth ` +
        `(SHA-256 ${sha256(BODY).slice(0, 8)}…) and put it at ${server.target}`,
    );
    const url = "http://127.0.0.1:1/x.pth";
    const full = sha256(BODY);
    const message = await server.failure({}, { url, sha256: full });
    expect(message).toMatch(/^http:\/\/127\.0\.0\.1:1\/x\.pth could not be fetched \(.*ECONNREFUSED/);
    expect(message).toContain(`download ${url} (SHA-256 ${full}) and put it at ${server.target}`);
    server.answer = (_request, response) => void response.writeHead(204).end();
    expect(await server.failure()).toMatch(/could not be fetched \(204 No Content\)/);
    server.answer = (_request, response) => void response.socket?.end("this is not HTTP\r\n\r\n");
    expect(await server.failure()).toMatch(/could not be fetched \(Parse Error/);
  });

  it("into a cache that is no folder, or where none can be made", async () => {
    server.answer = all;
    const file = join(server.cache, "file");
    writeFileSync(file, "");
    process.env["THAW_CACHE"] = file;
    expect(await server.failure()).toBe(
      `the cache folder ${join(file, "weights")} cannot be made: ${file} is no folder`,
    );
    if (!existsSync("/proc/self")) return;
    process.env["THAW_CACHE"] = "/proc/nope";
    expect(await server.failure()).toMatch(
      /^the cache folder \/proc\/nope\/weights cannot be made: .*mkdir '\/proc\/nope'/,
    );
    expect(server.asked).toHaveLength(0);
  });
});
