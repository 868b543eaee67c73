// Which convolution kernels a model really runs: read from its plans, each distinct one once. Two calls are the same
// kernel when op, variant, parameters, fused forms, shapes and the distance between rows agree.

import { numel } from "../src/core/shape.ts";
import { attrsKey } from "../src/graph/node.ts";
import { type Call, type Operand, opNamed } from "../src/graph/op.ts";
import type { Plan } from "../src/schedule/plan.ts";

const CONVOLUTIONS = ["conv2d", "conv2dInput", "conv2dWeight"] as const;
export type ConvOp = (typeof CONVOLUTIONS)[number];

export interface PlannedKernel {
  readonly op: ConvOp;
  readonly kernel: string;
  readonly call: Call;
  /** The convolution as people name it: `1x1 512->128 b8@8x8` (extents are those of its input). */
  readonly shape: string;
  /** Kernel, parameters, and what is fused into it. */
  readonly variant: string;
  /** Of one call. */
  readonly flops: number;
  /** How often each plan runs it. */
  readonly calls: Readonly<Record<string, number>>;
}

const isConvolution = (op: string): op is ConvOp => (CONVOLUTIONS as readonly string[]).includes(op);

/** Input and weight shape of the convolution behind any of the three ops. */
function shapesOf(op: ConvOp, { inputs, outputs }: Call): { x: readonly number[]; w: readonly number[] } {
  if (op === "conv2d") return { x: inputs[0].shape, w: inputs[1].shape };
  if (op === "conv2dInput") return { x: outputs[0].shape, w: inputs[1].shape };
  return { x: inputs[0].shape, w: outputs[0].shape };
}

function shapeName(op: ConvOp, call: Call): string {
  const { x, w } = shapesOf(op, call);
  const { stride, groups } = call.attrs as { stride: readonly number[]; groups: number };
  const over = stride[0] === 1 && stride[1] === 1 ? "" : `/${stride[0]}`;
  const grouped = groups === 1 ? "" : ` g${groups}`;
  return `${w[2]}x${w[3]}${over} ${x[1]}->${w[0]}${grouped} b${x[0]}@${x[2]}x${x[3]}`;
}

function variantName(kernel: string, call: Call): string {
  const params = Object.entries(call.params).map(([k, v]) => `${k}=${v}`);
  const { prologue, bias, relu } = call.attrs as { prologue?: string; bias?: boolean; relu?: boolean };
  const fused = [
    prologue && prologue !== "none" ? prologue : "",
    bias ? "bias" : "",
    relu ? "relu" : "",
  ].filter(Boolean);
  return `${kernel}${params.length > 0 ? `(${params.join(" ")})` : ""}${fused.map((f) => ` +${f}`).join("")}`;
}

const rows = (o: Operand) => `${o.shape}/${o.batchStride}${o.offset % 4 === 0 ? "" : "~"}`;

function keyOf(op: string, kernel: string, { inputs, outputs, attrs, params }: Call): string {
  return [op, kernel, attrsKey(params), attrsKey(attrs), ...inputs.map(rows), ...outputs.map(rows)].join("|");
}

/** The distinct convolution kernels of named plans, in the order in which they first run. */
export function convolutionsOf(plans: Readonly<Record<string, Plan>>): PlannedKernel[] {
  const found = new Map<string, PlannedKernel & { calls: Record<string, number> }>();
  for (const [name, plan] of Object.entries(plans)) {
    const counted = new Set<Call>();
    for (const s of plan.steps) {
      if (s.kind !== "dispatch" || !isConvolution(s.op) || counted.has(s.call)) continue;
      counted.add(s.call);
      const key = keyOf(s.op, s.kernel, s.call);
      const known = found.get(key);
      if (known) {
        known.calls[name] = (known.calls[name] ?? 0) + 1;
        continue;
      }
      found.set(key, {
        op: s.op,
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
  const weight = (k: PlannedKernel) => k.flops * Object.values(k.calls).reduce((a, b) => a + b, 0);
  const chosen = new Set([...all].sort((a, b) => weight(b) - weight(a)).slice(0, limit));
  return all.filter((k) => chosen.has(k));
}
