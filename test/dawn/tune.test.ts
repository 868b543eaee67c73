// The tuner on a device: it takes the fastest kernel of those that are right and never a wrong one, keeps what it
// measured, times nothing unless it is told to, measures again what has changed, and gives way to a run's own choices.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { findGpu } from "../../src/gpu/device.ts";
import { close, type InitOptions, init, manualSeed, type nn, optim, tensor, train } from "../../src/index.ts";
import { type CallRecord, measurementOf } from "../../src/runtime/tuning/records.ts";
import { gpuBackend, plansOf, smallNet, stats, wave } from "../lib/engine.ts";
import { testOptions } from "../lib/test_options.ts";
import { probe, probeShaders } from "../lib/tune_probe.ts";

let folder: string;
const warn = vi.spyOn(console, "warn").mockImplementation(() => {});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "thaw-tune-"));
  process.env.THAW_CACHE = folder;
  warn.mockClear();
});
afterEach(async () => {
  await close();
  await rm(folder, { recursive: true, force: true });
});
afterAll(() => {
  delete process.env.THAW_CACHE;
  warn.mockRestore();
});

async function open(options: InitOptions, change?: (text: string) => string): Promise<void> {
  await init(testOptions({ ...options, shaders: await probeShaders(change) }));
}

/** The kernels of the probe that a plan of 3000 elements runs, its result checked; how often anything was dispatched. */
async function run(): Promise<{ kernel: string | undefined; dispatches: number }> {
  const x = tensor(
    Float32Array.from({ length: 3000 }, (_, i) => i),
    [300, 10],
  );
  const before = (await stats()).dispatches;
  let y: Float32Array | null = null;
  const [plan] = await plansOf(async () => {
    y = (await probe(x).data()) as Float32Array;
  });
  expect(y).toEqual(Float32Array.from({ length: 3000 }, (_, i) => 2 * i));
  const [step] = plan.steps.flatMap((s) => (s.kind === "dispatch" && s.op === "tuneProbe" ? [s] : []));
  return { kernel: step?.kernel, dispatches: (await stats()).dispatches - before };
}

async function stored(): Promise<[string, CallRecord][]> {
  return [...((await (await gpuBackend()).tuner.store?.read()) ?? new Map())];
}

describe("the tuner", () => {
  it("takes the fastest that is right, and stores all that it measured", async () => {
    await open({ tune: "on" });
    expect((await run()).kernel).toBe("fast");
    const [[key, record], ...more] = await stored();
    expect(more).toEqual([]);
    expect(key).toMatch(/^tuneProbe\(f32\[300,10\]/);
    expect(record.best).toEqual({ kernel: "fast", params: { LOOPS: 2500 } });
    expect(record.own).toEqual({ kernel: "slow", params: {} });
    expect(record.measured.map((m) => `${m.kernel} ${m.verdict}`)).toEqual([
      "slow timed",
      "fast timed",
      "fast timed",
      "wrong wrong",
      "sly wrong",
    ]);
    const [own, best] = [record.own, record.best!].map((c) => measurementOf(record, c)?.ms as number);
    expect(best).toBeLessThan(own / 2);
  });

  it("finds kernels that are wrong, in one element too, and says so once", async () => {
    await open({ tune: "on" });
    await run();
    const [[, { measured }]] = await stored();
    expect(measured.slice(-2)).toMatchObject([
      { ms: null, why: expect.stringMatching(/instead of/) },
      { ms: null, why: expect.stringMatching(/where the baseline has .* on whole numbers/) },
    ]);
    expect(warn.mock.calls.map(([text]) => text)).toEqual([
      expect.stringMatching(/^thaw: tuneProbe wrong computes wrongly on this machine/),
    ]);
  });

  it("uses in another session what it has stored, and times nothing there", async () => {
    await open({ tune: "on" });
    expect((await run()).dispatches).toBeGreaterThan(20);
    await open({ tune: "cached" });
    expect(await run()).toEqual({ kernel: "fast", dispatches: 1 });
    await open({ tune: "on" });
    expect(await run()).toEqual({ kernel: "fast", dispatches: 1 });
  });

  it("without stored measurements takes the heuristic's choice, and times nothing", async () => {
    await open({ tune: "cached" });
    expect(await run()).toEqual({ kernel: "slow", dispatches: 1 });
    expect(await stored()).toEqual([]);
  });

  it("switched off reads nothing", async () => {
    await open({ tune: "on" });
    await run();
    const path = (await gpuBackend()).tuner.store?.where as string;
    await writeFile(path, "not what it was");
    warn.mockClear();
    await open({ tune: "off" });
    expect(await run()).toEqual({ kernel: "slow", dispatches: 1 });
    expect(warn).not.toHaveBeenCalled();
    await open({ tune: "cached" });
    expect(await run()).toEqual({ kernel: "slow", dispatches: 1 });
    expect(warn).toHaveBeenCalledOnce();
    expect(warn.mock.calls[0][0]).toContain(`${path} is not used`);
  });

  it("takes the host's clock where the device has none", async () => {
    const gpu = await findGpu();
    const adapter = (await gpu.requestAdapter()) as GPUAdapter;
    const device = await adapter.requestDevice();
    expect(device.features.has("timestamp-query")).toBe(false);
    await open({ tune: "on", device });
    expect((await run()).kernel).toBe("fast");
    await close();
    device.destroy();
    expect(gpu).toBeDefined();
  });

  it("a changed shader loses its measurements, which are then made again", async () => {
    const changed = (text: string) => text.replace("u.total >> 31u", "u.total >> 30u");
    await open({ tune: "on" });
    await run();
    await open({ tune: "cached" }, changed);
    expect((await run()).kernel).toBe("slow");
    await open({ tune: "on" }, changed);
    expect((await run()).kernel).toBe("fast");
  });

  it("measures only what has changed again, beside what it is compared with", async () => {
    await open({ tune: "on" });
    await run();
    const path = (await gpuBackend()).tuner.store?.where as string;
    const all = JSON.parse(await readFile(path, "utf8")) as { calls: Record<string, CallRecord> };
    const [key] = Object.keys(all.calls);
    const { measured } = all.calls[key];
    // That neither is chosen without measurements nor is the best: it need not be measured again.
    const slower = { ...measured[1], ms: 123, median: 124 };
    expect(slower.params).toEqual({ LOOPS: 10_000 });
    const other = { ...measured[3], hash: "of another text", verdict: "timed", ms: 1e-6, median: 1e-6 };
    all.calls[key] = {
      ...all.calls[key],
      measured: [measured[0], slower, measured[2], other, measured[4]],
    } as CallRecord;
    await writeFile(path, JSON.stringify(all));
    await open({ tune: "cached" });
    expect((await run()).kernel).toBe("fast");
    await open({ tune: "on" });
    expect((await run()).kernel).toBe("fast");
    const [[, record]] = await stored();
    expect(record.measured.find((m) => m.ms === 123)).toEqual(slower);
    expect(record.measured.map((m) => m.verdict).sort()).toEqual([
      "timed",
      "timed",
      "timed",
      "wrong",
      "wrong",
    ]);
  });
});

describe("a training run", () => {
  const source: train.BatchSource = {
    length: 10,
    steps: 2,
    async *epoch(epoch, start = 0) {
      for (let at = start; at < 10; at += 5)
        yield { x: wave([5, 2, 6, 6], at + epoch), labels: Int32Array.of(0, 1, 2, 0, 1), next: at + 5 };
    },
  };

  /** Trains three epochs, or until `stop`; the weights' bits. */
  async function weightsOf(
    store: train.CheckpointStore,
    { stop = 9, resume = false } = {},
  ): Promise<number[]> {
    manualSeed(4);
    const model = smallNet();
    const controller = new AbortController();
    await train.fit(model, source, {
      epochs: 3,
      optimizer: new optim.Adam(model.parameters(), { lr: 1e-2 }),
      store,
      resume,
      signal: controller.signal,
      onEvent: (e) => e.event === "epoch" && e.epoch === stop && controller.abort(),
    });
    return bitsOf(model);
  }

  async function bitsOf(model: nn.Module): Promise<number[]> {
    const out: number[] = [];
    for (const p of model.parameters()) out.push(...new Uint32Array((await p.data()).slice().buffer));
    return out;
  }

  /** Makes the slowest right kernel of each stored call the best. */
  async function preferSlowest(): Promise<void> {
    const { store } = (await gpuBackend()).tuner;
    const all = [...((await store?.read()) ?? [])].map(([key, r]) => {
      const timed = r.measured.filter((m) => m.verdict === "timed");
      const { kernel, params } = timed.reduce((a, b) => ((b.ms as number) > (a.ms as number) ? b : a));
      return [key, { ...r, best: { kernel, params } }] as const;
    });
    expect(all.length).toBeGreaterThan(5);
    await store?.add(new Map(all));
  }

  it("goes on by its own choices and not by measurements that came since; with these it gives its own bits again", async () => {
    await init(testOptions({ tune: "off" }));
    const whole = await weightsOf(train.memoryStore());
    const store = train.memoryStore();
    await init(testOptions({ tune: "off" }));
    await weightsOf(store, { stop: 1 });
    await init(testOptions({ tune: "on" }));
    await weightsOf(train.memoryStore());
    await preferSlowest();
    await init(testOptions({ tune: "cached" }));
    const tuned = await weightsOf(train.memoryStore());
    expect(tuned).not.toEqual(whole);
    await init(testOptions({ tune: "cached" }));
    expect(await weightsOf(train.memoryStore())).toEqual(tuned);
    await init(testOptions({ tune: "cached" }));
    expect(await weightsOf(store, { resume: true })).toEqual(whole);
  });
});
