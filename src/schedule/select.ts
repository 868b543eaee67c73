// Which kernel runs a call: the one that a former run of the same training chose, the one that was measured to be the
// fastest, or the one that looks best. Every choice is kept by key, because bit-identity holds for one choice of kernels.

import { show } from "../core/shape.ts";
import { attrsKey } from "../graph/node.ts";
import type { AnyOp, Call, Kernel, Params } from "../graph/op.ts";

export interface Choice {
  readonly kernel: string;
  readonly params: Params;
}

/** Choices by call key; part of a checkpoint. */
export type Choices = Map<string, Choice>;

/** What a choice hangs on: the call's types, attributes, and how its operands are aligned. */
export function callKey(op: AnyOp, call: Omit<Call, "params">): string {
  const place = (o: (typeof call.inputs)[number]) =>
    `${show(o)}${o.offset % 4 || o.batchStride % 4 ? "~" : ""}`;
  return `${op.name}(${call.inputs.map(place).join(",")})→${call.outputs.map(place).join(",")}${attrsKey(call.attrs)}`;
}

export function defaultParams(kernel: Kernel, call: Omit<Call, "params">): Params {
  const first = Object.fromEntries(Object.entries(kernel.space ?? {}).map(([k, v]) => [k, v[0]]));
  const empty: Params = {};
  return { ...first, ...kernel.pick?.({ ...call, params: empty }) };
}

/** Kernels that are right for the call, the baseline included. */
export function candidates(op: AnyOp, call: Omit<Call, "params">): Kernel[] {
  return op.kernels.filter((k) => !k.when || k.when({ ...call, params: defaultParams(k, call) }));
}

/** What is chosen without measurements: the kernel of the best score, at its own point. */
export function heuristic(op: AnyOp, call: Omit<Call, "params">): { kernel: Kernel; params: Params } {
  const score = (k: Kernel) => k.score?.({ ...call, params: {} }) ?? 0;
  const kernel = candidates(op, call).reduce((best, k) => (score(k) > score(best) ? k : best));
  return { kernel, params: defaultParams(kernel, call) };
}

/** The choice that measurements of this machine say is best; null where there are none. */
export type Tuned = (op: AnyOp, call: Omit<Call, "params">) => Choice | null;

/** The choice of a former run, else the measured one, else the heuristic's; it is kept by the call's key. */
export function select(
  op: AnyOp,
  call: Omit<Call, "params">,
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
  const chosen = found(tuned?.(op, call)) ?? heuristic(op, call);
  choices.set(key, { kernel: chosen.kernel.name, params: chosen.params });
  return chosen;
}
