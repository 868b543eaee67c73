// thaw profile: where the time and the memory of a network's step go on this device, by kernel and by layer.

import { access, constants, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { mib } from "../core/bytes.ts";
import { messageOf, ThawError, UsageError } from "../core/error.ts";
import { table } from "../core/table.ts";
import type { Ceilings } from "../gpu/ceilings.ts";
import { FINE_CLOCK } from "../gpu/device.ts";
import { runtime } from "../runtime/context.ts";
import type { GpuBackend } from "../runtime/gpu_backend.ts";
import type { Profile } from "../runtime/tally.ts";
import { chromeTrace, type HostSpan } from "../schedule/chrome_trace.ts";
import { aliveAtPeak, planBytes, planMemory, showMemory } from "../schedule/memory.ts";
import type { Plan } from "../schedule/plan.ts";
import { byKernel, byLayer, ofCeiling, rates, total, type Work } from "../schedule/profile.ts";
import { kernelTable, layerTable } from "../schedule/profile_tables.ts";
import { compile, planOf } from "../tensor/compile.ts";
import { init } from "../tensor/session.ts";
import type { Options, Values } from "./args.ts";
import { command } from "./command.ts";
import { type Output, thousands } from "./output.ts";
import { checkStep, least, type ProfiledStep, profiledStep, STEP } from "./profile_step.ts";

const OPTIONS = {
  ...STEP,
  rounds: { kind: "whole", value: "N", help: "steps that are timed (default 5)" },
  depth: { kind: "whole", value: "N", help: "add layers up by the first N parts of their names" },
  all: { kind: "flag", help: "all rows of the tables instead of the first 20" },
  trace: { kind: "text", value: "FILE", help: "write the step for chrome://tracing or ui.perfetto.dev" },
  "plan-only": {
    kind: "flag",
    help: "run nothing and take no memory: dispatches, work, bytes, and what is alive where memory is at its peak",
  },
} as const satisfies Options;

type Given = Values<typeof OPTIONS>;

/** Rows of a table without --all. */
const ROWS = 20;

export const profiling = command({
  name: "profile",
  usage: "MODEL [options]",
  about: "where the time and the memory of a step go, by kernel and by layer",
  more: "Runs the step on made-up pictures from random weights. Each dispatch is timed by the device's clock where it has one. GFLOP/s count\ntwo for a multiply-add; GB/s count each operand once; the ceilings are what this device reaches in loops that only multiply and add, or only copy.",
  options: OPTIONS,
  arguments: { least: 1, most: 1 },
  async run({ values, positionals: [name], out, signal }) {
    const { rounds = 5 } = values;
    least("rounds", rounds);
    least("depth", values.depth ?? 1);
    checkStep(name, values);
    const planOnly = values["plan-only"] ?? false;
    if (planOnly && values.trace !== undefined)
      throw new UsageError("--trace needs a step that runs, and --plan-only runs none");
    if (values.trace !== undefined) await writable(values.trace);
    await init({ dawn: [FINE_CLOCK] });
    const step = profiledStep(name, values, planOnly);
    const backend = (await runtime().backend()) as GpuBackend;
    const about = `${name}, ${step.shape.join("×")}, ${step.what}, on ${backend.name}`;
    if (planOnly) return tellPlan(out, about, await planOf(step.fn, ...step.args), values);
    out.say(about);
    const spans = await runTwice(step, backend);
    signal.throwIfAborted();
    out.say("measuring what the device can do");
    const ceilings = await backend.ceilings();
    signal.throwIfAborted();
    out.say(`timing ${rounds} steps`);
    const profile = (await backend.profile(rounds)) as Profile;
    tell(out, { about, backend, ceilings, profile, spans, values });
    if (values.trace !== undefined) await writeTrace(out, values.trace, { about, backend, profile, spans });
  },
});

interface Found {
  readonly about: string;
  readonly backend: GpuBackend;
  readonly profile: Profile;
  readonly spans: readonly HostSpan[];
}

/** Two steps, and what the host did for them: the first builds and compiles everything, the second only replays. */
async function runTwice({ fn, args }: ProfiledStep, backend: GpuBackend): Promise<HostSpan[]> {
  const run = compile(fn);
  const spans: HostSpan[] = [];
  for (const step of ["first", "warm"] as const) {
    const add = (name: string, from: number, to = performance.now()) => spans.push({ name, step, from, to });
    backend.onPhase = add;
    let began = performance.now();
    const result = run(...args);
    add(step === "first" ? "build" : "replay", began);
    await runtime().queue.idle();
    began = performance.now();
    await result.data();
    add("wait", began);
  }
  backend.onPhase = null;
  return spans;
}

const work = (w: Work, ceilings: Ceilings) => {
  const { share, ceiling } = ofCeiling(w, ceilings);
  const { calls, ms, flops, bytes } = w;
  return { calls, ms, flops, bytes, ...rates(w), ofCeiling: share, ceiling };
};

const spent = (spans: readonly HostSpan[], step: HostSpan["step"]) => {
  const own = spans.filter((s) => s.step === step);
  return Math.max(...own.map((s) => s.to)) - Math.min(...own.map((s) => s.from));
};

const phasesOf = (spans: readonly HostSpan[], step: HostSpan["step"]) =>
  spans
    .filter((s) => s.step === step)
    .map((s) => `${s.name} ${(s.to - s.from).toFixed(1)}`)
    .join(", ");

function tell(out: Output, f: Found & { ceilings: Ceilings; values: Given }): void {
  const { profile, ceilings, backend, spans, values } = f;
  const { plan, clock } = profile;
  const [kernels, layers] = [byKernel([profile]), byLayer([profile], values.depth)];
  const all = total([profile]);
  const options = { rows: values.all ? Number.POSITIVE_INFINITY : ROWS, ceilings };
  if (out.json) {
    for (const k of kernels) {
      const { op, kernel, shader, params } = k;
      out.result(
        { event: "kernel", op, kernel, shader, params, ...work(k, ceilings), share: k.ms / all.ms },
        "",
      );
    }
    for (const l of layers)
      out.result(
        {
          event: "layer",
          layer: l.layer,
          forwardMs: l.forward.ms,
          backwardMs: l.backward.ms,
          ...work(l, ceilings),
          share: l.ms / all.ms,
        },
        "",
      );
    out.result({ event: "memory", ...planMemory(plan), planBytes: planBytes(plan) }, "");
  } else {
    out.result({}, `\n${kernelTable(kernels, options)}\n\n${layerTable(layers, options)}\n`);
  }
  const { gflops, gbps } = rates(all);
  out.result(
    {
      event: "total",
      adapter: backend.name,
      clock,
      ...work(all, ceilings),
      firstMs: spent(spans, "first"),
      warmMs: spent(spans, "warm"),
      ceilingGflops: ceilings.gflops,
      ceilingGbps: ceilings.gbps,
    },
    [
      `${thousands(all.calls)} dispatches, ${all.ms.toFixed(1)} ms by ${clockWords(clock)}: ${gflops.toFixed(1)} of ${ceilings.gflops.toFixed(1)} GFLOP/s, ${gbps.toFixed(2)} of ${ceilings.gbps.toFixed(2)} GB/s`,
      `first step ${spent(spans, "first").toFixed(0)} ms (${phasesOf(spans, "first")}); warm step ${spent(spans, "warm").toFixed(0)} ms (${phasesOf(spans, "warm")})`,
      `memory ${showMemory(plan)}`,
    ].join("\n"),
  );
}

const clockWords = (clock: Profile["clock"]) =>
  clock === "device"
    ? "the device's clock"
    : "the host's clock (this device has no timestamps: each dispatch was waited for alone, so short ones are rough)";

/** Estimated time of a plan in ms, as pacing has it. */
const estimated = (p: Plan) => p.steps.reduce((n, s) => n + (s.kind === "dispatch" ? s.cost : 0), 0);

function tellPlan(out: Output, about: string, plan: Plan, values: Given): void {
  const { calls: dispatches, flops, bytes } = total([{ plan, ms: plan.steps.map(() => 0) }]);
  const alive = aliveAtPeak(plan);
  if (out.json) for (const a of alive) out.result({ event: "alive", ...a }, "");
  const shown = values.all ? alive : alive.slice(0, ROWS);
  const rows = shown.map((a) => [`${a.layer || "–"} ${a.phase}`, a.op, a.type, mib(a.bytes)]);
  const rest = alive.slice(shown.length);
  const more =
    rest.length > 0 ? `\n${rest.length} more, ${mib(rest.reduce((n, a) => n + a.bytes, 0))} together` : "";
  const { whole, bytes: peak } = plan.peak;
  const ms = estimated(plan);
  const memory = { ...planMemory(plan), planBytes: planBytes(plan), leastSlots: whole, peak };
  out.result(
    { event: "plan", about, dispatches, flops, bytes, estimatedMs: ms, ...memory },
    [
      about,
      `${thousands(dispatches)} dispatches, ${(flops / 1e9).toFixed(2)} GFLOP, ${(bytes / 1e9).toFixed(2)} GB moved, roughly ${ms < 10 ? ms.toFixed(1) : thousands(Math.round(ms))} ms`,
      `memory ${showMemory(plan)}`,
      "",
      `alive at the peak, ${mib(peak)}:`,
      `${table(["made in", "memory of", "type", "bytes"], rows)}${more}`,
    ].join("\n"),
  );
}

const unwritten = (error: unknown) => new ThawError(`the trace cannot be written: ${messageOf(error)}`);

/** Throws where a file could not be put, before minutes are spent on what goes into it. */
async function writable(path: string): Promise<void> {
  await access(dirname(resolve(path)), constants.W_OK).catch((error: unknown) => {
    throw unwritten(error);
  });
}

async function writeTrace(out: Output, path: string, f: Found): Promise<void> {
  const { about, backend, profile, spans } = f;
  const trace = chromeTrace(profile, spans, { about, adapter: backend.name, clock: profile.clock });
  await writeFile(path, `${JSON.stringify(trace)}\n`).catch((error: unknown) => {
    throw unwritten(error);
  });
  out.say(`${path}: open it in ui.perfetto.dev or chrome://tracing`);
}
