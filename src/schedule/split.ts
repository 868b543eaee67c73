// Splitting: a node whose operands exceed the binding limit, whose grid exceeds the device's, or which would run too
// long, is cut along an axis that its op allows; the parts are put together again side by side, by addition, or by the
// op's own merge. What was one node is then many, of the same kind.

import { DeviceError } from "../core/error.ts";
import { numel, show } from "../core/shape.ts";
import type { Assign, StateSlice } from "../graph/leaf.ts";
import { StateRead } from "../graph/leaf.ts";
import { apply, leaf, type Node, type Value } from "../graph/node.ts";
import type { SplitAxis } from "../graph/op.ts";
import { call, concat, slice } from "../ops/build.ts";
import type { TooLarge } from "./lower.ts";
import { rebuild, type WorkGraph } from "./work_graph.ts";

/** Elements [from, to) of a value along an axis; a slice of state is read where it lies. */
function part(v: Value, axis: number, from: number, to: number): Value {
  const { source } = v.node;
  if (axis !== 0 || source?.kind !== "state") return slice(v, axis, from, to);
  const row = numel(v.shape.slice(1));
  const own: StateSlice = {
    ...source.slice,
    offset: source.slice.offset + from * row,
    shape: [to - from, ...v.shape.slice(1)],
  };
  return leaf(
    new StateRead(own, source.version),
    own,
    `p${own.storage.id}.${source.version}@${own.offset}[${own.shape.join(",")}]`,
  );
}

/** Whether cutting along this axis makes the window of a value smaller: only its outermost extent does. */
const narrows = (v: Value, axis: number) => v.shape.slice(0, axis).every((d) => d === 1);

/** The axis that narrows the most of what is too large, concatenation before addition; null when none can be cut. */
function chooseAxis(t: TooLarge, axes: readonly SplitAxis[]): SplitAxis | null {
  const { node, values } = t;
  const count = (a: SplitAxis, good: (v: Value, d: number) => boolean) =>
    values.filter((v) => {
      const inputs = node.inputs.flatMap((x, i) => (x === v ? [a.inputs[i]] : []));
      const outputs = node.outputs.flatMap((y, o) => (y === v ? [a.outputs[o]] : []));
      return [...inputs, ...outputs].every((d) => d !== null && good(v, d));
    }).length;
  const usable = axes.filter((a) => a.extent > 1 && (values.length === 0 || count(a, () => true) > 0));
  const rank = (a: SplitAxis) =>
    100 * count(a, narrows) + 10 * count(a, () => true) + (a.merge === "concat" ? 1 : 0);
  return usable.reduce<SplitAxis | null>(
    (best, a) => (best === null || rank(a) > rank(best) ? a : best),
    null,
  );
}

function bounds(axis: SplitAxis, parts: number): number[] {
  const step = axis.multiple ?? 1;
  const size = Math.max(step, Math.ceil(axis.extent / parts / step) * step);
  const out = [0];
  while (out[out.length - 1] < axis.extent) out.push(Math.min(axis.extent, out[out.length - 1] + size));
  return out;
}

export interface Cut {
  readonly outputs: readonly Value[];
  /** Per output its parts and where each begins, for outputs cut along axis 0. */
  readonly rows: ReadonlyMap<Value, readonly { readonly value: Value; readonly from: number }[]>;
}

function cutNode(node: Node, inputs: readonly Value[], axis: SplitAxis, parts: number): Cut {
  const op = node.op as NonNullable<Node["op"]>;
  const at = bounds(axis, parts);
  const pieces = at.slice(1).map((to, k) => {
    const from = at[k];
    const cut = inputs.map((v, i) => {
      const [d, unit] = [axis.inputs[i], axis.inputUnits?.[i] ?? 1];
      return d === null ? v : part(v, d, from * unit, to * unit);
    });
    return { from, extent: to - from, outputs: apply(op, cut, axis.attrs?.(from, to) ?? node.attrs) };
  });
  const rows = new Map<Value, { value: Value; from: number }[]>();
  if (axis.merge === "custom") {
    const merged = op.mergeParts?.(
      pieces.map((p) => p.outputs),
      pieces.map((p) => p.extent),
      node.attrs,
    );
    return { outputs: merged as readonly Value[], rows };
  }
  const outputs = node.outputs.map((_, o) => {
    const values = pieces.map((p) => p.outputs[o]);
    const d = axis.outputs[o];
    if (d === null) return values.reduce((a, b) => call("accumulate", [a, b]));
    const whole = concat(values, d);
    if (d === 0)
      rows.set(
        whole,
        pieces.map((p, k) => ({ value: values[k], from: p.from * (axis.outputUnits?.[o] ?? 1) })),
      );
    return whole;
  });
  return { outputs, rows };
}

/** Cuts every node of the list; throws when one that cannot run whole cannot be cut. */
export function split(g: WorkGraph, tooLarge: readonly TooLarge[], limit: number): WorkGraph {
  const wanted = new Map<Node, TooLarge>();
  for (const t of tooLarge) {
    const known = wanted.get(t.node);
    const values = [...new Set([...(known?.values ?? []), ...t.values])];
    wanted.set(t.node, {
      node: t.node,
      values,
      parts: Math.max(t.parts, known?.parts ?? 1),
      hard: t.hard || (known?.hard ?? false),
    });
  }
  const rows = new Map<Value, readonly { value: Value; from: number }[]>();
  return rebuild(
    g,
    (node, inputs) => {
      const t = wanted.get(node);
      if (!t) return null;
      const axis = chooseAxis(t, node.op?.split?.(node.inputs, node.outputs, node.attrs) ?? []);
      if (!axis) {
        if (t.hard)
          throw new DeviceError(
            `${node.op?.name}: ${node.inputs.map(show).join(", ")} → ${node.outputs.map(show).join(", ")} exceeds what this device can bind (${limit} bytes) or dispatch at once, and cannot be cut further`,
          );
        return null;
      }
      const cut = cutNode(node, inputs, axis, t.parts);
      for (const [whole, list] of cut.rows) rows.set(whole, list);
      return cut.outputs;
    },
    (e, value) => splitEffect(e, value, rows.get(value)),
  );
}

/** An assignment of a value cut along axis 0 becomes one of each part. */
function splitEffect(
  e: Assign,
  value: Value,
  parts: readonly { value: Value; from: number }[] | undefined,
): readonly Assign[] {
  if (!parts) return [{ ...e, value }];
  const row = numel(value.shape.slice(1));
  return parts.map((p) => ({
    ...e,
    value: p.value,
    slice: { ...e.slice, offset: e.slice.offset + p.from * row, shape: p.value.shape },
  }));
}
