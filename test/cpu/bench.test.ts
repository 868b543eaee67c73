// The benchmark without a device: its options, its numbers, its progress, steps taken in turn, and that peers which
// fail or compute something else are named and not timed.
import { describe, expect, it, vi } from "vitest";
import { readAblation, VARIANTS } from "../../benchmarks/ablation.ts";
import { checkPeerLogits, checkPeerStep, checkTrained } from "../../benchmarks/check.ts";
import { type Engine, PeerFailed } from "../../benchmarks/engine.ts";
import { type Goal, goalTable, isMet, STEP_GOALS, stepGoals } from "../../benchmarks/goals.ts";
import { bar, fitLine, fitPower, withUncertainty } from "../../benchmarks/growth.ts";
import { lastPlane, readOptions } from "../../benchmarks/options.ts";
import { Peer } from "../../benchmarks/peer.ts";
import { Report, table } from "../../benchmarks/report.ts";
import { readScaling } from "../../benchmarks/scaling.ts";
import { foretellMs, seriesOf, tooLong } from "../../benchmarks/scaling_points.ts";
import type { CaseResult } from "../../benchmarks/step_course.ts";
import { type Failure, type Row, roundsFor, timeSteps, type Warm } from "../../benchmarks/steps.ts";
import { comparisons } from "../../benchmarks/tables.ts";
import { UsageError } from "../../src/core/error.ts";
import { quantile, sample, summarize } from "../../src/core/timing.ts";
import { REWRITES } from "../../src/schedule/rewrites/index.ts";
import { bench } from "../lib/bench.ts";

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
    [["--size"], /--size needs a value/],
    [["--kernels", "-1"], /--kernels needs a value/],
    [["--size", "100000"], /more than 1 GiB/],
  ])("%j is refused", (args, message) => {
    expect(() => readOptions(args)).toThrow(UsageError);
    expect(() => readOptions(args)).toThrow(message);
  });

  it("defaults, and the two forms of --peers", () => {
    const o = readOptions([]);
    expect([o.size, o.batch, o.peers, o.json, o.samples]).toEqual([64, 8, "none", false, null]);
    expect(readOptions(["--peers"]).peers).toBe("some");
    expect(readOptions(["--peers=all"]).peers).toBe("all");
    expect([29, 32, 64, 97, 224].map(lastPlane)).toEqual([1, 1, 2, 3, 7]);
  });

  it("the steps are those that the goals are stated for, unless a shape is asked for", () => {
    const shapes = (...args: string[]) =>
      readOptions(args).cases.map((c) => `${c.what} ${c.batch}x${c.size}`);
    expect(shapes()).toEqual(["forward 1x224", "head 8x64", "last 8x64", "all 8x64"]);
    for (const { what, batch, size } of readOptions([]).cases)
      expect(STEP_GOALS[what].shape).toEqual({ batch, size });
    expect(shapes("--steps", "all,forward", "--size", "96")).toEqual(["forward 8x96", "all 8x96"]);
    expect(shapes("--steps", "forward", "--batch", "8")).toEqual(["forward 8x64"]);
    expect(shapes("--steps", "none")).toEqual([]);
  });

  it("a usage error is one sentence and exit code 2; --help is 0", async () => {
    const wrong = await bench("--batch", "many");
    expect([wrong.code, wrong.out, sentences(wrong.err).length]).toEqual([2, "", 1]);
    const help = await bench("--help");
    expect([help.code, help.err]).toEqual([0, ""]);
    // What --help names is what the command takes.
    const named = [...help.out.matchAll(/^ {2}--(\w+)/gm)].map((m) => m[1]);
    expect(new Set(named)).toEqual(
      new Set(["size", "batch", "peers", "steps", "kernels", "samples", "json", "help"]),
    );
  });
});

describe("ablation", () => {
  it("switches off each rewrite alone, and all; its options are checked", () => {
    const off = VARIANTS.map((v) => v.off);
    expect(off).toEqual(["nothing", ...REWRITES, "all of them"]);
    expect(VARIANTS[1].options).toEqual({ rewrites: { channelSliceConcat: false } });
    expect(readAblation(["--batch", "2"]).cases).toEqual([{ what: "all", batch: 2, size: 64 }]);
    expect(() => readAblation(["--steps", "some"])).toThrow(/--steps takes/);
    expect(() => readAblation(["--peers"])).toThrow(/no option --peers/);
    expect(() => readAblation(["--size", "32", "--batch", "1"])).toThrow(/one value per channel/);
  });
});

describe("scaling", () => {
  it("a power law and a line are found, with the standard error of the slope", () => {
    const xs = [1, 2, 4, 8];
    const exact = fitPower(
      xs,
      xs.map((x) => 3 * x ** 1.5),
    );
    expect(exact.slope).toBeCloseTo(1.5);
    expect(exact.uncertainty).toBeCloseTo(0);
    // By hand: residuals 0.1, -0.1, -0.1, 0.1 about y = x on 0…3, so s² = 0.04/2 and the error is √(0.02/5).
    const line = fitLine([0, 1, 2, 3], [0.1, 0.9, 1.9, 3.1]);
    expect(line.slope).toBeCloseTo(1);
    expect(line.uncertainty).toBeCloseTo(Math.sqrt(0.02 / 5));
    expect(withUncertainty(line)).toBe("1.00 ± 0.06");
    expect(withUncertainty(fitLine([1, 2], [1, 3]))).toBe("2.00");
    expect(bar(5, 10, 4)).toBe("██");
  });

  it("covers what it says, one axis at a time", () => {
    const ends = seriesOf(false).map(({ axis, settings: [first, ...rest] }) => [axis, first, rest.at(-1)]);
    const base = { model: "densenet121", batch: 8, size: 64, frozen: 0 };
    expect(ends).toEqual([
      ["batch", { ...base, batch: 1 }, { ...base, batch: 64 }],
      ["size", { ...base, batch: 1 }, { ...base, batch: 1, size: 448 }],
      ["depth", base, { ...base, model: "densenet201" }],
      ["frozen", base, { ...base, frozen: 12 }],
    ]);
    expect(readScaling(["--quick"]).quick).toBe(true);
    expect(() => readScaling(["--quik"])).toThrow(/did you mean --quick/);
  });

  it("a step of more than 30 s, by the work and the step before, is left out", () => {
    expect(foretellMs({ flops: 2e9, ms: 500 }, 4e9)).toBe(1000);
    expect(foretellMs(null, 4e9)).toBe(null);
    expect(tooLong(foretellMs({ flops: 1e9, ms: 500 }, 61e9))).toMatch(/31 s a step, more than 30 s/);
    expect(tooLong(foretellMs({ flops: 1e9, ms: 500 }, 59e9))).toBe(null);
    expect(tooLong(null)).toBe(null);
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
    // A clock of the test's own: on a busy machine the real one says nothing.
    let now = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
    const asked: number[] = [];
    const run = async (n: number) => {
      asked.push(n);
      now += asked.length === 1 ? 200 : 4 * n;
    };
    const t = await sample(run, { sampleMs: 20, budgetMs: 0, least: 3, most: 9 });
    clock.mockRestore();
    expect(asked).toEqual([1, 1, 5, 5, 5]);
    expect([t.n, t.ms]).toEqual([3, 4]);
  });

  it("as many steps as asked for; fewer beside peers, which are slow", () => {
    expect(roundsFor(2, 3)).toEqual({ least: 2, most: 2, budgetMs: 0 });
    expect(roundsFor(null, 1).least).toBeGreaterThan(roundsFor(null, 2).least);
  });

  it("progress is one line that rewrites itself on a terminal, elsewhere a line now and then", () => {
    const said = (isTTY: boolean, everyMs: number) => {
      const err: string[] = [];
      const stream = { isTTY, write: (t: string) => err.push(t) };
      const report = new Report(true, { write: () => 0 }, stream, everyMs);
      report.phase("phase");
      for (const n of [1, 2]) report.progress(`${n} of 2`);
      report.end();
      return err.join("");
    };
    expect(said(true, 1e6)).toBe("phase\n\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[K");
    expect(said(false, 0)).toBe("phase\n  1 of 2\n  2 of 2\n");
    expect(said(false, 1e6)).toBe("phase\n");
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

describe("steps", () => {
  /** An engine whose step takes `ms` and whose loss falls by `fall`. */
  const engine = (name: string, ms: number, fall: number, log: string[]): Engine => {
    let loss = 7 + fall;
    return {
      name,
      load: async () => ({ trained: 1, adapter: "none" }),
      logits: async () => new Float32Array(1),
      step: async (count) => {
        log.push(`${name}${count ? "*" : ""}`);
        loss -= fall;
        return { ms, loss, dispatches: 5, newBuffers: 0 };
      },
      close: async () => {},
    };
  };
  const calibration = (log: string[]) => {
    const samples: number[] = [];
    const sample = async () => {
      log.push("calibration");
      samples.push(2);
    };
    return { samples, sample };
  };

  it("are taken in turn after two of each, and compared within a round", async () => {
    const log: string[] = [];
    const engines = [engine("thaw", 10, 1, log), engine("p", 40, 1, log)];
    const rows = await timeSteps(engines, calibration(log), roundsFor(2, 2));
    const round = ["calibration", "thaw", "p"];
    expect(log).toEqual(["thaw*", "thaw*", "p*", "p*", ...round, ...round]);
    expect(rows.map((r) => [r.engine, r.ms, r.n, r.timesFirst, r.calibrationMs, r.inCalibrations])).toEqual([
      ["thaw", 10, 2, 1, 2, 5],
      ["p", 40, 2, 4, 2, 20],
    ]);
    expect(comparisons("all", rows)).toEqual([
      "all: thaw is 4.00 times faster than p (median of 2 rounds of one step each)",
    ]);
    expect(comparisons("all", [rows[0], { ...rows[1], timesFirst: 0.5 }])[0]).toMatch(
      /^all: p is 2.00 times faster/,
    );
  });

  it("of an engine that gives no answer are a result, and the others go on", async () => {
    const log: string[] = [];
    const never = engine("slow", 0, 1, log);
    const slow: Engine = { ...never, step: () => Promise.reject(new PeerFailed("slow gave none", 20)) };
    let steps = 0;
    const dies = engine("dies", 1, 1, log);
    const dying: Engine = {
      ...dies,
      step: async (count) => {
        if (++steps > 3) throw new PeerFailed("dies ended early");
        return dies.step(count);
      },
    };
    const failures: Failure[] = [];
    const engines = [engine("thaw", 10, 1, log), slow, dying, engine("p", 40, 1, log)];
    const rows = await timeSteps(engines, calibration(log), roundsFor(2, 4), {
      failed: (f) => failures.push(f),
    });
    expect(rows.map((r) => [r.engine, r.n])).toEqual([
      ["thaw", 2],
      ["p", 2],
    ]);
    expect(failures).toEqual([
      { engine: "slow", why: "slow gave none", limitMs: 20 },
      { engine: "dies", why: "dies ended early", limitMs: null },
    ]);
    // Nobody asked to be told: then it is an error.
    await expect(timeSteps([slow], calibration(log), roundsFor(2, 1))).rejects.toThrow("slow gave none");
    const broken: Engine = { ...never, step: () => Promise.reject(new Error("a bug")) };
    await expect(timeSteps([broken], calibration(log), roundsFor(2, 1))).rejects.toThrow("a bug");
  });

  it("are not timed where two engines differ", async () => {
    const log: string[] = [];
    const engines = [engine("thaw", 10, 1, log), engine("p", 40, 0.5, log)];
    const warm = ([a, b]: readonly Warm[]) => void checkPeerStep({ name: "p" }, b, a);
    await expect(timeSteps(engines, calibration(log), roundsFor(2, 2), { warm })).rejects.toThrow(
      /p loss after a step: off from Thaw/,
    );
    expect(log).toEqual(["thaw*", "thaw*", "p*", "p*"]);
  });
});

describe("peers", () => {
  const peer = (script: string) =>
    new Peer({ name: "mock", command: process.execPath, args: ["--input-type=module", "-e", script] });
  const warm = (engine: string, losses: (number | null)[], logits: number[] | null = null) => ({
    engine,
    losses,
    logits,
  });
  const p = { name: "p" };
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

  it("that die with a report of many lines are named with the line that calls itself an error", async () => {
    const dying = peer(
      `console.error("FATAL ERROR: heap limit\\n----- trace -----\\n 10: 0x19c77d1 [node]"); process.exit(6);`,
    );
    await expect(dying.load(job)).rejects.toThrow("mock ended early (exit code 6): FATAL ERROR: heap limit");
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

  it("that take longer than they may are ended and named", async () => {
    const command = ["--input-type=module", "-e", "setInterval(() => {}, 1000);"];
    const slow = new Peer({ name: "slow", command: process.execPath, args: command }, 300);
    const failure = await slow.load(job).catch((e: PeerFailed) => e);
    expect(failure).toBeInstanceOf(PeerFailed);
    expect(failure).toMatchObject({ message: 'slow gave no answer to "load" within 0.3 s', limitMs: 300 });
    await slow.close();
  });

  it("that compute something else are refused", () => {
    const logits = Float32Array.of(1, -2, 3);
    expect(checkPeerLogits(p, logits, logits).error).toBe(0);
    expect(() => checkPeerLogits(p, Float32Array.of(1, -2, 3.01), logits)).toThrow(/nothing is timed/);
    expect(() => checkPeerLogits(p, Float32Array.of(1, Number.NaN, 3), logits)).toThrow(/nothing is timed/);
    expect(() => checkPeerLogits(p, logits.subarray(0, 2), logits)).toThrow(/nothing is timed/);
    // An engine that computes in half precision is allowed more, and not everything.
    const half = { ...p, tolerance: 0.05 };
    expect(checkPeerLogits(half, Float32Array.of(1, -2, 3.01), logits).bound).toBe(0.05);
    expect(() => checkPeerLogits(half, Float32Array.of(1, -2, 3.2), logits)).toThrow(/nothing is timed/);
    expect(() => checkTrained("p", { trained: 4, adapter: "" }, { trained: 5, adapter: "" })).toThrow(
      /4 .* 5/,
    );
    const check = (got: Warm, thaw: Warm) => checkPeerStep(p, got, thaw);
    expect(check(warm("p", [7, 6.0005]), warm("thaw", [7, 6])).length).toBe(2);
    expect(() => check(warm("p", [7.1, 6]), warm("thaw", [7, 6]))).toThrow(/first loss/);
    expect(() => check(warm("p", [7, 6.5]), warm("thaw", [7, 6]))).toThrow(/loss after a step/);
    expect(() => check(warm("p", [7, Number.NaN]), warm("thaw", [7, 6]))).toThrow(/loss after a step/);
    expect(() => check(warm("p", [null, null]), warm("thaw", [7, 6]))).toThrow(/first loss/);
    expect(() => check(warm("p", [7, 7]), warm("thaw", [7, 7]))).toThrow(/too little/);
    // In half precision a step that does nothing would be within the bound of the loss, so its fall is compared.
    const coarse = (got: number[]) =>
      checkPeerStep({ ...p, tolerance: 0.1 }, warm("p", got), warm("thaw", [7, 6.5]));
    expect(coarse([7.01, 6.52]).map((c) => c.what)).toEqual(["p first loss", "p fall of the loss"]);
    expect(() => coarse([7, 7])).toThrow(/fall of the loss/);
    expect(() => coarse([7, 6.4])).toThrow(/fall of the loss/);
    // A forward pass is checked by its logits, and has some.
    const passes = (logits: number[] | null) => warm("p", [null, null], logits);
    expect(check(passes([1, 2]), passes([1, 2])).map((c) => c.what)).toEqual(["p logits"]);
    expect(() => check(passes([1, 2.1]), passes([1, 2]))).toThrow(/p logits/);
    expect(() => check(passes(null), passes([1, 2]))).toThrow(/p logits/);
    expect(() => check(passes(null), passes(null))).toThrow(/p logits/);
  });
});

describe("goals", () => {
  const row = (engine: string, ms: number): Row => ({
    ...{ engine, ms, min: ms, p10: ms, p90: ms, n: 3, calibrationMs: 2, inCalibrations: ms / 2, firstMs: ms },
    ...{
      cpuMs: null,
      dispatches: 1,
      pipelines: 50,
      newBuffers: 0,
      newBindGroups: 0,
      submits: 3,
      gpuBytes: 1,
      timesFirst: 1,
    },
  });
  const result = (over: Partial<CaseResult> = {}): CaseResult => ({
    case: { what: "all", batch: 8, size: 64 },
    calibration: "subgroup32",
    rows: [row("thaw", 400), row("tfjs-webgpu", 7000)],
    failures: [{ engine: "jax-js", why: "jax-js gave no answer", limitMs: 1000 }],
    leftOut: new Map(),
    ...over,
  });
  const met = (goals: readonly Goal[]) => goals.map((g) => [g.what, g.measured, isMet(g)]);

  it("are ratios of medians, calibrations, and what a warm step may make", () => {
    const goals = stepGoals([result()]);
    expect(met(goals)).toEqual([
      ["all: tfjs-webgpu over Thaw", 17.5, true],
      ["all: jax-js over Thaw", null, null],
      ["all: Thaw", 200, true],
      ["all: distinct pipelines", 50, false],
      ["all: new buffers in a warm step", 0, true],
      ["all: new bind groups in a warm step", 0, true],
      ["all: submits in a warm step", 3, true],
    ]);
    const text = goalTable(goals);
    expect(text).toMatch(/^all: tfjs-webgpu over Thaw +≥ 15\.0 +17\.5 +times as long +yes/m);
    expect(text).toMatch(/^all: jax-js over Thaw .* not measured +jax-js gave no answer/m);
    expect(text).toMatch(/^all: distinct pipelines .* no$/m);
  });

  it("are judged only as they are stated: at their shapes, in units of their calibration kernel", () => {
    expect(stepGoals([result({ case: { what: "all", batch: 8, size: 96 } })])).toEqual([]);
    const plain = stepGoals([result({ calibration: "plain8" })]);
    expect(plain.find((g) => g.what === "all: Thaw")?.measured).toBe(null);
    const alone = stepGoals([result({ rows: [row("thaw", 400)], failures: [] })]);
    expect(alone[0].note).toBe("tfjs-webgpu was not run");
    const skipped = stepGoals([result({ failures: [], leftOut: new Map([["jax-js", "it compiles"]]) })]);
    expect(skipped[1].note).toBe("it compiles");
  });

  it("bounds are met when reached, from the right side", () => {
    const goal = { what: "x", unit: "" };
    expect(isMet({ ...goal, atLeast: 2, measured: 2 })).toBe(true);
    expect(isMet({ ...goal, atLeast: 2, measured: 1.9 })).toBe(false);
    expect(isMet({ ...goal, atMost: 2, measured: 2.1 })).toBe(false);
    expect(isMet({ ...goal, atMost: 0, measured: 0 })).toBe(true);
  });
});
