// Applying an op to variables: builds the graph node and, where an input wants a gradient, remembers the application.
// Build rules may replace an application by an equal one before it is recorded (see schedule/rewrites).

import type { Attrs, Value } from "../graph/node.ts";
import { apply, attrsKey } from "../graph/node.ts";
import type { AnyOp } from "../graph/op.ts";
import { opNamed } from "../graph/op.ts";
import type { BuildRule, Origin } from "../graph/rule.ts";
import { at, type Site, siteNow } from "../graph/site.ts";
import type { Creator } from "./variable.ts";
import { Variable } from "./variable.ts";

/** How a variable was made, through the tape where it is tracked, else through the graph. */
export function originOf(v: Variable): Origin<Variable> | null {
  if (v.creator) return { ...v.creator, index: v.creator.outputs.indexOf(v) };
  if (v.state || v.result) return null;
  const { node, index } = v.value;
  if (!node.op) return null;
  return {
    op: node.op,
    attrs: node.attrs,
    inputs: node.inputs.map((i) => new Variable(i, { value: i })),
    index,
    site: node.site,
  };
}

let sequence = 0;

export interface ApplyContext {
  readonly rules: readonly BuildRule[];
  /** False under noGrad. */
  readonly tracking: boolean;
  /** Told of every variable made. */
  readonly made: (v: Variable) => void;
  /** What build rules have made in this trace, by operation and variables: made once, so that gradients meet in it. */
  readonly shared: Map<string, readonly Variable[]>;
}

/** The same application of the same variables in this trace is made once. */
function applyShared(
  ctx: ApplyContext,
  name: string,
  inputs: readonly Variable[],
  attrs: Attrs,
  make: () => readonly Variable[],
): readonly Variable[] {
  const operand = (v: Variable) => `${v.requiresGrad ? v.id : "-"}:${v.value.id}`;
  const key = `${name}|${attrsKey(attrs)}|${ctx.tracking}|${inputs.map(operand).join(",")}`;
  const known = ctx.shared.get(key);
  if (known?.every((v) => !v.released)) return known;
  const made = make();
  ctx.shared.set(key, made);
  return made;
}

/** Applies the named op; the outputs are tracked when an input is and tracking is on. */
export function applyTo(
  ctx: ApplyContext,
  name: string,
  inputs: readonly Variable[],
  attrs: Attrs = {},
): readonly Variable[] {
  const share = ctx.rules.some((r) => r.op === name && r.share);
  const make = () => applyOnce(ctx, name, inputs, attrs);
  return share ? applyShared(ctx, name, inputs, attrs, make) : make();
}

function applyOnce(
  ctx: ApplyContext,
  name: string,
  inputs: readonly Variable[],
  attrs: Attrs,
): readonly Variable[] {
  const build = (n: string, i: readonly Variable[], a: Attrs, site: Site = siteNow()) =>
    at(site, () => applyShared(ctx, n, i, a, () => applyTo(ctx, n, i, a)));
  for (const rule of ctx.rules) {
    if (rule.op !== name) continue;
    const replaced = rule.replace(inputs, attrs, { originOf, build });
    if (replaced) return replaced;
  }
  const op = opNamed(name);
  const values = apply(
    op,
    inputs.map((v) => v.value),
    attrs,
  );
  return record(ctx, op, attrs, inputs, values);
}

function record(
  ctx: ApplyContext,
  op: AnyOp,
  attrs: Attrs,
  inputs: readonly Variable[],
  values: readonly Value[],
): Variable[] {
  const outputs = values.map((value) => new Variable(value, { value }));
  const tracked = ctx.tracking && op.vjp !== undefined && inputs.some((v) => v.requiresGrad);
  if (tracked) {
    const read = inputs.map((v) => v.reading);
    const creator: Creator = { sequence: sequence++, op, attrs, inputs, outputs, read, site: siteNow() };
    for (const v of outputs) {
      // Only real numbers have gradients: the positions that a max pool returns do not.
      v.requiresGrad = v.dtype === "f32";
      v.creator = creator;
    }
  }
  for (const v of outputs) ctx.made(v);
  return outputs;
}
