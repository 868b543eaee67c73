// Which kernel runs a call: the one that a former run of the same training chose, the one that was measured to be the
// fastest, or the one that looks best. Every choice is kept by key, because bit-identity holds for one choice of kernels.

import { hash53 } from "../core/hash.ts";
import { Generator } from "../core/random.ts";
import { show } from "../core/shape.ts";
import { attrsKey } from "../graph/node.ts";
import type { AnyOp, BareCall, Kernel, Params } from "../graph/op.ts";

export interface Choice {
  readonly kernel: string;
  readonly params: Params;
}

/** Choices by call key; part of a checkpoint. */
export type Choices = Map<string, Choice>;

/** What a choice hangs on: the call's types, attributes, and how its operands are aligned. */
export function callKey(op: AnyOp, call: BareCall): string {
  const place = (o: (typeof call.inputs)[number]) =>
    `${show(o)}${o.offset % 4 || o.batchStride % 4 ? "~" : ""}`;
  return `${op.name}(${call.inputs.map(place).join(",")})→${call.outputs.map(place).join(",")}${attrsKey(call.attrs)}`;
}

export function defaultParams(kernel: Kernel, call: BareCall): Params {
  const first = Object.fromEntries(Object.entries(kernel.space ?? {}).map(([k, v]) => [k, v[0]]));
  const empty: Params = {};
  return { ...first, ...kernel.pick?.({ ...call, params: empty }) };
}

/** A kernel's own point, then all others of its space: `most` at most, a seeded choice of them where there are more. */
export function points(op: AnyOp, kernel: Kernel, call: BareCall, most: number): Params[] {
  const own = defaultParams(kernel, call);
  let list: Params[] = [{}];
  for (const [k, values] of Object.entries(kernel.space ?? {}))
    list = list.flatMap((p) => values.map((v) => ({ ...p, [k]: v })));
  const others = list.filter((p) => Object.keys(p).some((k) => p[k] !== own[k]));
  if (others.length < most) return [own, ...others];
  const random = new Generator(hash53(`${op.name} ${kernel.name}`) % 2 ** 32);
  return [own, ...random.shuffle(others).slice(0, most - 1)];
}

/** `TG=1 SP=8`. */
export const showParams = (params: Params): string =>
  Object.entries(params)
    .map(([k, v]) => `${k}=${v}`)
    .join(" ");

/** `strip_sg(TG=1 SP=8)`. */
export function showKernel(kernel: string, params: Params): string {
  const at = showParams(params);
  return at ? `${kernel}(${at})` : kernel;
}

/** How good a kernel is expected to be for the call. */
export const scoreOf = (kernel: Kernel, call: BareCall): number => {
  const empty: Params = {};
  return kernel.score?.({ ...call, params: empty }) ?? 0;
};

/** Kernels that are right for the call, the baseline included. */
export function candidates(op: AnyOp, call: BareCall): Kernel[] {
  return op.kernels.filter((k) => !k.when || k.when({ ...call, params: defaultParams(k, call) }));
}

/** What is chosen without measurements: the kernel of the best score, at its own point. */
export function heuristic(
  op: AnyOp,
  call: BareCall,
  fit: readonly Kernel[] = candidates(op, call),
): { kernel: Kernel; params: Params } {
  const kernel = fit.reduce((best, k) => (scoreOf(k, call) > scoreOf(best, call) ? k : best));
  return { kernel, params: defaultParams(kernel, call) };
}

/** The choice that measurements of this machine say is best; null where there are none. */
export type Tuned = (op: AnyOp, call: BareCall) => Choice | null;

/** The choice of a former run, else the measured one, else the heuristic's; it is kept by the call's key. */
export function select(
  op: AnyOp,
  call: BareCall,
  choices: Choices,
  tuned?: Tuned,
): { kernel: Kernel; params: Params } {
  const key = callKey(op, call);
  const fit = candidates(op, call);
  const found = (c: Choice | null | undefined) => {
    const kernel = c && fit.find((k) => k.name === c.kernel);
    return kernel ? { kernel, params: c.params } : null;
  };
  const made = found(choices.get(key));
  if (made) return made;
  const chosen = found(tuned?.(op, call)) ?? heuristic(op, call, fit);
  choices.set(key, { kernel: chosen.kernel.name, params: chosen.params });
  return chosen;
}
