// Which kernel runs a call: the best of those that are right for it, or the one that a former run of the same training
// chose. Every choice is kept by key, because bit-identity holds for one choice of kernels.

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

export function select(
  op: AnyOp,
  call: Omit<Call, "params">,
  choices: Choices,
): { kernel: Kernel; params: Params } {
  const key = callKey(op, call);
  const fit = candidates(op, call);
  const made = choices.get(key);
  const known = made && fit.find((k) => k.name === made.kernel);
  if (made && known) return { kernel: known, params: made.params };
  const score = (k: Kernel) => k.score?.({ ...call, params: {} }) ?? 0;
  const kernel = fit.reduce((best, k) => (score(k) > score(best) ? k : best));
  const params = defaultParams(kernel, call);
  choices.set(key, { kernel: kernel.name, params });
  return { kernel, params };
}
