// Pictures kept in memory, and broken files found before training: over a source that counts and over real folders.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cached } from "../../src/data/cache.ts";
import { imageFolder } from "../../src/data/image_folder.ts";
import { inspect } from "../../src/data/inspect.ts";
import { batches } from "../../src/data/loader.ts";
import { collect, indicesOf, range, source } from "./data_source.ts";

describe("cached", () => {
  it("decodes each picture once while the budget lasts", async () => {
    const data = source(10);
    const cache = cached(data, 6 * 6);
    const first = await indicesOf(cache, range(10), { batchSize: 5 });
    expect([cache.bytes, cache.full]).toEqual([36, true]);
    expect(await indicesOf(cache, range(10), { batchSize: 5 })).toEqual(first);
    expect(data.asked.length).toBe(14);
    cache.clear();
    expect([cache.bytes, cache.full]).toEqual([0, false]);
    const all = cached(data, 60);
    await indicesOf(all, range(10), { batchSize: 5 });
    expect(all.full).toBe(false);
  });

  it("shares a decode in progress, and tries a failed one again", async () => {
    const data = source(4, [2]);
    const cache = cached(data);
    const [a, b] = await Promise.all([cache.get(1), cache.get(1)]);
    expect(a).toBe(b);
    await expect(cache.get(2)).rejects.toThrow(/empty/);
    await expect(cache.get(2)).rejects.toThrow(/empty/);
    expect(data.asked).toEqual([1, 2, 2]);
    expect([cache.path?.(3), cache.label(3), cache.classes, cache.length]).toEqual([
      "3.png",
      1,
      ["even", "odd"],
      4,
    ]);
  });
});

describe("inspect", () => {
  it("names every broken file of a real folder, and batches do without them", async () => {
    const here = dirname(fileURLToPath(import.meta.url));
    const dir = mkdtempSync(join(tmpdir(), "thaw-inspect-"));
    try {
      const images = resolve(here, "../fixtures/images");
      for (const c of ["a", "b"]) {
        mkdirSync(join(dir, c));
        for (const f of ["rgb.png", "grey.jpg", "lossy.webp", "one.png"])
          cpSync(join(images, f), join(dir, c, f));
      }
      writeFileSync(join(dir, "a/empty.jpg"), "");
      writeFileSync(join(dir, "a/text.jpg"), "no picture");
      writeFileSync(join(dir, "b/short.jpg"), readFileSync(join(images, "rgb420.jpg")).subarray(0, 700));
      const folder = cached(await imageFolder(dir));
      const progress: number[] = [];
      const { unreadable, complete } = await inspect(folder, { onProgress: (done) => progress.push(done) });
      expect(complete).toBe(true);
      expect([...unreadable.values()].map((e) => e.message.replace(dir, "DIR"))).toEqual([
        "DIR/a/empty.jpg is empty (zero bytes)",
        "DIR/a/text.jpg is text, not a picture",
        "DIR/b/short.jpg (JPEG) cannot be decoded: the file is cut short (premature end of JPEG image)",
      ]);
      expect(progress.at(-1)).toBe(11);
      const got = await collect(batches(folder, range(11), { batchSize: 3, unreadable }));
      expect(got.flatMap((b) => b.samples.map((s) => s.path.slice(dir.length + 1)))).toHaveLength(8);
      await expect(inspect(folder, { strict: true })).rejects.toThrow(/a\/empty.jpg is empty/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("ends early when enough has been seen, and refuses a class of which nothing can be read", async () => {
    const cache = cached(source(40), 60);
    const early = await inspect(cache, { enough: () => cache.full });
    expect(early.complete).toBe(false);
    expect(cache.bytes).toBe(60);
    expect((await inspect(source(8, [6, 7]))).complete).toBe(true);
    await expect(inspect(source(6, [1, 3, 5]))).rejects.toThrow(
      "no picture of class odd can be read; the first: 1.png is empty",
    );
    await expect(inspect(source(2, [0, 1]))).rejects.toThrow(/no picture of class even/);
  });

  const mednist = join(
    process.env.THAW_DATA ?? resolve(dirname(fileURLToPath(import.meta.url)), "../../../shared/data"),
    "mednist",
  );
  const title = "reads MedNIST whole";
  const missing = !existsSync(mednist);
  it.skipIf(missing)(missing ? `${title} (not run: no ${mednist})` : title, async () => {
    const folder = cached(await imageFolder(mednist));
    expect([folder.length, folder.classes.length]).toEqual([1500, 6]);
    const indices = range(1500).filter((i) => i % 5 === 0);
    const { unreadable, complete } = await inspect(folder, { indices });
    expect([unreadable.size, complete, folder.bytes]).toEqual([0, true, 300 * 64 * 64 * 3]);
    let n = 0;
    for await (const { samples: list } of batches(folder, indices, { batchSize: 32, shuffle: true }))
      n += list.length;
    expect(n).toBe(300);
  });
});
