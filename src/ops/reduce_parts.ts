// The second pass of a two-pass reduction: y[i] = ⊕ over p of parts[p, i], in fixed order, on the shader of `reduce`.

import { numel } from "../core/shape.ts";
import type { DeviceTraits, Dispatch, Operand } from "../graph/op.ts";
import { ceilDiv, foldGrid, lanes, pad8, rowSize } from "./layout.ts";

export interface Parts {
  /** Name of the scratch buffer that holds them. */
  readonly scratch: string;
  readonly count: number;
  /** Elements from one output to the next, and from one part of an output to the next. */
  readonly strides: readonly [number, number];
}

/** Where reduce.wgsl writes its outputs. */
export function reduceOutput(y: Operand): { y0: number; yrow: number; yn: number } {
  return { y0: y.offset, yrow: rowSize(y.shape), yn: y.shape.length === 0 ? 1 : y.batchStride };
}

/** Joins the parts into output 0; adds them unless other hooks are given. */
export function joinParts(
  parts: Parts,
  y: Operand,
  device: DeviceTraits,
  hooks: Dispatch["hooks"] = {},
): Dispatch {
  const outputs = numel(y.shape);
  const shares = lanes(device);
  return {
    shader: "reduce",
    params: { ...shares, RANK: 1 },
    hooks,
    bind: { x: { scratch: parts.scratch }, y: { out: 0 } },
    uniforms: {
      outputs,
      length: parts.count,
      inner: Math.max(1, parts.count),
      step: parts.strides[1],
      chunks: 1,
      per: parts.count,
      x0: 0,
      ...reduceOutput(y),
      oshape: pad8([outputs], 1),
      rshape: pad8([], 1),
      os: pad8([parts.strides[0]], 0),
      rs: pad8([], 0),
    },
    grid: foldGrid(ceilDiv(outputs, shares.LANES), device),
  };
}
