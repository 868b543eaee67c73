// Rewrite "elementwiseChains": a tree of elementwise ops of one shape, whose inner values nobody else reads, becomes one
// `chain` with a kernel of its own. What lies between is neither written nor read: one pass over memory instead of one
// for each op, and the same bits. Work that is computed apart from the run stays as it is, it would not pay for a kernel.

import { numel, sameShape } from "../../core/shape.ts";
import type { Attr, Node, Value } from "../../graph/node.ts";
import { call } from "../../ops/build.ts";
import type { ChainStep } from "../../ops/chain.ts";
import { MAX_INPUTS, MAX_SCALARS } from "../../ops/chain_kernels.ts";
import { elementwiseRow } from "../../ops/elementwise.ts";
import { frozenNodes } from "../hoist.ts";
import { mayWait, rebuild, type Uses, usesOf, type WorkGraph } from "../work_graph.ts";

/** Steps of one chain at most: more save little, and drivers take long over them. */
const MAX_STEPS = 12;

/** Nodes that will be one, the last of them first. */
type Group = Node[];

const isElementwise = ({ op, inputs, outputs }: Node): boolean =>
  op !== null &&
  elementwiseRow(op.name) !== undefined &&
  [...inputs, ...outputs].every((v) => v.dtype === "f32") &&
  numel(outputs[0].shape) > 0;

const scalarCount = (node: Node): number =>
  elementwiseRow(node.op?.name as string)?.scalars?.(node.attrs).length ?? 0;

/** What the nodes read that none of them makes, each once. */
function operandsOf(group: Group): Value[] {
  const all = group.toReversed().flatMap((n) => n.inputs);
  return [...new Set(all)].filter((v) => !group.includes(v.node));
}

/** Whether the shaders hold the nodes together. */
const holds = (group: Group): boolean =>
  group.length <= MAX_STEPS &&
  operandsOf(group).length <= MAX_INPUTS &&
  group.reduce((n, node) => n + scalarCount(node), 0) <= MAX_SCALARS;

/** The group of all that read the node's value, if it may join that. */
function groupFor(g: WorkGraph, node: Node, uses: Uses, groups: ReadonlyMap<Node, Group>): Group | null {
  const [y] = node.outputs;
  const readers = uses.consumers.get(y) ?? [];
  const group = readers.length > 0 && !uses.held.has(y) ? groups.get(readers[0].node) : undefined;
  if (!group?.length || !readers.every((r) => groups.get(r.node) === group)) return null;
  const [end] = group;
  const fits = sameShape(y.shape, end.outputs[0].shape) && holds([...group, node]);
  return fits && mayWait(g, node, end) ? group : null;
}

/** From the last node to the first, so that all readers of a value have their group before it. */
function findGroups(g: WorkGraph): Group[] {
  const uses = usesOf(g);
  const frozen = frozenNodes(g);
  const groups = new Map<Node, Group>();
  for (const node of g.nodes.toReversed()) {
    if (!isElementwise(node) || frozen.has(node)) continue;
    const group = groupFor(g, node, uses, groups) ?? [];
    group.push(node);
    groups.set(node, group);
  }
  return [...new Set(groups.values())].filter((group) => group.length > 1);
}

function chained(group: Group, now: (v: Value) => Value): Value {
  const operands = operandsOf(group);
  const nodes = group.toReversed();
  const steps = nodes.map(({ op, inputs, attrs }): ChainStep => {
    const refs = inputs.map((v) => (operands.includes(v) ? operands.indexOf(v) : -1 - nodes.indexOf(v.node)));
    return [op?.name as string, refs, Object.entries(attrs) as [string, Attr][]];
  });
  return call("chain", operands.map(now), { steps });
}

export function elementwiseChains(g: WorkGraph): WorkGraph {
  const ends = new Map(findGroups(g).map((group) => [group[0], group]));
  if (ends.size === 0) return g;
  return rebuild(g, (node, _inputs, now) => {
    const group = ends.get(node);
    return group ? [chained(group, now)] : null;
  });
}
