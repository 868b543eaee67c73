// thaw profile as a user runs it: tables, JSON lines whose sums agree, the trace file, planning without running; and what
// each level of DEBUG prints.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { scratch, thaw } from "../lib/cli.ts";

describe("thaw profile", () => {
  let folder: Awaited<ReturnType<typeof scratch>>;
  beforeAll(async () => {
    folder = await scratch();
  });
  afterAll(() => folder.remove());

  const small = ["densenet_mini", "--image-size", "32", "--batch", "2", "--num-classes", "3"];

  it("prints JSON lines whose sums agree, and writes a trace of every dispatch", async () => {
    const trace = join(folder.path, "trace.json");
    const r = await thaw(["profile", ...small, "--rounds", "2", "--json", "--trace", trace]);
    expect(r.code, r.err).toBe(0);
    const lines = r.lines();
    const of = (event: string) => lines.filter((l) => l["event"] === event) as Record<string, number>[];
    const [all] = of("total");
    for (const event of ["kernel", "layer"]) {
      const sum = (key: string) => of(event).reduce((n, l) => n + l[key], 0);
      expect(sum("calls")).toBe(all["calls"]);
      expect(sum("flops")).toBeCloseTo(all["flops"], 0);
      expect(sum("ms")).toBeCloseTo(all["ms"], 6);
      expect(sum("share")).toBeCloseTo(1, 6);
    }
    for (const key of ["ceilingGflops", "ceilingGbps", "firstMs", "warmMs"])
      expect(all[key], key).toBeGreaterThan(0);
    expect(of("memory")[0]["slots"]).toBeGreaterThan(0);
    const { traceEvents } = JSON.parse(await readFile(trace, "utf8"));
    const spans = (
      traceEvents as { ph: string; pid: number; name: string; args: { step?: string } }[]
    ).filter((e) => e.ph === "X");
    expect(spans.filter((e) => e.pid === 2)).toHaveLength(all["calls"]);
    const phases = (step: string) =>
      spans.filter((e) => e.pid === 1 && e.args.step === step).map((e) => e.name);
    expect(phases("first")).toEqual(["build", "plan", "prepare", "submit", "wait"]);
    expect(phases("warm")).toEqual(["replay", "submit", "wait"]);
  });

  it("prints tables of the largest rows, and all with --all", async () => {
    const args = ["profile", ...small, "--rounds", "1", "--train", "head"];
    const [some, all] = [await thaw(args), await thaw([...args, "--all"])];
    expect(some.out).toMatch(/^op and kernel .* share .* of the ceiling +shader$/m);
    expect(some.out).toMatch(/^layer .* forward ms {2}backward ms/m);
    expect(some.out).toMatch(/^\d+ more, [\d.]+ ms together$/m);
    expect(some.out).toMatch(/dispatches, [\d.]+ ms by the device's clock: /);
    expect(some.out).toMatch(/^memory .* alive at the peak/m);
    expect(all.out).not.toMatch(/ more, /);
    expect(all.out.length).toBeGreaterThan(some.out.length);
  });

  it("plans only: nothing runs, and what is alive at the peak adds up to it", async () => {
    const r = await thaw(["profile", "densenet121", "--batch", "32", "--plan-only", "--json"]);
    expect(r.code, r.err).toBe(0);
    const lines = r.lines();
    const plan = lines.at(-1) as Record<string, number>;
    expect(plan["event"]).toBe("plan");
    const alive = lines.filter((l) => l["event"] === "alive") as Record<string, number>[];
    expect(alive.reduce((n, a) => n + a["bytes"], 0)).toBe(plan["peak"]);
    expect(plan["slots"]).toBeGreaterThanOrEqual(plan["leastSlots"]);
    // 3 × 2.87 GFLOP of multiply-adds a picture, counted twice, less what the first layer and pooling early leave out.
    expect(plan["flops"] / 32 / 1e9).toBeGreaterThan(14);
    expect(plan["flops"] / 32 / 1e9).toBeLessThan(18);
  });
});

describe("DEBUG", () => {
  const step = ["profile", "densenet_mini", "--image-size", "32", "--batch", "2", "--rounds", "1", "--json"];
  const said = async (level: string) => (await thaw(step, { env: { DEBUG: level } })).err;

  it("1 tells each new plan, 2 also each run and where the time went, 3 also the dispatches", async () => {
    const [one, two, three] = [await said("1"), await said("2"), await said("3")];
    for (const text of [one, two, three])
      expect(text).toMatch(/^plan: \d+ dispatches, .* slots .* uniforms /m);
    expect(one).not.toMatch(/^run /m);
    for (const text of [two, three]) {
      expect(text).toMatch(/^run 1: \d+ dispatches, [\d.]+ ms, the first of its plan$/m);
      expect(text).toMatch(/^run 2: \d+ dispatches, [\d.]+ ms$/m);
      expect(text).toMatch(/^1 run, the first of each plan left out, by the device's clock:\nop and kernel/m);
      expect(text).not.toMatch(/of the ceiling/);
    }
    expect(two).not.toMatch(/^conv2d \w+.* \[\d+×\d+×\d+\]/m);
    expect(three).toMatch(/^conv2d \w+.* \[\d+×\d+×\d+\] .* features\.conv0$/m);
    expect(three).not.toMatch(/@compute/);
  });
});
