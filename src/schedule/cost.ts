// What a dispatch moves, and roughly how long it takes.

import { numel } from "../core/shape.ts";
import type { Node } from "../graph/node.ts";
import type { Call, DeviceTraits, Dispatch, Kernel, Operand } from "../graph/op.ts";

const sizeOf = (o: Operand) => numel(o.shape) * (o.dtype === "u8" ? 1 : 4);

/**
 * Bytes of the elements that a dispatch is about, read or written once: a view moves less than the window that is bound to
 * it. What is computed in place is read and written.
 */
export function movedBytes(
  { op }: Node,
  kernel: Kernel | undefined,
  { inputs, outputs }: Call,
  d: Dispatch,
  scratchBytes: (name: string) => number,
): number {
  const bound = Object.values(d.bind);
  // A concat's dispatch moves the one input that it binds.
  const part = op?.places && bound.find((b) => "in" in b);
  if (part && "in" in part) return 2 * sizeOf(inputs[part.in]);
  const inPlace = (out: number) =>
    kernel?.inPlace?.some(([o, input]) => o === out && input < inputs.length) ?? false;
  return bound.reduce((n, b) => {
    if ("in" in b) return n + sizeOf(inputs[b.in]);
    if ("scratch" in b) return n + scratchBytes(b.scratch);
    return n + sizeOf(outputs[b.out]) * (inPlace(b.out) ? 2 : 1);
  }, 0);
}

/** Rough device time of a dispatch in ms, for pacing and for cutting: 25 GFLOP/s and 7 GB/s in software (two cores), 100 times that on a GPU. */
export function estimate(device: DeviceTraits, flops: number, bytes: number): number {
  const speed = device.software ? 1 : 100;
  return flops / (2.5e7 * speed) + bytes / (7e6 * speed);
}
