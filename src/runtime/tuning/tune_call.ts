// Measures one call: makes every contender ready on operands of its own, lets those race that the reference finds right,
// and looks at what is about to win once more.

import { DeviceLost, messageOf, OutOfMemory } from "../../core/error.ts";
import type { Tools } from "../../gpu/lone_dispatch.ts";
import type { AnyOp, BareCall, InputSpec, Kernel } from "../../graph/op.ts";
import { PlacedCall, type ReadyKernel } from "../kernel_bench.ts";
import type { Contender } from "./contenders.ts";
import { RowCheck, WholeCheck } from "./judge.ts";
import { operandSpecs, realOperands } from "./operands.ts";
import { duel, isHopeless, lowest, middle, type Racer, race, single } from "./race.ts";
import type { CallRecord, Measured, Verdict } from "./records.ts";

/**
 * A gain below this share is noise, and one below the cost of a dispatch (in ms, on a software device and on a real one)
 * is not worth a pipeline of its own: the heuristic's choice stays.
 */
const LEAST_GAIN = 0.03;
const LEAST_MS = [0.02, 0.002] as const;

/** The baseline computes one output after another: FLOPs per ms, on a software device and on a real one, at worst. */
const SLOW = [5e5, 5e7] as const;

/** A baseline that would take longer than this is not run. */
const HOPELESS_MS = 1000;

const noted = (c: Contender, verdict: Verdict, why?: string): Measured => ({
  kernel: c.kernel.name,
  params: c.params,
  hash: c.hash,
  verdict,
  ms: null,
  median: null,
  samples: 0,
  ...(why === undefined ? {} : { why }),
});

/** Why the baseline is not even tried; null where it is. */
function hopeless(op: AnyOp, call: BareCall): string | null {
  const { flops } = op.cost(call.inputs, call.outputs, call.attrs);
  const ms = flops / SLOW[call.device.software ? 0 : 1];
  return ms > HOPELESS_MS ? `estimated at ${(ms / 1000).toFixed(1)} s` : null;
}

interface Entry extends Racer {
  readonly contender: Contender;
  readonly ready: ReadyKernel;
}

/**
 * The record of one call; the first contender is what would be chosen without measurements. Null where the call cannot
 * be tried: no operands can be drawn for it, or the device has no memory for them.
 */
export async function tuneCall(
  op: AnyOp,
  call: BareCall,
  contenders: readonly Contender[],
  devices: Tools,
): Promise<CallRecord | null> {
  const specs = operandSpecs(op, call);
  if (!specs) return null;
  const placed = await place(call, specs, devices);
  if (!placed) return null;
  try {
    return await new Trial(op, placed, specs).run(contenders);
  } finally {
    placed.close();
  }
}

/** The call on operands of its own; null where there is no memory for them. */
async function place(
  call: BareCall,
  specs: readonly InputSpec[],
  devices: Tools,
): Promise<PlacedCall | null> {
  const { device } = devices.gpu;
  device.pushErrorScope("out-of-memory");
  let placed: PlacedCall | null = null;
  try {
    placed = new PlacedCall(devices, call, realOperands(call, specs));
  } catch (error) {
    if (!(error instanceof OutOfMemory)) throw error;
  } finally {
    if (await device.popErrorScope()) {
      placed?.close();
      placed = null;
    }
  }
  return placed;
}

/** All contenders of one call, from making them ready to what is said of each. */
class Trial {
  readonly #op: AnyOp;
  readonly #placed: PlacedCall;
  readonly #specs: readonly InputSpec[];
  readonly #measured = new Map<Contender, Measured>();
  /** Those that the reference found right. */
  readonly #right: Entry[] = [];
  /** Kernels far behind at their own point: their other points are not tried. */
  readonly #behind = new Map<Kernel, string>();
  readonly #ready: ReadyKernel[] = [];

  constructor(op: AnyOp, placed: PlacedCall, specs: readonly InputSpec[]) {
    this.#op = op;
    this.#placed = placed;
    this.#specs = specs;
  }

  async run(contenders: readonly Contender[]): Promise<CallRecord> {
    const rows = new RowCheck(this.#op, this.#placed, this.#specs);
    try {
      for (const c of contenders) {
        const why = c === contenders[0] ? null : this.#hopeless(c);
        if (why !== null) this.#measured.set(c, noted(c, "hopeless", why));
        else await this.#try(c, rows);
      }
      if (this.#right.length > 0) await race(this.#right);
      return await this.#decide(contenders);
    } finally {
      for (const k of this.#ready) k.close();
    }
  }

  /** Why a contender is not even tried; null where it is. */
  #hopeless({ kernel }: Contender): string | null {
    const isBaseline = kernel === this.#op.kernels[0];
    return this.#behind.get(kernel) ?? (isBaseline ? hopeless(this.#op, this.#placed.call) : null);
  }

  /** Makes a contender ready, has it judged and runs it alone; or notes what is against it. */
  async #try(c: Contender, rows: RowCheck): Promise<void> {
    const note = (verdict: Verdict, why: string) => this.#measured.set(c, noted(c, verdict, why));
    try {
      const ready = await this.#placed.prepare(c.kernel, c.params);
      this.#ready.push(ready);
      const why = await rows.objection(ready, c.kernel.precision === "f16");
      if (why !== null) {
        note("wrong", why);
        return;
      }
      const shortest = Math.min(...this.#right.map((e) => e.once));
      const once = await single(ready, shortest);
      this.#right.push({ contender: c, ready, once, samples: [] });
      if (isHopeless(once, shortest))
        this.#behind.set(c.kernel, `${(once / shortest).toFixed(0)} times as slow at another point`);
    } catch (error) {
      if (error instanceof DeviceLost) throw error;
      note("failed", messageOf(error).split("\n")[0]);
    }
  }

  /** The best that is also right in every element: what is found wrong there leaves, and the next is looked at. */
  async #decide(contenders: readonly Contender[]): Promise<CallRecord> {
    const right = this.#right;
    const standard = right.find((e) => e.contender.kernel === this.#op.kernels[0]) ?? right[0];
    const whole = new WholeCheck(this.#op, this.#placed, this.#specs, standard?.ready ?? null);
    let best: Entry | null = null;
    while (right.length > 0 && !best) {
      const entry = await this.#fastest(contenders[0]);
      // Whole numbers beyond 2,048 are not exact in half precision.
      const half = entry.contender.kernel.precision === "f16";
      const why = half ? null : await whole.objection(entry.ready);
      if (why === null) best = entry;
      else {
        right.splice(right.indexOf(entry), 1);
        this.#measured.set(entry.contender, noted(entry.contender, "wrong", why));
      }
    }
    for (const e of right) this.#measured.set(e.contender, timed(e));
    const list = contenders.map((c) => this.#measured.get(c) as Measured);
    const choice = ({ kernel, params }: Measured) => ({ kernel, params });
    return {
      best: best && choice(timed(best)),
      own: choice(list[0]),
      measured: list,
      at: new Date().toISOString(),
    };
  }

  /** The fastest, unless what would be chosen anyway is as good. */
  async #fastest(chosen: Contender): Promise<Entry> {
    const own = this.#right.find((e) => e.contender === chosen);
    const first = this.#right.reduce((best, e) => (lowest(e) < lowest(best) ? e : best));
    if (!own || first === own) return first;
    const ms = LEAST_MS[this.#placed.call.device.software ? 0 : 1];
    const worthIt = lowest(first) <= Math.min((1 - LEAST_GAIN) * lowest(own), lowest(own) - ms);
    return worthIt && (await duel(own, first, LEAST_GAIN, ms)) ? first : own;
  }
}

/** What a clock can tell, and no more for the file. */
const digits = (ms: number): number => Number(ms.toPrecision(6));

const timed = (e: Entry): Measured => ({
  ...noted(e.contender, "timed"),
  ms: digits(lowest(e)),
  median: digits(middle(e)),
  samples: e.samples.length,
});
