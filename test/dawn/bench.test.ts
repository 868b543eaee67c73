import { spawnSync } from "node:child_process";
// The benchmark on a device: the kernels it times are those of the model's own plan, nothing that computes, writes or
// leaves out the wrong thing gets a number, and the command prints the contract's lines.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkPeerLogits } from "../../benchmarks/check.ts";
import { isMet, memoryGoal } from "../../benchmarks/goals.ts";
import { measure, WrongKernel } from "../../benchmarks/kernels.ts";
import { Calibration, openBench } from "../../benchmarks/machine.ts";
import { forwardFlops, frozenShare, stepFlops } from "../../benchmarks/network_cost.ts";
import { findTorch, torchPeers } from "../../benchmarks/peer_setup.ts";
import { planSize } from "../../benchmarks/plan_size.ts";
import { bytesOf, costliest, groupOf, kernelsOf, type PlannedKernel } from "../../benchmarks/planned.ts";
import { backend, ThawEngine, trainingStep, writeJobFile } from "../../benchmarks/thaw.ts";
import type { Tools } from "../../src/gpu/lone_dispatch.ts";
import { ndarray } from "../../src/graph/array.ts";
import { type Dispatch, type Kernel, opNamed } from "../../src/graph/op.ts";
import { close, type InitOptions, init, models, planOf } from "../../src/index.ts";
import { verify } from "../../src/runtime/verify.ts";
import { planBytes } from "../../src/schedule/memory.ts";
import { bench } from "../lib/bench.ts";

const CEILINGS = { gflops: 30, gbps: 3 };

describe("kernels", () => {
  let folder: string;
  let file: string;
  let devices: Tools;
  let found: PlannedKernel[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "thaw-bench-test-"));
    file = join(folder, "job.safetensors");
    await init({ seed: 1 });
    await writeJobFile(file, 2, 32);
    const engine = new ThawEngine();
    await engine.load({ what: "all", weights: file });
    await engine.step();
    found = kernelsOf({ all: await engine.plan() });
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
    const convolutions = found.filter((k) => k.group === "convolution");
    expect(new Set(convolutions.map((k) => `${k.op}|${k.shape}|${k.variant}`)).size).toBe(
      convolutions.length,
    );
  });

  it("do the work that the cost model of scaling.ts says, and the rest is little", () => {
    const flopsOf = (group: string) =>
      found.filter((k) => k.group === group).reduce((n, k) => n + k.flops * (k.calls.all ?? 0), 0);
    const done = flopsOf("convolution") + flopsOf("matmul");
    const model = models.densenet121();
    // The pictures want no gradient, so the first convolution has one way back less.
    const first = forwardFlops(model, 32)[0].flops;
    expect(done).toBeCloseTo(stepFlops(model, 2, 32, 0) - 2 * first, -6);
    expect(frozenShare(model, 32, 12)).toBeGreaterThan(0.98);
    expect(stepFlops(model, 2, 32, 12)).toBeLessThan(0.35 * stepFlops(model, 2, 32, 0));
  });

  it("the costliest are chosen by work or bytes, times runs", () => {
    // The optimizer moves all parameters; of a small batch's convolutions the 3x3 ones at the top cost most.
    const some = costliest(found, 4);
    expect(some.map((k) => k.group).sort()).toEqual([...new Array(3).fill("convolution"), "optimizer"]);
    expect(some.every((k) => k.op === "adam" || /^(3x3|7x7)/.test(k.shape))).toBe(true);
  });

  it("that match get numbers", async () => {
    const memory = ["normalizePass", "normalizeSums", "normalizeCorrected", "statsInput", "channelStats"];
    const others = ["maxPool2dInput", "avgPool2d", "crossEntropyRows", "crossEntropyGrad", "matmul", "adam"];
    for (const op of ["conv2d", "conv2dInput", "conv2dWeight", ...memory, ...others]) {
      const k = found.filter((f) => f.op === op).at(-1) as PlannedKernel;
      const m = await measure(devices, k, CEILINGS);
      expect(m.verified.worst).toBeLessThan(1);
      expect(m.verified.compared).toBeGreaterThan(0);
      expect(m.gflops).toBeCloseTo(k.flops / m.ms / 1e6);
      expect(m.gbps).toBeCloseTo(bytesOf(k.call) / m.ms / 1e6);
      expect(m.ofCopy).toBeCloseTo(m.gbps / 3);
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

  it.each([
    [
      "normalizePass",
      "forgets the ReLU",
      (d: Dispatch) => ({ ...d, hooks: { ...d.hooks, masked: "return a;" } }),
    ],
    [
      "normalizePass",
      "does not add to what is there",
      (d: Dispatch) => ({ ...d, hooks: { ...d.hooks, before: "return V(0.0);" } }),
    ],
    [
      "normalizeSums",
      "takes the bias of another channel",
      (d: Dispatch) => ({ ...d, uniforms: { ...d.uniforms, o3: 1 } }),
    ],
    ["adam", "leaves out the last parameters", (d: Dispatch) => uniform(d, "total", -1)],
    ["crossEntropyGrad", "reads another label", (d: Dispatch) => uniform(d, "t0", 1)],
  ])("that a kernel of %s %s is found, in place or not", async (op, _what, change) => {
    const k = found.filter((f) => f.op === op && f.call.attrs.before !== false).at(-1) as PlannedKernel;
    await expect(measure(devices, k, CEILINGS, changed(k, change))).rejects.toThrow(WrongKernel);
  });

  it("belong to a group each; those of a step are all of the kinds that the goals name", () => {
    expect(
      ["conv2dWeight", "matmul", "statsInput", "maxPool2d", "adam", "nllRows", "add"].map(groupOf),
    ).toEqual([...["convolution", "matmul", "batch norm", "pool", "optimizer", "loss", "elementwise"]]);
    expect(new Set(found.map((k) => k.group)).size).toBe(7);
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

describe("the size of a plan", () => {
  it("counts the bytes of every concat that is copied, and the work of a pool that goes last", async () => {
    const folder = await mkdtemp(join(tmpdir(), "thaw-bench-size-"));
    const file = join(folder, "job.safetensors");
    await init({ seed: 1 });
    await writeJobFile(file, 2, 32);
    const sizeWith = async (rewrites: InitOptions["rewrites"]) => {
      const engine = new ThawEngine({ rewrites });
      await engine.load({ what: "forward", weights: file });
      await engine.step();
      return planSize(await engine.plan());
    };
    const all = await sizeWith({});
    const copied = await sizeWith({ channelSliceConcat: false });
    // Behind layer i of a block C + 32·i channels are read and written: planes of 8, 4, 2 and 1, two pictures.
    const blocks = [
      { layers: 6, channels: 64, plane: 64 },
      { layers: 12, channels: 128, plane: 16 },
      { layers: 24, channels: 256, plane: 4 },
      { layers: 16, channels: 512, plane: 1 },
    ];
    const elements = blocks.reduce(
      (n, b) => n + b.plane * (b.layers * b.channels + (32 * b.layers * (b.layers + 1)) / 2),
      0,
    );
    expect(copied.bytesMoved - all.bytesMoved).toBe(2 * 2 * 4 * elements);
    expect(copied.planBytes).toBeGreaterThan(all.planBytes);
    const late = await sizeWith({ poolFirst: false });
    expect(late.dispatches).toBe(all.dispatches);
    expect(late.gflop).toBeGreaterThan(1.05 * all.gflop);
    await rm(folder, { recursive: true });
  });
});

describe("memory", () => {
  it("of a step is that of its plan, which is made and not run, and is what the step then has", async () => {
    const step = () => trainingStep(models.densenet121(), 2, 32);
    await init({ seed: 1 });
    const { fn, args } = step();
    const planned = await planOf(fn, ...args);
    const engine = new ThawEngine();
    await engine.loadStep(step);
    await engine.step();
    expect(planBytes(planned)).toBe(planBytes(await engine.plan()));
    expect(planBytes(planned)).toBeGreaterThan(1e6);
    await engine.close();
    expect(isMet(memoryGoal(100, 300))).toBe(true);
    expect(isMet(memoryGoal(101, 300))).toBe(false);
    expect(isMet(memoryGoal(100, null))).toBe(null);
  });
});

describe("PyTorch as a peer", async () => {
  const torch = await findTorch();
  const name = torch ? `runs on the CPU in every mode` : "not run: no python here has torch and torchvision";

  it.skipIf(!torch)(name, { timeout: 300_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "thaw-bench-torch-"));
    const file = join(folder, "job.safetensors");
    await init({ seed: 1 });
    await writeJobFile(file, 2, 32);
    const thaw = new ThawEngine();
    const job = { what: "forward", weights: file } as const;
    await thaw.load(job);
    const logits = await thaw.logits();
    await thaw.close();
    const modes = ["fp32", "tf32", "amp"] as const;
    for (const peer of torchPeers(torch?.python as string, "cpu", modes)) {
      expect((await peer.load(job)).adapter).toMatch(/^CPU, 2 threads, (fp32|tf32|amp), PyTorch/);
      const step = await peer.step(true);
      expect(checkPeerLogits(peer, step.logits ?? [], logits).error).toBeLessThan(
        peer.name === "torch-cpu-amp" ? 0.015 : 2e-4,
      );
      // The maps behind the first convolution and the first norm alone are 64 of 16×16, and there are 120 more.
      expect((await peer.ask("kept", { batch: 2, size: 32 })).bytesPerPicture).toBeGreaterThan(
        5 * 64 * 256 * 4,
      );
      const reached = await peer.ask("ceilings", { size: 64 });
      expect(Object.keys(reached)).toEqual(["copyGbps", "fp32Gflops", "tf32Gflops", "halfGflops"]);
      for (const v of Object.values(reached)) expect(v).toBeGreaterThan(0);
      await peer.close();
    }
    await rm(folder, { recursive: true });
  });
});

describe("the command", () => {
  it("runs a yardstick that has been verified, also where there are no subgroups", async () => {
    for (const [subgroups, name] of [
      [true, "subgroup32"],
      [false, "plain8"],
    ] as const) {
      await init({ subgroups });
      const calibration = await Calibration.open(await openBench((await backend()).gpu));
      expect(calibration.name).toBe(name);
      await calibration.sample();
      expect(calibration.samples[0]).toBeGreaterThan(0);
      calibration.close();
      await close();
    }
  });

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
    expect(lines[0].calibration).toBe("subgroup32");
    for (const key of ["ceilingGflops", "ceilingGbps"]) expect(lines[0][key]).toBeGreaterThan(0);
    expect(lines[0].adapter).toBeTypeOf("string");
    expect(lines[0].commit).toMatch(/^([0-9a-f]{12}\+?|unknown)$/);
    expect(of("check").map((c) => (c.error as number) < (c.bound as number))).toEqual([true, true, true]);
    expect(of("kernel").length).toBe(4);
    for (const k of of("kernel")) {
      expect(k.engine).toBe("thaw");
      for (const key of ["op", "group", "shape", "variant"]) expect(k[key]).toBeTypeOf("string");
      for (const key of ["ms", "gflops", "gbps", "ofCeiling", "ofCopy"])
        expect(k[key], key).toBeGreaterThan(0);
    }
    expect(of("step").length).toBe(1);
    const [step] = of("step");
    expect(step).toMatchObject({ engine: "thaw", what: "head", shape: [2, 3, 32, 32], n: 2, newBuffers: 0 });
    for (const key of [
      "ms",
      "p10",
      "p90",
      "calibrationMs",
      "inCalibrations",
      "firstMs",
      "dispatches",
      "pipelines",
      "planBytes",
    ])
      expect(step[key], key).toBeGreaterThan(0);
    expect(step.inCalibrations).toBeCloseTo((step.ms as number) / (step.calibrationMs as number), 0);
    // Goals are stated for another shape and for all kernels; four of them may miss theirs.
    expect(of("goal")).toEqual([]);
    expect(lines.length).toBe(1 + 3 + 4 + of("miss").length + 1);
  });
});

describe("memory beside PyTorch's", async () => {
  const torch = await findTorch();
  const what = "counts the same parameters on both sides and gives the shares that it says";

  it.skipIf(!torch)(torch ? what : `not run: ${what}: no python here has torch and torchvision`, () => {
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
