// The parts of the tuner that need no device: the file of measurements, whatever has become of it; who wins a race; which
// operands kernels are tried on.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type AnyOp, opNamed } from "../../src/graph/op.ts";
import "../../src/ops/index.ts";
import { defaultTune } from "../../src/runtime/options.ts";
import { FileStore } from "../../src/runtime/tuning/file_store.node.ts";
import { operandSpecs, realOperands, wholeOperands } from "../../src/runtime/tuning/operands.ts";
import { duel, isHopeless, lowest, middle, type Racer, race, single } from "../../src/runtime/tuning/race.ts";
import type { CallRecord } from "../../src/runtime/tuning/records.ts";

const traits = {
  software: true,
  subgroups: true,
  maxWorkgroups: 65_535,
  maxInvocations: 256,
  f16: false,
  workgroupStorage: 32_768,
  multiprocessors: 2,
};
const adapter = {
  vendor: "v",
  architecture: "a",
  device: "Some GPU",
  description: "driver 1.2",
  software: false,
};
const machine = { adapter, traits, host: "here" };

function record(ms: number): CallRecord {
  const timed = { verdict: "timed" as const, ms, median: ms, samples: 3 };
  return {
    best: { kernel: "b", params: { TG: 2 } },
    own: { kernel: "a", params: {} },
    measured: [
      { kernel: "a", params: {}, hash: "1", ...timed },
      { kernel: "b", params: { TG: 2 }, hash: "2", ...timed },
      {
        kernel: "c",
        params: {},
        hash: "3",
        verdict: "wrong",
        ms: null,
        median: null,
        samples: 0,
        why: "it is",
      },
    ],
    at: "2026-11-25T00:00:00.000Z",
  };
}

describe("the file of measurements", () => {
  let folder: string;
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "thaw-tuning-"));
    warn.mockClear();
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const said = () => warn.mock.calls.map(([text]) => text as string);

  it("gives back what was added, of this machine alone", async () => {
    const store = new FileStore(machine, folder);
    expect(await store.read()).toEqual(new Map());
    await store.add(new Map([["x", record(1)]]));
    await store.add(new Map([["y", record(2)]]));
    const both = new Map([
      ["x", record(1)],
      ["y", record(2)],
    ]);
    expect(await new FileStore(machine, folder).read()).toEqual(both);
    const driver = { ...machine, adapter: { ...adapter, description: "driver 1.3" } };
    expect(await new FileStore(driver, folder).read()).toEqual(new Map());
    expect(
      await new FileStore({ ...machine, traits: { ...traits, subgroups: false } }, folder).read(),
    ).toEqual(new Map());
    expect(said()).toEqual([]);
    expect(await readdir(folder)).toHaveLength(1);
    await store.clear();
    expect(await store.read()).toEqual(new Map());
  });

  it("of two processes that add at once holds what either has, and is whole", async () => {
    const [a, b] = [new FileStore(machine, folder), new FileStore(machine, folder)];
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? a : b).add(new Map([[`call ${i}`, record(i)]]))),
    );
    expect((await a.read()).size).toBeGreaterThan(0);
    await a.add(new Map([["of a", record(1)]]));
    await b.add(new Map([["of b", record(1)]]));
    const all = await new FileStore(machine, folder).read();
    expect([all.has("of a"), all.has("of b")]).toEqual([true, true]);
    expect(said()).toEqual([]);
  });

  const damages: [string, (text: string) => string, RegExp][] = [
    ["cut short", (t) => t.slice(0, 200), /is not used: .*JSON/],
    ["empty", () => "", /is not used/],
    ["a list", () => "[]", /it holds no measurements/],
    ["another program's", () => '{"format":"else"}', /it holds no measurements/],
    ["of another machine", (t) => t.replace("driver 1.2", "driver 9"), /it is of another machine/],
    ["with a time that is none", (t) => t.replace('"ms":1', '"ms":"1"'), /its record of x is damaged/],
    ["with an unknown verdict", (t) => t.replace('"wrong"', '"well"'), /its record of x is damaged/],
    ["with a point that is none", (t) => t.replace('"TG":2', '"TG":null'), /its record of x is damaged/],
    ["with a record of null", (t) => t.replace(/"x":\{[\s\S]*/, '"x":null}}'), /its record of x is damaged/],
  ];
  it.each(damages)("%s is ignored with one warning, and replaced", async (_what, damage, says) => {
    const first = new FileStore(machine, folder);
    await first.add(new Map([["x", record(1)]]));
    const text = await readFile(first.where, "utf8");
    expect(damage(text)).not.toBe(text);
    await writeFile(first.where, damage(text));
    const store = new FileStore(machine, folder);
    expect(await store.read()).toEqual(new Map());
    expect(await store.read()).toEqual(new Map());
    expect(said()).toEqual([expect.stringMatching(says)]);
    await store.add(new Map([["y", record(2)]]));
    expect(await new FileStore(machine, folder).read()).toEqual(new Map([["y", record(2)]]));
  });

  it("that cannot be written is told once and stops nobody", async () => {
    await writeFile(join(folder, "file"), "");
    const store = new FileStore(machine, join(folder, "file", "below"));
    await store.add(new Map([["x", record(1)]]));
    await store.add(new Map([["x", record(1)]]));
    expect(said()).toEqual([expect.stringMatching(/^thaw: measurements are not kept: .*is no folder/)]);
  });

  it("that is a folder is no reason to stop", async () => {
    const store = new FileStore(machine, folder);
    await mkdir(store.where);
    expect(await store.read()).toEqual(new Map());
    expect(said()).toHaveLength(1);
  });
});

describe("a race", () => {
  /** A kernel of that many ms, what others do to its samples, and how often it was run in each. */
  const racer = (ms: number, disturbed: (sample: number) => number = () => 1, once = ms) => {
    const runs: number[] = [];
    const time = async (n: number) => {
      runs.push(n);
      return ms * disturbed(runs.length);
    };
    return { ready: { time }, once, samples: [], runs } satisfies Racer & { runs: number[] } as Racer & {
      runs: number[];
    };
  };

  it("drops what is clearly slower early and times the others on", async () => {
    const [own, near, slow, far] = [racer(1), racer(0.95), racer(1.7), racer(50)];
    await race([own, near, slow, far]);
    expect([far.runs, far.samples]).toEqual([[], [50]]);
    expect(slow.samples).toHaveLength(2);
    expect(own.samples.length).toBe(near.samples.length);
    expect(near.samples.length).toBeGreaterThan(3);
    expect(near.runs).toEqual(near.samples.map(() => 4));
  });

  it("is not lost by a run that somebody disturbed, nor is the first racer's", async () => {
    const first = (n: number) => (n === 1 ? 5 : 1);
    const [own, other] = [racer(0.4, first, 200), racer(0.2, first, 4)];
    await race([own, other, racer(0.3)]);
    expect(own.samples.length).toBeGreaterThan(2);
    expect(lowest(own)).toBeCloseTo(0.4);
    expect(lowest(other)).toBeCloseTo(0.2);
    expect(own.runs.slice(0, 2)).toEqual([1, 2]);
    expect(middle({ ...own, samples: [3, 1, 2, 9] })).toBe(2);
  });

  it("is told by samples that are long beside the steps of the clock", async () => {
    const coarse = (ms: number, once: number): Racer => {
      const time = async (n: number) => (Math.floor((ms * n) / 0.065) * 0.065) / n;
      return { ready: { time }, once, samples: [] };
    };
    const [own, other] = [coarse(0.02, 9), coarse(0.03, 0)];
    await race([own, other]);
    expect(Math.min(...own.samples)).toBeGreaterThan(0.018);
    expect(Math.min(...other.samples)).toBeGreaterThan(0.028);
  });

  it("a single run is repeated where it is long and may yet matter", async () => {
    const [short, long, far] = [racer(1), racer(9, (n) => (n === 1 ? 2 : 1)), racer(90)];
    expect(await single(short.ready, 1)).toBe(1);
    expect(await single(long.ready, 4)).toBe(9);
    expect(await single(far.ready, 4)).toBe(90);
    expect([short, long, far].map((r) => r.runs.length)).toEqual([1, 2, 1]);
    expect([isHopeless(4, 0.1), isHopeless(33, 4), isHopeless(31, 4)]).toEqual([false, true, false]);
  });

  it("ends in a duel that the challenger wins by being faster again, not by having been lucky", async () => {
    const samples = (r: Racer) => Object.assign(r, { samples: [r.once] });
    const [own, faster, lucky] = [racer(1), racer(0.9), racer(1, () => 1, 0.5)].map(samples);
    expect(await duel(own, faster, 0.03, 0.02)).toBe(true);
    expect(await duel(own, lucky, 0.03, 0.02)).toBe(false);
    expect(await duel(own, faster, 0.2, 0.02)).toBe(false);
    expect(await duel(own, faster, 0.03, 0.2)).toBe(false);
    expect(lowest(lucky)).toBe(0.5);
    const now = (n: number) => (n % 3 === 0 ? 0.5 : 1.2);
    expect(await duel(own, samples(racer(1, now)), 0.03, 0.02)).toBe(false);
  });

  it("ends when its time is up", async () => {
    let clock = 0;
    const own = racer(1);
    await race([own, racer(1)], () => (clock += 300));
    expect(own.samples).toHaveLength(3);
  });
});

describe("operands", () => {
  const operand = (dtype: "f32" | "i32", ...shape: number[]) => ({
    ...{ shape, dtype, offset: 0 },
    batchStride: shape.slice(1).reduce((a, b) => a * b, 1),
  });
  const call = (inputs: ReturnType<typeof operand>[], attrs = {}) => ({
    ...{ inputs, attrs, device: traits },
    outputs: [operand("f32", 2)],
  });

  it("are drawn as the op's samples are", () => {
    const log = opNamed("log");
    const c = call([operand("f32", 5000)]);
    const specs = operandSpecs(log, c) ?? [];
    expect(specs[0].low).toBeGreaterThan(0);
    const [x] = realOperands(c, specs);
    expect(Math.min(...x)).toBeGreaterThan(0);
    expect(Math.max(...x)).toBeGreaterThan(1);
    expect(new Set(x).size).toBeGreaterThan(500);
  });

  it("of a product and a sum are exact, so that no decision hangs on rounding", () => {
    const c = call([1, 2, 3].map(() => operand("f32", 4000)));
    const [a, b, t] = realOperands(c, [{ shape: [] }, { shape: [] }, { shape: [] }]);
    expect(a).not.toEqual(b);
    for (let i = 0; i < 4000; i++) {
      const rounded = Math.fround(Math.fround(a[i] * b[i]) + t[i]);
      expect(rounded).toBe(a[i] * b[i] + t[i]);
    }
  });

  it("of whole numbers stay within what the op is exact on", () => {
    const div = opNamed("div");
    const c = call([operand("f32", 999), operand("f32", 999)]);
    const [low, high] = div.exactRange ?? [-4, 4];
    for (const x of wholeOperands(div, c, operandSpecs(div, c) ?? []))
      expect([...x].every((v) => Number.isInteger(v) && v >= low && v <= high)).toBe(true);
  });

  it("that must fit each other are not drawn: such a call is not tried", () => {
    const pool = opNamed("maxPool2dInput");
    expect(operandSpecs(pool, call([operand("f32", 1, 1, 2, 2), operand("i32", 1, 1, 2, 2)]))).toBeNull();
    const unlike = { samples: [{ inputs: [{ shape: [2], low: 1 }] }] } as unknown as AnyOp;
    expect(operandSpecs(unlike, call([operand("f32", 2), operand("f32", 2)]))).toBeNull();
  });
});

describe("THAW_TUNE", () => {
  const before = process.env.THAW_TUNE;
  afterEach(() => {
    process.env.THAW_TUNE = before;
  });

  it("is what tune is by default; there are three", () => {
    process.env.THAW_TUNE = "on";
    expect(defaultTune()).toBe("on");
    process.env.THAW_TUNE = "";
    expect(defaultTune()).toBe("cached");
    process.env.THAW_TUNE = "yes";
    expect(() => defaultTune()).toThrow("THAW_TUNE must be off, cached or on, not yes");
  });
});
