// Batches: what is in them is decided by seed, epoch and readable files alone; decoding runs ahead within its limits,
// and stops when nobody wants more.
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/core/error.ts";
import { batchCount, batches, chunk, epochOrder, samples } from "../../src/data/loader.ts";
import type { Unreadable } from "../../src/data/picture.ts";
import { collect, indicesOf, range, sleep, source } from "./data_source.ts";

describe("epochOrder", () => {
  it("is a permutation decided by seed and epoch", () => {
    const order = (seed: number, epoch: number) => epochOrder(range(50), { shuffle: true, seed, epoch });
    expect([...order(1, 0)].sort((a, b) => a - b)).toEqual(range(50));
    expect(order(1, 0)).toEqual(order(1, 0));
    expect(order(1, 1)).not.toEqual(order(1, 0));
    expect(order(2, 0)).not.toEqual(order(1, 0));
    expect(epochOrder([3, 1, 2])).toEqual([3, 1, 2]);
  });

  it("keeps the order of the rest when pictures are left out or listed otherwise", () => {
    const options = { shuffle: true, seed: 4, epoch: 2 };
    const all = epochOrder(range(50), options);
    const some = range(50).filter((i) => i % 7 !== 3);
    expect(epochOrder(some.reverse(), options)).toEqual(all.filter((i) => i % 7 !== 3));
  });

  it("puts every picture first about as often", () => {
    const times = range(10).map(() => 0);
    for (let epoch = 0; epoch < 1000; epoch++) times[epochOrder(range(10), { shuffle: true, epoch })[0]]++;
    expect(Math.min(...times)).toBeGreaterThan(60); // binomial(1000, 1/10): 100 ± 9.5, four of those
    expect(Math.max(...times)).toBeLessThan(140);
  });
});

describe("batches", () => {
  it("yields decoded pictures with label, number, path and place", async () => {
    const [batch] = await collect(batches(source(3), [2, 1], { batchSize: 2 }));
    expect(batch).toEqual({
      samples: [
        {
          data: new Uint8Array(6).fill(2),
          height: 2,
          width: 1,
          label: 0,
          index: 2,
          path: "2.png",
          position: 0,
        },
        {
          data: new Uint8Array(6).fill(1),
          height: 2,
          width: 1,
          label: 1,
          index: 1,
          path: "1.png",
          position: 1,
        },
      ],
      next: 2,
    });
  });

  it("keeps the order whatever the time that decoding takes", async () => {
    const options = { batchSize: 8, shuffle: true, seed: 3, epoch: 1 };
    const flat = epochOrder(range(60), options);
    for (const concurrency of [1, 3, 16]) {
      const got = await indicesOf(source(60, [], concurrency), range(60), { ...options, concurrency });
      expect(got.map((b) => b.length)).toEqual([8, 8, 8, 8, 8, 8, 8, 4]);
      expect(got.flat()).toEqual(flat);
    }
  });

  it("leaves unreadable pictures out and fills up, the same whether they are known before or not", async () => {
    const bad = [0, 5, 6, 7, 19];
    const options = { batchSize: 4, shuffle: true, seed: 1 };
    const told: number[] = [];
    const unreadable: Unreadable = new Map();
    const late = source(20, bad);
    const onUnreadable = (_: DataError, i: number) => told.push(i);
    const found = await indicesOf(late, range(20), { ...options, unreadable, onUnreadable });
    expect(found.map((b) => b.length)).toEqual([4, 4, 4, 3]);
    expect(found.flat()).toEqual(epochOrder(range(20), options).filter((i) => !bad.includes(i)));
    expect(told.sort((a, b) => a - b)).toEqual(bad);
    expect(unreadable.get(5)?.message).toBe("5.png is empty");
    const again = source(20, bad);
    expect(await indicesOf(again, range(20), { ...options, unreadable, onUnreadable })).toEqual(found);
    expect(told.length).toBe(bad.length); // once each
    expect(again.asked.some((i) => bad.includes(i))).toBe(false);
  });

  it("stops at the first unreadable picture when strict, and on any other error always", async () => {
    const strict = indicesOf(source(9, [4]), range(9), { batchSize: 2, strict: true });
    await expect(strict).rejects.toThrow(new DataError("4.png is empty"));
    const broken = { ...source(9), get: (i: number) => Promise.reject(new TypeError(`bug at ${i}`)) };
    await expect(indicesOf(broken, range(9), { batchSize: 2 })).rejects.toThrow(/bug at 0/);
  });

  it("says so when nothing at all can be read", async () => {
    await expect(indicesOf(source(2, [0, 1]), range(2), { batchSize: 2 })).rejects.toThrow(
      "none of the 2 pictures can be read; the first: 0.png is empty",
    );
    expect(await indicesOf(source(2), [], { batchSize: 2 })).toEqual([]);
  });

  it("goes on in mid-epoch where a batch ended", async () => {
    const bad = [3, 11, 12];
    const options = { batchSize: 3, shuffle: true, seed: 9 };
    const whole = await collect(batches(source(22, bad), range(22), options));
    for (const [b, batch] of whole.entries()) {
      const rest = await indicesOf(source(22, bad), range(22), { ...options, start: batch.next });
      expect(rest).toEqual(whole.slice(b + 1).map((w) => w.samples.map((s) => s.index)));
    }
  });

  it("decodes ahead while nobody asks, within its limits", async () => {
    const data = source(100);
    const loop = batches(data, range(100), { batchSize: 4, prefetch: 2, concurrency: 3 });
    await loop.next();
    await sleep(60);
    expect(data.most).toBe(3);
    // 4 yielded, 2 looked at beyond them, and a window of 2 · 4 + 2.
    expect(data.asked.length).toBe(16);
    await loop.return();

    const narrow = source(100);
    const one = batches(narrow, range(100), { batchSize: 4, prefetchBytes: 6, concurrency: 1 });
    await one.next();
    await sleep(30);
    expect(narrow.asked.length).toBe(7);
    expect((await collect(one)).flatMap((b) => b.samples).length).toBe(96);
    expect(narrow.most).toBe(1);

    const wide = source(100);
    const later = batches(wide, range(100), { batchSize: 4, prefetchBytes: 24, concurrency: 1 });
    for (let b = 0; b < 5; b++) await later.next();
    await sleep(60);
    expect(wide.asked.length).toBe(5 * 4 + 2 + 4); // still four pictures ahead
    await later.return();
  });

  it("names a broken picture once, even when it is asked for twice", async () => {
    const told: number[] = [];
    await indicesOf(source(3, [1]), [0, 1, 1, 2, 1], { batchSize: 2, onUnreadable: (_, i) => told.push(i) });
    expect(told).toEqual([1]);
  });

  it("stops decoding when the loop is left, and leaves nothing running", async () => {
    const data = source(100, [9, 10, 11, 12, 13]); // rejections in flight must not go unhandled
    for await (const batch of batches(data, range(100), { batchSize: 4, concurrency: 8 })) {
      expect(batch.samples.length).toBe(4);
      break;
    }
    expect(data.running).toBe(0);
    const asked = data.asked.length;
    await sleep(30);
    expect(data.asked.length).toBe(asked);
    expect(asked).toBeLessThan(30);
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses batch size %d", async (batchSize) => {
    await expect(indicesOf(source(4), range(4), { batchSize })).rejects.toThrow(
      `batch-size must be a whole number of at least 1, not ${batchSize}`,
    );
  });
});

describe("chunk", () => {
  it("lets a last list of one join the one before", async () => {
    for (const batchSize of [1, 2, 3, 4, 7]) {
      for (let n = 0; n < 18; n++) {
        for (const dropLast of [false, true]) {
          const lists = await collect(chunk(range(n), { batchSize, dropLast }));
          const kept = dropLast ? n - (n % batchSize) : n;
          const where = `${n} by ${batchSize}, dropLast ${dropLast}`;
          expect(lists.flat(), where).toEqual(range(kept));
          expect(lists.length, where).toBe(batchCount(n, { batchSize, dropLast }));
          const short = lists.findIndex((list) => list.length !== batchSize);
          if (short >= 0) expect(short, where).toBe(lists.length - 1);
          if (batchSize > 1 && n > 1)
            expect(
              lists.map((l) => l.length),
              where,
            ).not.toContain(1);
        }
      }
    }
  });

  it("takes any stream", async () => {
    async function* stream() {
      for (const word of "a b c d e".split(" ")) yield word;
    }
    expect(await collect(chunk(stream(), { batchSize: 2 }))).toEqual([
      ["a", "b"],
      ["c", "d", "e"],
    ]);
  });
});

describe("samples", () => {
  it("is the stream under batches, for callers with a loop of their own", async () => {
    const seen: number[] = [];
    for await (const s of samples(source(6, [2]), [5, 2, 0])) seen.push(s.index);
    expect(seen).toEqual([5, 0]);
  });
});
