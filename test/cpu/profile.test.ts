// Profiles of a made-up plan: sums by kernel and by layer, rates and shares of ceilings worked out by hand, the tables as
// text, and the trace file against the Trace Event Format.
import { describe, expect, it } from "vitest";
import { bar } from "../../src/core/table.ts";
import { chromeTrace, type HostSpan } from "../../src/schedule/chrome_trace.ts";
import type { CopyStep, DispatchStep, Plan, Step } from "../../src/schedule/plan.ts";
import { byKernel, byLayer, OUTSIDE, ofCeiling, rates, total, UPDATE } from "../../src/schedule/profile.ts";
import { kernelTable, layerTable } from "../../src/schedule/profile_tables.ts";

const operand = (...shape: number[]) => ({ shape, dtype: "f32" as const, offset: 0, batchStride: 1 });

function dispatch(of: Partial<DispatchStep> & { params?: Record<string, number> }): DispatchStep {
  return {
    kind: "dispatch",
    layer: "",
    phase: "forward",
    op: "conv2d",
    kernel: "fast",
    shader: "conv2d_fast",
    specialisation: { params: of.params ?? { T: 4 } },
    call: { inputs: [operand(2, 3)], outputs: [operand(2)], attrs: {}, params: {} },
    grid: [4, 2, 1],
    flops: 0,
    bytes: 0,
    ...of,
  } as DispatchStep;
}

const copy = { kind: "copy", layer: "a", phase: "forward", to: { size: 64 } } as CopyStep;

const STEPS: readonly Step[] = [
  dispatch({ layer: "a.conv1", flops: 6e6, bytes: 1e6 }),
  copy,
  dispatch({ layer: "a.conv2", flops: 2e6, bytes: 1e6, params: { T: 8 } }),
  dispatch({ layer: "a.conv1", flops: 4e6, bytes: 1e6 }),
  dispatch({ op: "loss", kernel: "row", shader: "loss", params: {}, bytes: 3e3 }),
  dispatch({ layer: "a.conv1", phase: "backward", op: "conv2dInput", flops: 8e6, bytes: 2e6 }),
  dispatch({ phase: "update", op: "sgd", kernel: "flat", shader: "state_update", bytes: 8e6 }),
];
const timed = { plan: { steps: STEPS } as Plan, ms: [1, 0, 1, 1, 0, 4, 1] };
const ceilings = { gflops: 10, gbps: 10 };

describe("a profile", () => {
  it("adds dispatches up by kernel and shader variant, what took longest first", () => {
    const rows = byKernel([timed]);
    expect(rows.map((r) => [r.op, r.params, r.calls, r.ms, r.flops, r.bytes])).toEqual([
      ["conv2dInput", "T=4", 1, 4, 8e6, 2e6],
      ["conv2d", "T=4", 2, 2, 10e6, 2e6],
      ["conv2d", "T=8", 1, 1, 2e6, 1e6],
      ["sgd", "T=4", 1, 1, 0, 8e6],
      ["loss", "", 1, 0, 0, 3e3],
    ]);
  });

  it("adds them up by layer, forward and backward apart, the update by itself", () => {
    const rows = byLayer([timed]);
    expect(rows.map((r) => [r.layer, r.calls, r.forward.ms, r.backward.ms, r.ms])).toEqual([
      ["a.conv1", 3, 2, 4, 6],
      ["a.conv2", 1, 1, 0, 1],
      [UPDATE, 1, 0, 0, 1],
      [OUTSIDE, 1, 0, 0, 0],
    ]);
    expect(byLayer([timed], 1).map((r) => [r.layer, r.ms])).toEqual([
      ["a", 7],
      [UPDATE, 1],
      [OUTSIDE, 0],
    ]);
  });

  it("accounts for everything both ways", () => {
    const all = total([timed]);
    expect(all).toEqual({ calls: 6, ms: 8, flops: 20e6, bytes: 13.003e6 });
    for (const rows of [byKernel([timed]), byLayer([timed]), byLayer([timed], 1)]) {
      const sums = rows.reduce((n, r) => [n[0] + r.calls, n[1] + r.ms, n[2] + r.flops], [0, 0, 0]);
      expect(sums).toEqual([all.calls, all.ms, all.flops]);
    }
    expect(total([timed, timed]).ms).toBe(16);
  });

  it("gives rates, and the share of the nearer ceiling", () => {
    const work = { calls: 1, ms: 2, flops: 10e6, bytes: 4e6 };
    expect(rates(work)).toEqual({ gflops: 5, gbps: 2 });
    expect(ofCeiling(work, ceilings)).toEqual({ share: 0.5, ceiling: "multiply-add" });
    expect(ofCeiling(work, { gflops: 100, gbps: 4 })).toEqual({ share: 0.5, ceiling: "copy" });
    expect(rates({ ...work, ms: 0 })).toEqual({ gflops: 0, gbps: 0 });
  });
});

describe("the tables", () => {
  it("by kernel: bars as long as the longest, what is left out summed up", () => {
    const text = kernelTable(byKernel([timed]), { rows: 3, ceilings });
    expect(text.split("\n")).toEqual([
      "op and kernel     calls    ms  share                    GFLOP/s  GB/s  of the ceiling     shader",
      "────────────────  ─────  ────  ─────  ────────────────  ───────  ────  ─────────────────  ───────────────",
      "conv2dInput fast      1  4.00    50%  ████████████████     2.00  0.50   20% multiply-add  conv2d_fast T=4",
      "conv2d fast           2  2.00    25%  ████████             5.00  1.00   50% multiply-add  conv2d_fast T=4",
      "conv2d fast           1  1.00    13%  ████                 2.00  1.00   20% multiply-add  conv2d_fast T=8",
      "2 more, 1.00 ms together",
    ]);
  });

  it("by layer, without ceilings; all rows, and no division by a time of nothing", () => {
    const text = layerTable(byLayer([timed]), { rows: Number.POSITIVE_INFINITY, ceilings: null });
    expect(text.split("\n").slice(2)).toEqual([
      "a.conv1                  3        2.00         4.00   6.00    75%  ████████████████     3.00  0.67",
      "a.conv2                  1        1.00            –   1.00    13%  ██▋                  2.00  1.00",
      "(update)                 1           –            –   1.00    13%  ██▋                     –  8.00",
      "(outside of layers)      1       0.000            –  0.000   0.0%                          –     –",
    ]);
    const still = { ...timed, ms: timed.ms.map(() => 0) };
    expect(kernelTable(byKernel([still]), { rows: 9, ceilings })).not.toMatch(/NaN|Infinity/);
  });

  it("have bars to an eighth of a character", () => {
    expect([0, 0.01, 0.25, 0.3, 1, 2, -1].map((s) => bar(s, 4))).toEqual([
      "",
      "",
      "█",
      "█▎",
      "████",
      "████",
      "",
    ]);
  });
});

describe("the trace file", () => {
  const host: HostSpan[] = [
    { name: "build", step: "first", from: 100, to: 110 },
    { name: "wait", step: "first", from: 110, to: 150 },
    { name: "submit", step: "warm", from: 160, to: 161.5 },
    { name: "wait", step: "warm", from: 161.5, to: 170 },
  ];
  const { traceEvents, displayTimeUnit, otherData } = chromeTrace(timed, host, { about: "made up" });
  const device = traceEvents.filter((e) => e.pid === 2 && e.ph !== "M");

  it("has events as the format wants them, times in microseconds", () => {
    expect(displayTimeUnit).toBe("ms");
    expect(otherData).toEqual({ about: "made up" });
    for (const e of JSON.parse(JSON.stringify(traceEvents)) as typeof traceEvents) {
      expect(typeof e.name).toBe("string");
      expect(Number.isInteger(e.pid) && Number.isInteger(e.tid)).toBe(true);
      if (e.ph === "M") {
        expect(["process_name", "thread_name"]).toContain(e.name);
        expect(typeof e.args?.["name"]).toBe("string");
        continue;
      }
      expect(e.ts).toBeGreaterThanOrEqual(0);
      if (e.ph === "X") expect(e.dur).toBeGreaterThanOrEqual(0);
      else expect([e.ph, e.s, e.dur]).toEqual(["i", "t", undefined]);
    }
    const [build] = traceEvents.filter((e) => e.name === "build");
    expect([build.ts, build.dur, build.args]).toEqual([0, 10_000, { step: "first" }]);
  });

  it("has every step in order, without overlap, beginning under the warm step's submit", () => {
    expect(device.map((e) => e.name)).toEqual([
      "conv2d fast",
      "copy",
      "conv2d fast",
      "conv2d fast",
      "loss row",
      "conv2dInput fast",
      "sgd flat",
    ]);
    expect(device.map((e) => e.ts)).toEqual([60_000, 61_000, 61_000, 62_000, 63_000, 63_000, 67_000]);
    expect(device.map((e) => e.dur)).toEqual([1000, undefined, 1000, 1000, 0, 4000, 1000]);
  });

  it("says of each dispatch what it worked on", () => {
    expect(device[0].args).toEqual({
      layer: "a.conv1",
      phase: "forward",
      inputs: ["f32[2,3]"],
      outputs: ["f32[2]"],
      shader: "conv2d_fast",
      params: { T: 4 },
      grid: [4, 2, 1],
      flops: 6e6,
      bytes: 1e6,
      gflops: 6,
      gbps: 1,
    });
  });

  it("begins at nothing where the host's part is not known", () => {
    const events = chromeTrace(timed, [], {}).traceEvents.filter((e) => e.ph === "X");
    expect(events[0].ts).toBe(0);
  });
});
