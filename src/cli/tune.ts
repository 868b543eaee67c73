// thaw tune: times the kernels that a model's calls may run on this machine, and keeps what it measured for all later
// runs.

import { UsageError } from "../core/error.ts";
import { adapterName } from "../gpu/device.ts";
import { runtime } from "../runtime/context.ts";
import type { GpuBackend } from "../runtime/gpu_backend.ts";
import { measurementOf, sameChoice } from "../runtime/tuning/records.ts";
import { showKernel } from "../schedule/select.ts";
import { init } from "../tensor/session.ts";
import {
  checkTuneOptions,
  type TimedChoice,
  TRAINED,
  type Trained,
  type TunedCall,
  type TuneOptions,
  tuneModel,
} from "../train/index.ts";
import type { Options } from "./args.ts";
import { command } from "./command.ts";
import { duration, type Output, percent, plural, table } from "./output.ts";

const OPTIONS = {
  batch: { kind: "whole", value: "N", help: "pictures in a batch, as in the runs to come (default 32)" },
  "image-size": {
    kind: "whole",
    value: "N",
    help: "height and width of the network's input (default: the model's)",
  },
  train: {
    kind: "text",
    value: TRAINED.join("|"),
    help: "what trains in the step that is measured: everything (default), the last two blocks and the head, the head; none: the forward pass alone",
  },
  list: { kind: "flag", help: "what is stored for this machine; measures nothing" },
  clear: { kind: "flag", help: "forget what is stored for this machine; with MODEL, then measure anew" },
} as const satisfies Options;

export const tuning = command({
  name: "tune",
  usage: "MODEL [options]",
  about: "time a model's kernels on this machine, and keep the measurements",
  more: "Every kernel that is right for a call of the model is compared with the reference, then timed. Later runs take the\nfastest; what is measured already is not measured again. Ctrl-C keeps what was measured so far.",
  options: OPTIONS,
  arguments: { least: 0, most: 1 },
  async run({ values, positionals: [name], out, signal }) {
    const { list, clear } = values;
    if (name === undefined && !list && !clear)
      throw new UsageError("thaw tune needs MODEL; see thaw tune --help");
    if (list && (clear || name !== undefined))
      throw new UsageError("--list stands alone: it measures nothing and forgets nothing");
    const idle = (["batch", "image-size", "train"] as const).find((o) => values[o] !== undefined);
    if (name === undefined && idle) throw new UsageError(`--${idle} needs MODEL; see thaw tune --help`);
    const options: TuneOptions = {
      batchSize: values.batch,
      imageSize: values["image-size"],
      train: values.train as Trained | undefined,
      signal,
      onProgress: (step, { done, total, key }) => out.progress(step, done, total, key.split("(")[0]),
    };
    if (name !== undefined) checkTuneOptions(name, options);
    await init({ tune: "cached" });
    const backend = (await runtime().backend()) as GpuBackend;
    if (clear) await clearStored(backend, out);
    if (list) await listStored(backend, out);
    if (name === undefined) return;
    const began = performance.now();
    const { calls, steps, where } = await tuneModel(name, options);
    for (const step of steps.map((s) => s.step))
      tell(
        out,
        calls.filter((c) => c.step === step),
      );
    for (const s of steps)
      out.result(
        { event: "step", ...s },
        `${s.step}: ${ms(s.heuristicMs)} ms by the heuristics, ${ms(s.tunedMs)} ms tuned: ${s.ratio.toFixed(2)} times as fast (medians of ${s.rounds} rounds in turn)`,
      );
    const seconds = (performance.now() - began) / 1000;
    out.result(
      { event: "done", model: name, adapter: backend.name, calls: calls.length, seconds, where },
      `${plural(calls.length, "call")} of ${name} on ${backend.name}, ${duration(seconds)}${where ? `; kept in ${where}` : ""}`,
    );
  },
});

const ms = (v: number | null): string => (v === null ? "–" : v >= 100 ? v.toFixed(0) : v.toPrecision(3));

const chosen = (c: TimedChoice) => showKernel(c.kernel, c.params);

/** What a step gains by one call, in ms. */
const gain = ({ own, best, count }: TunedCall) =>
  own.ms === null || best.ms === null ? 0 : count * (own.ms - best.ms);

/** One line of JSON for each call; for people a table of those for which another kernel was found. */
function tell(out: Output, calls: readonly TunedCall[]): void {
  if (calls.length === 0) return;
  const [{ step }] = calls;
  for (const c of out.json ? calls : []) out.result({ event: "call", ...c, gainMs: gain(c) }, "");
  if (out.json) return;
  const other = calls.filter((c) => !sameChoice(c.own, c.best)).sort((a, b) => gain(b) - gain(a));
  const rows = other.map((c) => [
    `${c.op} ${c.shapes}`,
    c.count,
    chosen(c.own),
    ms(c.own.ms),
    chosen(c.best),
    ms(c.best.ms),
    c.own.ms === null || c.best.ms === null ? "–" : percent(1 - c.best.ms / c.own.ms),
  ]);
  const head = ["call", "runs", "heuristic", "ms", "best", "ms", "gain"];
  const rest = plural(calls.length - other.length, "other call");
  const keep = `${rest} of the ${step} ${calls.length - other.length === 1 ? "keeps" : "keep"} the heuristic's choice`;
  const wrong = calls.reduce((n, c) => n + c.wrong, 0);
  const bad = wrong > 0 ? `; ${plural(wrong, "kernel")} computed wrongly and will not be chosen` : "";
  out.result({}, `${out.strong(step)}\n${rows.length > 0 ? `${table(head, rows)}\n` : ""}${keep}${bad}\n`);
}

async function clearStored(backend: GpuBackend, out: Output): Promise<void> {
  await backend.tuner.clear();
  out.result(
    { event: "cleared", adapter: backend.name },
    `nothing is stored for ${adapterName(backend.adapter)} any more`,
  );
}

async function listStored({ tuner, name }: GpuBackend, out: Output): Promise<void> {
  const records = [...((await tuner.store?.read()) ?? [])];
  const rows = records.map(([key, r]) => {
    const best = r.best ?? r.own;
    const fastest = measurementOf(r, best)?.ms ?? null;
    if (out.json) out.result({ event: "stored", key, ...r }, "");
    return [key.replace(/\{.*$/, ""), showKernel(best.kernel, best.params), ms(fastest), r.measured.length];
  });
  const where = tuner.store?.where ?? null;
  const text = `${plural(records.length, "call")} measured on ${name}${where ? ` (${where})` : ""}`;
  if (!out.json && rows.length > 0) out.result({}, table(["call", "best", "ms", "measured"], rows));
  out.result({ event: "done", adapter: name, calls: records.length, where }, text);
}
