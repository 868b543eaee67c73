// The second pass of a two-pass sum: y[i] = Σ_p parts[p, i] in fixed order, on the shader of `reduce`.

import type { DeviceTraits, Dispatch } from "../graph/op.ts";
import { foldGrid, pad8 } from "./layout.ts";

/** Adds `parts` dense runs of `total` elements lying in the named scratch buffer into output 0. */
export function joinParts(
  scratch: string,
  parts: number,
  total: number,
  y0: number,
  device: DeviceTraits,
): Dispatch {
  return {
    shader: "reduce",
    params: { WG: 1, RANK: 1 },
    bind: { x: { scratch }, y: { out: 0 } },
    uniforms: {
      outputs: total,
      length: parts,
      chunks: 1,
      per: parts,
      x0: 0,
      y0,
      pad0: 0,
      pad1: 0,
      oshape: pad8([total], 1),
      rshape: pad8([parts], 1),
      os: pad8([1], 0),
      rs: pad8([total], 0),
    },
    grid: foldGrid(total, device),
  };
}
