// Which kernels a model really runs: read from its plans, each distinct one once. Two calls are the same kernel when op,
// variant, parameters, fused forms, shapes and the distance between rows agree.

import { numel } from "../src/core/shape.ts";
import { attrsKey } from "../src/graph/node.ts";
import { type Call, type Operand, opNamed } from "../src/graph/op.ts";
import type { Plan } from "../src/schedule/plan.ts";
import { showKernel } from "../src/schedule/select.ts";

const CONVOLUTIONS = ["conv2d", "conv2dInput", "conv2dWeight"] as const;
type ConvOp = (typeof CONVOLUTIONS)[number];

/** What a kernel is for, by the names of ops; all others are elementwise: maps, small sums, copies. */
const GROUPS = {
  convolution: /^conv2d/,
  matmul: /^matmul/,
  "batch norm": /^(normalize|channelStats|statsInput|runningStats)/,
  pool: /^(max|avg)Pool2d/,
  optimizer: /^(adam|sgd)/,
  loss: /^(crossEntropy|nll|softmax|logSoftmax)/,
} as const;
export type Group = keyof typeof GROUPS | "elementwise";

export interface PlannedKernel {
  readonly op: string;
  readonly group: Group;
  readonly kernel: string;
  readonly call: Call;
  /** A convolution as people name it, `1x1 512->128 b8@8x8` (extents are those of its input); else the operands' shapes. */
  readonly shape: string;
  /** Kernel, parameters, and what is fused into it. */
  readonly variant: string;
  /** Of one call. */
  readonly flops: number;
  /** How often each plan runs it. */
  readonly calls: Readonly<Record<string, number>>;
}

export function groupOf(op: string): Group {
  const found = Object.entries(GROUPS).find(([, names]) => names.test(op));
  return (found?.[0] as Group | undefined) ?? "elementwise";
}

/** Bound by memory rather than by arithmetic. */
export const memoryBound = (g: Group): boolean => g !== "convolution" && g !== "matmul";

const isConvolution = (op: string): op is ConvOp => (CONVOLUTIONS as readonly string[]).includes(op);

/** Input and weight shape of the convolution behind any of the three ops. */
function shapesOf(op: ConvOp, { inputs, outputs }: Call): { x: readonly number[]; w: readonly number[] } {
  if (op === "conv2d") return { x: inputs[0].shape, w: inputs[1].shape };
  if (op === "conv2dInput") return { x: outputs[0].shape, w: inputs[1].shape };
  return { x: inputs[0].shape, w: outputs[0].shape };
}

function convolutionName(op: ConvOp, call: Call): string {
  const { x, w } = shapesOf(op, call);
  const { stride, groups } = call.attrs as { stride: readonly number[]; groups: number };
  const over = stride[0] === 1 && stride[1] === 1 ? "" : `/${stride[0]}`;
  const grouped = groups === 1 ? "" : ` g${groups}`;
  return `${w[2]}x${w[3]}${over} ${x[1]}->${w[0]}${grouped} b${x[0]}@${x[2]}x${x[3]}`;
}

const shown = (o: Operand) => (o.shape.length === 0 ? "1" : o.shape.join("x"));

/** The largest operand on each side, which is what such a kernel's time hangs on. */
function operandsName({ inputs, outputs }: Call): string {
  const largest = (list: readonly Operand[]) =>
    list.reduce((a, b) => (numel(b.shape) > numel(a.shape) ? b : a));
  const [x, y] = [inputs, outputs].map((list) => shown(largest(list)));
  return x === y ? x : `${x}->${y}`;
}

const shapeName = (op: string, call: Call) =>
  isConvolution(op) ? convolutionName(op, call) : operandsName(call);

/** Attributes that say what is fused, as people write them. */
function variantName(kernel: string, call: Call): string {
  const { prologue, bias, relu, before, store } = call.attrs as Readonly<Record<string, unknown>>;
  const fused = [
    typeof prologue === "string" && prologue !== "none" ? prologue : "",
    bias === true ? "bias" : "",
    relu === true ? "relu" : "",
    before === true ? "add" : "",
    ...(Array.isArray(store) ? (store as string[]) : []),
  ].filter(Boolean);
  return `${showKernel(kernel, call.params)}${fused.map((f) => ` +${f}`).join("")}`;
}

const rows = (o: Operand) => `${o.shape}/${o.batchStride}${o.offset % 4 === 0 ? "" : "~"}`;

function keyOf(op: string, kernel: string, { inputs, outputs, attrs, params }: Call): string {
  return [op, kernel, attrsKey(params), attrsKey(attrs), ...inputs.map(rows), ...outputs.map(rows)].join("|");
}

/** The distinct kernels of named plans, in the order in which they first run. */
export function kernelsOf(plans: Readonly<Record<string, Plan>>): PlannedKernel[] {
  const found = new Map<string, PlannedKernel & { calls: Record<string, number> }>();
  for (const [name, plan] of Object.entries(plans)) {
    const counted = new Set<Call>();
    for (const s of plan.steps) {
      if (s.kind !== "dispatch" || counted.has(s.call)) continue;
      counted.add(s.call);
      const key = keyOf(s.op, s.kernel, s.call);
      const known = found.get(key);
      if (known) {
        known.calls[name] = (known.calls[name] ?? 0) + 1;
        continue;
      }
      found.set(key, {
        op: s.op,
        group: groupOf(s.op),
        kernel: s.kernel,
        call: s.call,
        shape: shapeName(s.op, s.call),
        variant: variantName(s.kernel, s.call),
        flops: opNamed(s.op).cost(s.call.inputs, s.call.outputs, s.call.attrs).flops,
        calls: { [name]: 1 },
      });
    }
  }
  return [...found.values()];
}

/** Bytes that a call must at least move: every operand once. */
export function bytesOf({ inputs, outputs }: Call): number {
  return [...inputs, ...outputs].reduce((n, o) => n + 4 * numel(o.shape), 0);
}

/** At most `limit` of the kernels: those that cost their plans most, in their own order. */
export function costliest(all: readonly PlannedKernel[], limit: number): PlannedKernel[] {
  // Ten operations to a byte is where software GPUs and real ones turn from memory to arithmetic.
  const work = (k: PlannedKernel) => Math.max(k.flops, 10 * bytesOf(k.call));
  const weight = (k: PlannedKernel) => work(k) * Object.values(k.calls).reduce((a, b) => a + b, 0);
  const chosen = new Set([...all].sort((a, b) => weight(b) - weight(a)).slice(0, limit));
  return all.filter((k) => chosen.has(k));
}
