// Rewrite "normalizeBackward": the gradient of a batch norm whose parameters or statistics want theirs too, put
// together as it is used.
//   - The input's gradient and the sums are made in one walk over g and x; where that gradient is only added to a
//     tensor (the gradient of a dense block's maps), the walk adds it there.
//   - Where it is only added to what comes back through the batch's own statistics, which need the sums first, one pass
//     after the sums makes both.
//   - What comes back through the statistics is added to the tensor that it is for in the same pass.
//   - The gradients of the statistics are added where other readers of the same maps have left theirs.

import { sameShape } from "../../core/shape.ts";
import type { Node, Value } from "../../graph/node.ts";
import { call, callMany } from "../../ops/build.ts";
import { rebuild, type Uses, usesOf, type WorkGraph } from "../work_graph.ts";

/** The gradients of one batch norm: nodes on the same g, x and statistics. */
interface Norm {
  readonly input: Node;
  readonly sums: Node;
  /** The addition that alone reads the input's gradient, and its other operand. */
  readonly sum: Addition | null;
  /** That operand is what comes back through the statistics. */
  readonly closed: boolean;
  /** The additions that alone read the gradients of mean and variance; null where one of them is not only added. */
  readonly stats: readonly [Addition, Addition] | null;
}

interface Addition {
  readonly node: Node;
  readonly other: Value;
}

const isOp = (node: Node, op: string) => node.op?.name === op;

const keyOf = ({ inputs, attrs }: Node) => `${inputs.map((v) => v.id)}|${attrs.eps}|${attrs.relu}`;

/** The addition of two tensors of one shape that alone reads v. */
function additionOf(v: Value, uses: Uses): Addition | null {
  const readers = uses.consumers.get(v) ?? [];
  if (readers.length !== 1 || uses.held.has(v)) return null;
  const [{ node, input }] = readers;
  const other = node.inputs[1 - input];
  return isOp(node, "add") && sameShape(other.shape, v.shape) ? { node, other } : null;
}

/** Whether v is a statsInput of the same x and mean from the gradients that these sums give, and nobody else reads it. */
function closes(v: Value, { input, sums }: Pick<Norm, "input" | "sums">, uses: Uses): boolean {
  const [x, mean, gm, gv] = v.node.inputs;
  if (!isOp(v.node, "statsInput") || x !== input.inputs[1] || mean !== input.inputs[2]) return false;
  const own = gm.node === gv.node && isOp(gm.node, "normalizeStatsGrad") && gm.node.inputs[0].node === sums;
  return own && additionOf(v, uses) !== null;
}

/** The additions of the gradients that a batch norm's statistics get from these sums to those from elsewhere. */
function statsAdditions(sums: Node, uses: Uses): [Addition, Addition] | null {
  const readers = uses.consumers.get(sums.outputs[0]) ?? [];
  const grads = readers.find(({ node }) => isOp(node, "normalizeStatsGrad"))?.node;
  if (grads?.inputs[1].node !== sums) return null;
  const [mean, variance] = grads.outputs.map((v) => additionOf(v, uses));
  return mean && variance ? [mean, variance] : null;
}

function findNorms(g: WorkGraph, uses: Uses): Norm[] {
  const sumsOf = new Map(g.nodes.filter((n) => isOp(n, "normalizeSums")).map((n) => [keyOf(n), n]));
  const order = new Map(g.nodes.map((n, i) => [n, i]));
  return g.nodes.flatMap((input): Norm[] => {
    const sums = isOp(input, "normalizeInput") ? sumsOf.get(keyOf(input)) : undefined;
    if (!sums) return [];
    const sum = additionOf(input.outputs[0], uses);
    const closed = sum !== null && closes(sum.other, { input, sums }, uses);
    // The walk runs where the first of its results is wanted: a tensor that is made later cannot be added there.
    const first = Math.min(order.get(input) as number, order.get(sums) as number);
    const made = (a: Addition) => (order.get(a.other.node) as number) < first;
    const late = sum !== null && !closed && !made(sum);
    const stats = statsAdditions(sums, uses);
    return [{ input, sums, sum: late ? null : sum, closed, stats: stats?.every(made) ? stats : null }];
  });
}

const affineOf = (norm: Node, inputs: readonly Value[]) =>
  callMany("normalizeAffine", inputs.slice(2), { eps: norm.attrs.eps });

/** What one walk gives: the input's gradient (with what it was added to), then those of b, w, mean and variance. */
interface Walked {
  readonly gx: Value;
  readonly gb: Value;
  readonly gw: Value;
  readonly gmean: Value;
  readonly gvar: Value;
}

function walk({ input, sum, stats }: Norm, inputs: readonly Value[], now: (v: Value) => Value): Walked {
  const [g, x, mean, variance, w] = inputs;
  const [s, t] = affineOf(input, inputs);
  const before = sum ? [now(sum.other)] : [];
  const attrs = { relu: input.attrs.relu, before: sum !== null };
  const [gx, s1, d] = callMany("normalizePass", [g, x, s, t, mean, ...before], attrs);
  const held = stats ? stats.map((a) => now(a.other)) : [];
  const finish = { eps: input.attrs.eps, before: stats !== null };
  const [gb, gw, gmean, gvar] = callMany("normalizeFinish", [s1, d, variance, w, ...held], finish);
  return { gx, gb, gw, gmean, gvar };
}

/** The gradient of a batch norm's input with what comes back through its own statistics. */
function corrected({ input }: Norm, stats: Node, now: (v: Value) => Value): Value {
  const inputs = input.inputs.map(now);
  const [s, t] = affineOf(input, inputs);
  const [x, mean, gm, gv] = stats.inputs;
  const attrs = { relu: input.attrs.relu, count: stats.attrs.count };
  return call("normalizeCorrected", [inputs[0], x, s, t, mean, gm, gv], attrs);
}

/** An addition of what comes back through the statistics to another tensor, as one pass. */
function addedStats(node: Node, inputs: readonly Value[], uses: Uses): readonly Value[] | null {
  const at = isOp(node, "add") ? node.inputs.findIndex((v) => isOp(v.node, "statsInput")) : -1;
  if (at < 0 || additionOf(node.inputs[at], uses)?.node !== node) return null;
  const stats = inputs[at].node;
  const [x, ...vectors] = stats.inputs;
  return [call("statsInput", [x, inputs[1 - at], ...vectors], { ...stats.attrs, before: true })];
}

export function normalizeBackward(g: WorkGraph): WorkGraph {
  const uses = usesOf(g);
  const norms = findNorms(g, uses);
  const open = norms.filter((n) => !n.closed);
  const closed = norms.filter((n) => n.closed);
  const walks = new Map(open.flatMap((n) => [n.input, n.sums].map((node) => [node, n] as const)));
  const absorbed = new Map(open.flatMap((n) => (n.sum ? [[n.sum.node, n] as const] : [])));
  const added = new Map(
    open.flatMap((n) => (n.stats ?? []).map((a, i) => [a.node, [n, i === 0 ? "gmean" : "gvar"]] as const)),
  );
  const closing = new Map(closed.map((n) => [(n.sum as Addition).node, n]));
  const dead = new Set(closed.map((n) => n.input));
  const done = new Map<Norm, Walked>();
  /** By a walk's gradient of b, which a normalizeStatsGrad reads. */
  const bySum = new Map<Value, Walked>();
  return rebuild(g, (node, inputs, now) => {
    // Nothing reads it any more: its place is held by g.
    if (dead.has(node)) return [inputs[0]];
    const norm = walks.get(node);
    if (norm) {
      const made = done.get(norm) ?? walk(norm, inputs, now);
      done.set(norm, made);
      bySum.set(made.gb, made);
      return node === norm.input ? [made.gx] : [made.gb, made.gw];
    }
    const through = isOp(node, "normalizeStatsGrad") ? bySum.get(inputs[0]) : undefined;
    if (through) return [through.gmean, through.gvar];
    const into = absorbed.get(node);
    if (into) return [(done.get(into) as Walked).gx];
    const total = added.get(node);
    if (total) return [(done.get(total[0]) as Walked)[total[1]]];
    const close = closing.get(node);
    if (close) return [corrected(close, now((close.sum as Addition).other).node, now)];
    return addedStats(node, inputs, uses);
  });
}
