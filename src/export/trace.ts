// A network as a graph to write: one forward in eval mode is recorded twice, for batches of two sizes, and not run.
// Where the two differ is where the batch is. What hangs on weights alone is computed here and becomes a constant.

import { UsageError } from "../core/error.ts";
import { toFloat32 } from "../core/half.ts";
import { numel, type Shape, show } from "../core/shape.ts";
import { type NDArray, ndarray } from "../graph/array.ts";
import { evaluateNode } from "../graph/interpret.ts";
import { hostCopy, type Source } from "../graph/leaf.ts";
import { attrsKey, type Node, reachable, type Value } from "../graph/node.ts";
import { Counter, type Module } from "../nn/index.ts";
import { runtime } from "../runtime/context.ts";
import { noGrad } from "../tensor/functions.ts";
import { Tensor } from "../tensor/tensor.ts";
import { itemsOf } from "../weights/write_items.ts";
import type { Exported, Settings } from "./options.ts";

/** Numbers that do not hang on the input. */
export interface Constant {
  /** State-dict name, of a parameter or buffer as it is. */
  readonly name: string | null;
  readonly shape: Shape;
  readonly data: Float32Array | Int32Array;
}

/** A network's graph. */
export interface Traced {
  readonly input: Value;
  readonly output: Value;
  /** Operations that hang on the input, each after what it needs. */
  readonly nodes: readonly Node[];
  /** The constant that a value is; null where it hangs on the input. */
  constantOf(v: Value): Constant | null;
  /** Axes whose extent is that of the batch or a multiple of it. */
  batchAxes(v: Value): readonly number[];
}

interface Recorded {
  readonly input: Value;
  readonly output: Value;
}

/** Batches of these sizes are recorded: as neither is 1, nothing is broadcast along the batch by accident. */
const SIZES = [2, 3] as const;

/**
 * The graph of `model` in eval mode. `what` begins messages. Throws UsageError for a network whose forward does not
 * give one tensor, or hangs on the batch's size in another way than by having it as an extent.
 */
export async function traceNetwork(what: string, model: Exported, settings: Settings): Promise<Traced> {
  const [first, second] = inEval(model, () => SIZES.map((n) => record(what, model, n, settings)));
  const partner = pairs(what, first.output, second.output);
  const batchAxes = (v: Value) => {
    const other = partner.get(v.node)?.outputs[v.index].shape ?? v.shape;
    return v.shape.flatMap((d, axis) => (d === other[axis] ? [] : [axis]));
  };
  const { output, input } = first;
  if (batchAxes(output).join() !== "0")
    throw new UsageError(`${what}: the network's output is ${show(output)}, not one row for each input`);
  const all = reachable([output]);
  const moving = movingNodes(all, input);
  const isSized = (v: Value) => !moving.has(v.node) && batchAxes(v).length > 0;
  if (!moving.has(output.node)) throw new UsageError(`${what}: the output does not hang on the input`);
  const sized = all.flatMap((n) => (moving.has(n) ? n.inputs : [])).find((v) => isSized(v));
  if (sized)
    throw new UsageError(
      `${what}: the constant ${show(sized)} has the batch's size, so no file can be made for all sizes`,
    );
  const constants = await constantsOf(what, model, all, moving, settings.dtype);
  return {
    input,
    output,
    nodes: all.filter((node) => node.op && moving.has(node)),
    constantOf: (v) => constants.get(v) ?? null,
    batchAxes,
  };
}

/** Runs `fn` with everything in eval mode, and puts each module back into its own mode. */
function inEval<T>(model: Module, fn: () => T): T {
  const modes = model.modules().map((m) => [m, m.training] as const);
  model.eval();
  try {
    return fn();
  } finally {
    for (const [m, training] of modes) m.training = training;
  }
}

function record(what: string, model: Exported, batch: number, { inputShape, softmax }: Settings): Recorded {
  const shape = [batch, ...inputShape];
  const rt = runtime();
  const x = new Tensor(rt.fromHost(new Float32Array(numel(shape)), { shape, dtype: "f32" }));
  // The scope keeps the result from being evaluated with whatever is read next.
  return rt.scope(
    () => {
      const y: unknown = noGrad(() => model.forward(x));
      if (!(y instanceof Tensor)) throw new UsageError(`${what}: forward must give one tensor`);
      const out = softmax ? noGrad(() => y.softmax(-1)) : y;
      return { input: x.variable.value, output: out.variable.value };
    },
    () => [],
  );
}

/** Where a node was made, for messages. */
export const placeOf = ({ site }: Node): string => (site.layer?.path ? ` (in ${site.layer.path})` : "");

/** Ops whose attributes are the shape of what they give. */
const SHAPED = ["reshape", "expand", "full"];

/** The node of the second graph for each of the first; throws where they are not the same but for the batch. */
function pairs(what: string, first: Value, second: Value): Map<Node, Node> {
  const found = new Map<Node, Node>();
  const stack: [Node, Node][] = [[first.node, second.node]];
  for (let pair = stack.pop(); pair; pair = stack.pop()) {
    const [a, b] = pair;
    if (found.has(a)) continue;
    found.set(a, b);
    const differ = (how: string) =>
      new UsageError(
        `${what}: ${a.op?.name ?? "a constant"}${placeOf(a)} ${how} the batch's size, so no file can be made for all sizes`,
      );
    if (a.op !== b.op || a.inputs.length !== b.inputs.length)
      throw differ("comes from operations that hang on");
    if (a.op && !SHAPED.includes(a.op.name) && attrsKey(a.attrs) !== attrsKey(b.attrs))
      throw differ("is made with numbers that hang on");
    if (a.outputs.some((v, i) => v.shape.length !== b.outputs[i].shape.length))
      throw differ("has a rank that hangs on");
    a.inputs.forEach((v, i) => {
      stack.push([v.node, b.inputs[i].node]);
    });
  }
  return found;
}

/** Nodes that hang on the input. */
function movingNodes(nodes: readonly Node[], input: Value): Set<Node> {
  const moving = new Set<Node>();
  for (const node of nodes)
    if (node === input.node || node.inputs.some((v) => moving.has(v.node))) moving.add(node);
  return moving;
}

async function constantsOf(
  what: string,
  model: Module,
  nodes: readonly Node[],
  moving: ReadonlySet<Node>,
  dtype: "f32" | "f16",
): Promise<Map<Value, Constant>> {
  const still = nodes.filter((node) => !moving.has(node));
  const state = await stateOf(what, model, still, dtype);
  const out = new Map<Value, Constant>();
  for (const node of still) {
    if (node.source) out.set(node.outputs[0], state.get(node) ?? hostConstant(what, node, node.source));
    else {
      const inputs = node.inputs.map((v) => arrayOf(out.get(v) as Constant, v));
      evaluateNode(node, inputs).forEach((array, i) => {
        const { shape, dtype: kind } = node.outputs[i];
        const data = kind === "f32" ? Float32Array.from(array.data) : Int32Array.from(array.data);
        out.set(node.outputs[i], { name: null, shape, data });
      });
    }
  }
  return out;
}

const arrayOf = ({ shape, data }: Constant, v: Value): NDArray => ndarray(shape, data, v.dtype);

/** Parameters and buffers among the nodes, read and rounded. */
async function stateOf(
  what: string,
  model: Module,
  nodes: readonly Node[],
  dtype: "f32" | "f16",
): Promise<Map<Node, Constant>> {
  const owners = new Map<string, readonly [string, Tensor]>();
  for (const [name, t] of [...model.namedState()].reverse()) {
    if (t instanceof Counter) continue;
    const { state } = t.variable;
    if (state) owners.set(`${state.storage.id}@${state.offset}`, [name, t]);
  }
  const used = nodes.flatMap((node) => {
    if (node.source?.kind !== "state") return [];
    const { slice } = node.source;
    const owner = owners.get(`${slice.storage.id}@${slice.offset}`);
    if (!owner)
      throw new UsageError(
        `${what}: the network reads ${slice.storage.label}, which is not in its state dict`,
      );
    return [[node, ...owner] as const];
  });
  const read = new Map<string, { shape: Shape; data: Float32Array }>();
  const data = await Promise.all(used.map(([, , t]) => onHost(t) ?? t.data()));
  used.forEach(([, name, t], i) => {
    read.set(name, { shape: t.shape, data: data[i] as Float32Array });
  });
  const rounded = new Map(itemsOf(read, dtype).map((item) => [item.name, item]));
  return new Map(
    used.map(([node, name, t]) => {
      const item = rounded.get(name) as Parameters<typeof toFloat32>[0];
      return [node, { name, shape: t.shape, data: toFloat32(item) }];
    }),
  );
}

/** The values of a parameter that no device has taken yet: writing a model that was only loaded opens none. */
function onHost({ variable: { state }, numel: count }: Tensor): Float32Array | null {
  const initial = state && !state.storage.touched ? state.storage.initial : null;
  return initial instanceof Float32Array ? initial.slice(state?.offset, (state?.offset ?? 0) + count) : null;
}

function hostConstant(what: string, node: Node, source: Source): Constant {
  const { shape } = node.outputs[0];
  if (source.kind === "scalars")
    throw new UsageError(
      `${what}: the network uses ${source.label} in eval mode, which changes from run to run`,
    );
  const data = source.kind === "result" ? hostCopy(source) : null;
  if (!data)
    throw new UsageError(
      `${what}: the network reads ${show(node.outputs[0])} that was computed outside of its forward; keep it in an nn Buffer`,
    );
  return { name: null, shape, data: data instanceof Float32Array ? data : Int32Array.from(data) };
}
