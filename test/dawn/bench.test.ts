// The benchmark on a device: the kernels it times are those of the model's own plan, nothing that computes, writes or
// leaves out the wrong thing gets a number, and the command prints the contract's lines.
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convolutionsOf, costliest, type PlannedKernel } from "../../benchmarks/convolutions.ts";
import { measure, WrongKernel } from "../../benchmarks/kernels.ts";
import { openBench } from "../../benchmarks/machine.ts";
import { backend, ThawEngine, writeJobFile } from "../../benchmarks/thaw.ts";
import { ndarray } from "../../src/graph/array.ts";
import { type Dispatch, type Kernel, opNamed } from "../../src/graph/op.ts";
import { close, init } from "../../src/index.ts";
import type { BenchDevices } from "../../src/runtime/kernel_bench.ts";
import { verify } from "../../src/runtime/verify.ts";
import { bench } from "../lib/bench.ts";

const CEILINGS = { gflops: 30, gbps: 3 };

describe("kernels", () => {
  let folder: string;
  let file: string;
  let devices: BenchDevices;
  let found: PlannedKernel[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "thaw-bench-test-"));
    file = join(folder, "job.safetensors");
    await init({ seed: 1 });
    await writeJobFile(file, 2, 32);
    const engine = new ThawEngine();
    await engine.load({ what: "all", weights: file });
    await engine.step();
    found = convolutionsOf({ all: await engine.plan() });
    devices = await openBench((await backend()).gpu);
  });
  afterAll(async () => {
    await close();
    await rm(folder, { recursive: true });
  });

  it("are those of the plan: each convolution of DenseNet-121 and both its gradients", () => {
    const runs = (op: string) => found.filter((k) => k.op === op).reduce((n, k) => n + (k.calls.all ?? 0), 0);
    expect(["conv2d", "conv2dInput", "conv2dWeight"].map(runs)).toEqual([120, 119, 120]);
    expect(found.map((k) => k.shape)).toContain("7x7/2 3->64 b2@32x32");
    expect(
      found.filter((k) => k.op === "conv2d" && k.variant.includes("+affineRelu")).length,
    ).toBeGreaterThan(50);
    expect(new Set(found.map((k) => `${k.op}|${k.shape}|${k.variant}`)).size).toBe(found.length);
  });

  it("the costliest are chosen by work times runs", () => {
    const some = costliest(found, 3);
    expect(some.length).toBe(3);
    expect(some.every((k) => k.shape.startsWith("3x3") || k.shape.startsWith("7x7"))).toBe(true);
  });

  it("that match get numbers", async () => {
    for (const op of ["conv2d", "conv2dInput", "conv2dWeight"]) {
      const k = found.filter((f) => f.op === op).at(-1) as PlannedKernel;
      const m = await measure(devices, k, CEILINGS);
      expect(m.verified.worst).toBeLessThan(1);
      expect(m.verified.compared).toBeGreaterThan(0);
      expect(m.gflops).toBeCloseTo(k.flops / m.ms / 1e6);
      expect(m.ofCeiling).toBeCloseTo(Math.max(m.gflops / 30, m.gbps / 3));
    }
  });

  const changed = (k: PlannedKernel, change: (d: Dispatch) => Dispatch): Kernel => {
    const own = opNamed(k.op).kernels.find((v) => v.name === k.kernel) as Kernel;
    return { ...own, dispatches: (c) => own.dispatches(c).map(change) };
  };
  const uniform = (d: Dispatch, name: string, by: number): Dispatch => ({
    ...d,
    uniforms: { ...d.uniforms, [name]: (d.uniforms[name] as number) + by },
  });

  it.each([
    ["reads the weights one further", (d: Dispatch) => uniform(d, "w0", 1), /instead of/],
    ["leaves out some channels", (d: Dispatch) => uniform(d, "k", -8), /instead of/],
    [
      "forgets what is fused into its load",
      (d: Dispatch) => ({ ...d, hooks: { ...d.hooks, prologue: "return v;" } }),
      /instead of/,
    ],
    ["leaves out the last output channel", (d: Dispatch) => uniform(d, "m", -1), /never written/],
    ["writes beside its output", (d: Dispatch) => uniform(d, "y0", 4), /never written|beside it/],
  ])("that a kernel %s is found, and it gets no number", async (_what, change, why) => {
    const k = found.find((f) => f.kernel.startsWith("strip") && f.variant.includes("+affineRelu"));
    const wrong = measure(devices, k as PlannedKernel, CEILINGS, changed(k as PlannedKernel, change));
    await expect(wrong).rejects.toThrow(WrongKernel);
    await expect(wrong).rejects.toThrow(why);
  });

  it("a large output is compared by rows, the first and last always among them", () => {
    const conv = opNamed("conv2d");
    const k = found.find((f) => f.op === "conv2d") as PlannedKernel;
    const [x, w] = k.call.inputs.map((o, i) => {
      const n = o.shape.reduce((a, b) => a * b, 1);
      return ndarray(o.shape, Float64Array.from({ length: n }, (_, j) => Math.sin(j + i)).map(Math.fround));
    });
    const attrs = { ...k.call.attrs, prologue: "none", relu: false, bias: false };
    const [y] = conv.ref([x, w], attrs);
    const whole = verify(conv, attrs, [x, w], [y], Number.POSITIVE_INFINITY);
    expect([whole.compared, whole.worst]).toEqual([y.data.length, 0]);
    const part = verify(conv, attrs, [x, w], [y], 2e5);
    expect(part.compared).toBeLessThan(y.data.length / 4);
    for (const at of [0, y.data.length - 1]) {
      const wrong = ndarray(y.shape, y.data);
      wrong.data[at] += 1e-3;
      expect(() => verify(conv, attrs, [x, w], [wrong], 2e5)).toThrow(/off by 1\.0e-3/);
      wrong.data[at] = Number.NaN;
      expect(() => verify(conv, attrs, [x, w], [wrong], 2e5)).toThrow(/NaN instead of/);
    }
  });
});

describe("the command", () => {
  it("prints the contract's lines", { timeout: 300_000 }, async () => {
    const ended = await bench(
      ...["--size", "32", "--batch", "2", "--kernels", "4", "--steps", "head", "--samples", "2", "--json"],
    );
    expect(ended.code, ended.err).toBe(0);
    const lines = ended.out
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l) as Record<string, unknown>);
    const of = (kind: string) => lines.filter((l) => l.kind === kind);
    expect(lines[0]).toMatchObject({ kind: "machine" });
    for (const key of ["ceilingGflops", "ceilingGbps"]) expect(lines[0][key]).toBeGreaterThan(0);
    expect(lines[0].adapter).toBeTypeOf("string");
    expect(lines[0].commit).toMatch(/^([0-9a-f]{12}\+?|unknown)$/);
    expect(of("check").map((c) => (c.error as number) < (c.bound as number))).toEqual([true, true, true]);
    expect(of("kernel").length).toBe(4);
    for (const k of of("kernel")) {
      expect(k.engine).toBe("thaw");
      for (const key of ["op", "shape", "variant"]) expect(k[key]).toBeTypeOf("string");
      for (const key of ["ms", "gflops", "gbps", "ofCeiling"]) expect(k[key], key).toBeGreaterThan(0);
    }
    expect(of("step").length).toBe(1);
    const [step] = of("step");
    expect(step).toMatchObject({ engine: "thaw", what: "head", shape: [2, 3, 32, 32], n: 2, newBuffers: 0 });
    for (const key of [
      "ms",
      "p10",
      "p90",
      "calibrationMs",
      "firstMs",
      "dispatches",
      "pipelines",
      "planBytes",
    ])
      expect(step[key], key).toBeGreaterThan(0);
    expect(lines.length).toBe(1 + 3 + 4 + 1);
  });
});

describe("memory beside PyTorch's", () => {
  const torch = spawnSync("/usr/bin/python3", ["-c", "import torch, torchvision"]).status === 0;
  const what = "counts the same parameters on both sides and gives the shares that it says";

  it.skipIf(!torch)(torch ? what : `not run: ${what}: /usr/bin/python3 has no torch`, () => {
    const script = fileURLToPath(new URL("../../benchmarks/against_torch/memory.ts", import.meta.url));
    const args = [script, "--batch", "2", "--size", "64", "--json"];
    const { stdout, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
    const got = JSON.parse(stdout);
    const { state: _state, ...own } = got.plan as Record<string, number>;
    expect(got.planBytes).toBe(Object.values(own).reduce((a, b) => a + b, 0));
    // Slices of flat state are padded to 256 bytes: 364 parameters.
    expect(got.torch.gradients).toBe(4 * 7_978_856);
    expect(got.gradients - got.torch.gradients).toBeGreaterThanOrEqual(0);
    expect(got.gradients - got.torch.gradients).toBeLessThan(364 * 256);
    expect(got.torch.peak).toBeGreaterThan(got.torch.gradients);
    // A dense layer of the first block alone saves its input, twice normalised, and its bottleneck, twice.
    expect(got.torch.saved).toBeGreaterThan(2 * 2 * 4 * 16 * 16 * (64 + 128));
    expect(got.ofPeak).toBeCloseTo((got.planBytes + got.gradients) / got.torch.peak, 9);
    expect(got.ofSaved).toBeCloseTo(got.planBytes / got.torch.saved, 9);
    expect(status).toBe(Math.max(got.ofPeak, got.ofSaved) <= 1 / 3 ? 0 : 1);
  });
});
