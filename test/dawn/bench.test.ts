// The benchmark: its options, its JSON lines, that the kernels it times are those of the model's own plan, and that
// nothing wrong gets a number: kernels that compute, write or leave out the wrong thing, peers that answer wrongly.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkPeerLogits, checkPeerLosses, checkTrained } from "../../benchmarks/check.ts";
import { convolutionsOf, costliest, type PlannedKernel } from "../../benchmarks/convolutions.ts";
import { measure, WrongKernel } from "../../benchmarks/kernels.ts";
import { lastPlane, readOptions } from "../../benchmarks/options.ts";
import { Peer } from "../../benchmarks/peer.ts";
import { table } from "../../benchmarks/report.ts";
import { Runner } from "../../benchmarks/runner.ts";
import { type Row, roundsFor } from "../../benchmarks/steps.ts";
import { backend, ThawEngine, writeJobFile } from "../../benchmarks/thaw.ts";
import { quantile, sample, summarize } from "../../benchmarks/timing.ts";
import { verify } from "../../benchmarks/verify.ts";
import { UsageError } from "../../src/core/error.ts";
import { ndarray } from "../../src/graph/array.ts";
import { type Dispatch, type Kernel, opNamed } from "../../src/graph/op.ts";
import { close, init } from "../../src/index.ts";

const CEILINGS = { gflops: 30, gbps: 3 };
const COMMAND = new URL("../../bench/densenet.ts", import.meta.url).pathname;

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function bench(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], { maxBuffer: 2 ** 26 }, (error, out, err) =>
      resolve({ code: error ? (error.code as number) : 0, out, err }),
    );
  });
}

const sentences = (text: string) =>
  text
    .trim()
    .split("\n")
    .filter((l) => !l.startsWith("Warning:"));

describe("options", () => {
  it.each([
    [["--size", "banana"], /--size must be a whole number of at least 29, got "banana"/],
    [["--size", "28"], /--size must be a whole number of at least 29/],
    [["--batch", "0"], /--batch must be a whole number of at least 1/],
    [["--batch", "2.5"], /--batch must be/],
    [["--bacth", "2"], /no option --bacth; did you mean --batch\?/],
    [["--peers=jax"], /--peers stands alone or is --peers=all, got "jax"/],
    [["--steps", "all,none"], /--steps takes forward,head,last,all or none, got "none"/],
    [["--size", "32", "--batch", "1"], /one value per channel/],
    [["extra"], /extra/],
    [["--json=yes"], /json/],
    [["--size"], /size/],
  ])("%j is refused", (args, message) => {
    expect(() => readOptions(args)).toThrow(UsageError);
    expect(() => readOptions(args)).toThrow(message);
  });

  it("defaults, and the two forms of --peers", () => {
    const o = readOptions([]);
    expect([o.size, o.batch, o.peers, o.json, o.samples]).toEqual([64, 8, "none", false, null]);
    expect(o.steps).toEqual(["forward", "head", "last", "all"]);
    expect(readOptions(["--peers"]).peers).toBe("tfjs");
    expect(readOptions(["--peers=all"]).peers).toBe("all");
    expect(readOptions(["--steps", "all,forward"]).steps).toEqual(["forward", "all"]);
    expect([29, 32, 64, 97, 224].map(lastPlane)).toEqual([1, 1, 2, 3, 7]);
  });

  it("a usage error is one sentence and exit code 2; --help is 0", async () => {
    const wrong = await bench("--batch", "many");
    expect([wrong.code, wrong.out, sentences(wrong.err).length]).toEqual([2, "", 1]);
    const help = await bench("--help");
    expect([help.code, help.err]).toEqual([0, ""]);
    expect(help.out).toMatch(/jax-js is not measured yet/);
  });
});

describe("numbers", () => {
  it("quantiles interpolate; a summary has them all", () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([0, 10], 0.1)).toBe(1);
    const s = summarize([5, 1, 4, 2, 3]);
    expect([s.ms, s.min, s.n]).toEqual([3, 1, 5]);
    expect(s.p10).toBeCloseTo(1.4);
    expect(s.p90).toBeCloseTo(4.6);
  });

  it("a sample's time is of one repetition, the first runs not counted", async () => {
    const asked: number[] = [];
    const run = (n: number) => {
      asked.push(n);
      return new Promise<void>((r) => setTimeout(r, asked.length === 1 ? 200 : 4 * n));
    };
    const t = await sample(run, { sampleMs: 20, budgetMs: 0, least: 3, most: 9 });
    expect([t.n, asked.length]).toEqual([3, 5]);
    expect(asked[4]).toBeGreaterThan(1);
    expect(t.ms).toBeLessThan(20);
  });

  it("as many steps as asked for; fewer beside peers, which are slow", () => {
    expect(roundsFor(2, 3)).toEqual({ least: 2, most: 2, budgetMs: 0 });
    expect(roundsFor(null, 1).least).toBeGreaterThan(roundsFor(null, 2).least);
  });

  it("tables align numbers to the right, names to the left", () => {
    expect(
      table(
        ["op", "ms"],
        [
          ["conv", "9.50"],
          ["x", "10.1"],
        ],
      ),
    ).toBe("op      ms\nconv  9.50\nx     10.1");
  });
});

describe("kernels", () => {
  let folder: string;
  let file: string;
  let runner: Runner;
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
    runner = await Runner.open((await backend()).gpu);
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
      const m = await measure(runner, k, CEILINGS);
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
    ["reads the weights one further", (d: Dispatch) => uniform(d, "w0", 1), /NaN instead of/],
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
    const wrong = measure(runner, k as PlannedKernel, CEILINGS, changed(k as PlannedKernel, change));
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

describe("peers", () => {
  const peer = (script: string) =>
    new Peer({ name: "mock", command: process.execPath, args: ["--input-type=module", "-e", script] });
  const row = (engine: string, losses: number[]): Row => ({
    engine,
    ...summarize([1]),
    calibrationMs: 1,
    firstMs: 1,
    dispatches: null,
    pipelines: null,
    newBuffers: null,
    gpuBytes: null,
    losses,
    timesFirst: 1,
  });
  const job = { what: "all", weights: "none" } as const;

  it("answer in turn; what they print beside is no answer", async () => {
    const p = peer(`
      import { createInterface } from "node:readline";
      console.log("hello");
      for await (const l of createInterface({ input: process.stdin })) {
        const r = JSON.parse(l);
        if (r.do === "end") break;
        console.log(JSON.stringify(r.do === "step" ? { ms: 7, loss: 1 } : { trained: 3, adapter: "x" }));
      }`);
    expect(await p.load(job)).toEqual({ trained: 3, adapter: "x" });
    expect((await p.step(false)).ms).toBe(7);
    await p.close();
  });

  it("that fail, die or cannot be started are named with what they said last", async () => {
    const failing = peer(`
      import { createInterface } from "node:readline";
      for await (const l of createInterface({ input: process.stdin })) console.log('{"error":"no adapter"}');`);
    await expect(failing.load(job)).rejects.toThrow("mock: no adapter");
    await failing.close();
    const dying = peer(`console.error("out of memory"); process.exit(3);`);
    await expect(dying.load(job)).rejects.toThrow("mock ended early (exit code 3): out of memory");
    await expect(dying.step(false)).rejects.toThrow("mock ended early");
    const absent = new Peer({ name: "absent", command: "/nonexistent/python", args: [] });
    await expect(absent.load(job)).rejects.toThrow(/absent could not be started/);
  });

  it("that compute something else are refused", () => {
    const logits = Float32Array.of(1, -2, 3);
    expect(checkPeerLogits("p", logits, logits).error).toBe(0);
    expect(() => checkPeerLogits("p", Float32Array.of(1, -2, 3.01), logits)).toThrow(/nothing is timed/);
    expect(() => checkPeerLogits("p", Float32Array.of(1, Number.NaN, 3), logits)).toThrow(/nothing is timed/);
    expect(() => checkPeerLogits("p", logits.subarray(0, 2), logits)).toThrow(/nothing is timed/);
    expect(() => checkTrained("p", { trained: 4, adapter: "" }, { trained: 5, adapter: "" })).toThrow(
      /4 .* 5/,
    );
    expect(checkPeerLosses(row("p", [7, 6.001]), row("thaw", [7, 6])).length).toBe(2);
    expect(() => checkPeerLosses(row("p", [7.1, 6]), row("thaw", [7, 6]))).toThrow(/first loss/);
    expect(() => checkPeerLosses(row("p", [7, 6.5]), row("thaw", [7, 6]))).toThrow(/fall of the loss/);
    expect(() => checkPeerLosses(row("p", [7, Number.NaN]), row("thaw", [7, 6]))).toThrow(/fall of the loss/);
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
