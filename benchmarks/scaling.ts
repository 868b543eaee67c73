// node benchmarks/scaling.ts --help
// How time and memory of a training step grow with the batch, the picture, the depth of the network, and the share of it
// that is frozen.

import { fileURLToPath } from "node:url";
import { mib } from "../src/core/bytes.ts";
import { ThawError } from "../src/core/error.ts";
import { freeze, init, models } from "../src/index.ts";
import { planBytes } from "../src/schedule/memory.ts";
import { parse } from "./arguments.ts";
import { checkModel } from "./check.ts";
import { runCommand } from "./command.ts";
import { digits, percent } from "./format.ts";
import { bar, type Fit, fitLine, fitPower, withUncertainty } from "./growth.ts";
import { Calibration, openBench } from "./machine.ts";
import { sayMachine } from "./machine_line.ts";
import { frozenShare, stepFlops } from "./network_cost.ts";
import { type Report, round, table } from "./report.ts";
import {
  depthOf,
  foretellMs,
  type Model,
  type Series,
  type Setting,
  seriesOf,
  settingKey,
  tooLong,
} from "./scaling_points.ts";
import { sayChecks } from "./step_course.ts";
import { type Row, timeSteps } from "./steps.ts";
import { backend, type StepOn, ThawEngine, trainingStep } from "./thaw.ts";

const HELP = `node benchmarks/scaling.ts [--quick] [--json]

How time and memory of a training step of DenseNet grow: with the batch (1 to 64), the picture (64 to 448), the depth
(DenseNet-121, 169, 201) and the share of the network that is frozen. Growth is fitted, as a power law (of the frozen share
as a line), with the standard error of the fit. Points that would take over 30 s a step, by the multiply-adds and what
the point before took, are left out and said.

  --quick        a few points of each
  --json         one JSON object a line on standard output, everything else on standard error
  --help         this text
`;

interface ScalingOptions {
  readonly quick: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

export function readScaling(args: readonly string[]): ScalingOptions {
  const v = parse(args, { quick: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean" } });
  return { quick: v.quick ?? false, json: v.json ?? false, help: v.help ?? false };
}

/** A setting with what the cost model says of it. */
interface Planned {
  readonly setting: Setting;
  readonly flops: number;
  readonly share: number;
}

interface Measured {
  readonly row: Row;
  readonly planBytes: number;
}

/** Why a point has no numbers. */
type Outcome = Measured | { readonly why: string };

function planned(all: readonly Series[]): Planned[] {
  const settings = new Map(all.flatMap((s) => s.settings).map((s) => [settingKey(s), s]));
  const built = new Map<Model, models.DenseNet>();
  const modelOf = (name: Model) => {
    const model = built.get(name) ?? models[name]();
    built.set(name, model);
    return model;
  };
  return [...settings.values()].map((setting) => {
    const { batch, size, frozen } = setting;
    const model = modelOf(setting.model);
    return {
      setting,
      flops: stepFlops(model, batch, size, frozen),
      share: frozenShare(model, size, frozen),
    };
  });
}

/** Builds the network and its step on the device that has just been opened. */
function stepOf({ model: name, batch, size, frozen }: Setting): StepOn {
  const model = models[name]();
  model.train();
  if (frozen > 0) freeze(model.features.slice(0, frozen));
  return trainingStep(model, batch, size);
}

async function measure(setting: Setting, quick: boolean): Promise<Outcome> {
  const engine = new ThawEngine();
  try {
    await engine.loadStep(() => stepOf(setting));
    const calibration = await Calibration.open(await openBench((await backend()).gpu));
    const rounds = quick ? { least: 2, most: 2, budgetMs: 0 } : { least: 3, most: 15, budgetMs: 6_000 };
    const [row] = await timeSteps([engine], calibration, rounds);
    calibration.close();
    return { row, planBytes: planBytes(await engine.plan()) };
  } catch (error) {
    // A point that does not fit into memory says so, and the smaller ones stand.
    if (!(error instanceof ThawError)) throw error;
    return { why: error.message };
  } finally {
    await engine.close();
  }
}

function sayPoint(
  { setting, flops, share }: Planned,
  foretoldMs: number | null,
  outcome: Outcome,
  report: Report,
) {
  const { model, batch, size, frozen } = setting;
  const head = { kind: "scaling", model, shape: [batch, 3, size, size], frozenBlocks: frozen };
  const cost = {
    frozenShare: round(share),
    gflop: round(flops / 1e9),
    foretoldMs: foretoldMs && round(foretoldMs),
  };
  if ("why" in outcome) {
    report.line({ ...head, ...cost, ms: null, why: outcome.why });
    report.phase(`${settingKey(setting)} is left out: ${outcome.why}`);
    return;
  }
  const { row } = outcome;
  report.line({
    ...head,
    ...cost,
    ms: round(row.ms),
    p10: round(row.p10),
    p90: round(row.p90),
    n: row.n,
    cpuMs: row.cpuMs === null ? null : round(row.cpuMs),
    calibrationMs: round(row.calibrationMs),
    inCalibrations: round(row.inCalibrations),
    planBytes: outcome.planBytes,
    gpuBytes: row.gpuBytes,
  });
}

/** Measures the points, the cheapest first, each foretold from the one before. */
async function measureAll(
  points: readonly Planned[],
  quick: boolean,
  report: Report,
): Promise<Map<string, Outcome>> {
  const out = new Map<string, Outcome>();
  let before: { flops: number; ms: number } | null = null;
  const cheapestFirst = [...points].sort((a, b) => a.flops - b.flops);
  for (const [i, p] of cheapestFirst.entries()) {
    const key = settingKey(p.setting);
    report.progress(`step ${i + 1} of ${points.length}: ${key}`);
    const foretold = foretellMs(before, p.flops);
    const why = tooLong(foretold);
    const outcome: Outcome = why === null ? await measure(p.setting, quick) : { why };
    out.set(key, outcome);
    if ("row" in outcome) before = { flops: p.flops, ms: outcome.row.ms };
    sayPoint(p, foretold, outcome, report);
  }
  return out;
}

/** Where a setting lies on its axis: the number that is varied. */
function placeOn(axis: Series["axis"], { setting, share }: Planned): number {
  if (axis === "depth") return depthOf(setting.model);
  return axis === "frozen" ? share : setting[axis];
}

interface Place {
  readonly x: number;
  readonly ms: number;
  readonly bytes: number;
}

function sayGrowth(
  { axis }: Series,
  of: "ms" | "planBytes",
  places: readonly Place[],
  report: Report,
): string {
  const name = of === "ms" ? "time" : "memory";
  if (places.length < 2) return `${name}: one point shows no growth`;
  const xs = places.map((p) => p.x);
  const ys = places.map((p) => (of === "ms" ? p.ms : p.bytes));
  const law = axis === "frozen" ? "line" : "power";
  const fit: Fit =
    law === "line"
      ? fitLine(
          xs,
          ys.map((y) => y / ys[0]),
        )
      : fitPower(xs, ys);
  const { slope, uncertainty, points } = fit;
  report.line({
    kind: "growth",
    axis,
    of,
    law,
    [law === "line" ? "slope" : "exponent"]: round(slope),
    uncertainty: uncertainty === null ? null : round(uncertainty),
    points,
  });
  const text = withUncertainty(fit);
  return law === "line"
    ? `${name}: relative to nothing frozen, changes by ${text} from nothing frozen to all (${points} points)`
    : `${name} grows as ${axis} to the power of ${text} (${points} points)`;
}

function sayAll(
  all: readonly Series[],
  points: readonly Planned[],
  outcomes: Map<string, Outcome>,
  report: Report,
) {
  const known = new Map(points.map((p) => [settingKey(p.setting), p]));
  for (const series of all) {
    const places = series.settings.flatMap((s) => {
      const outcome = outcomes.get(settingKey(s)) as Outcome;
      if (!("row" in outcome)) return [];
      const x = placeOn(series.axis, known.get(settingKey(s)) as Planned);
      return [{ x, ms: outcome.row.ms, bytes: outcome.planBytes }];
    });
    const growth = (["ms", "planBytes"] as const).map((of) => sayGrowth(series, of, places, report));
    const largest = Math.max(...places.map((p) => p.ms));
    const shown = (x: number) => (series.axis === "frozen" ? percent(x) : `${x}`);
    const rows = places.map((p) => [shown(p.x), digits(p.ms), mib(p.bytes), bar(p.ms, largest)]);
    report.text(`\n${table([series.axis, "ms", "plan", series.title], rows)}\n${growth.join("\n")}`);
  }
}

async function run(o: ScalingOptions, report: Report): Promise<void> {
  await init({ seed: 1 });
  await sayMachine(await openBench((await backend()).gpu), report);
  report.phase("verifying the network");
  sayChecks(report, "thaw", await checkModel());
  const all = seriesOf(o.quick);
  const points = planned(all);
  report.phase(`timing ${points.length} steps`);
  sayAll(all, points, await measureAll(points, o.quick, report), report);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await runCommand({ help: HELP, read: readScaling, run }, process.argv.slice(2));
