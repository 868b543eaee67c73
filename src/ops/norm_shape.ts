// What normalize and its gradients share: the affine form y = x·s + t of batch norm, the ReLU's mask, and the WGSL
// that recomputes both, so that a ReLU's decision is the same in every kernel.

import { mapArray, type NDArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import type { InputSpec, SplitAxis } from "../graph/op.ts";
import { mapChannels } from "./channels.ts";

export interface NormAttrs extends Attrs {
  readonly eps: number;
  readonly relu: boolean;
}

/** s and t per channel. */
export function affine(
  mean: NDArray,
  variance: NDArray,
  w: NDArray,
  b: NDArray,
  eps: number,
): [NDArray, NDArray] {
  const s = mapArray(w, (v, c) => v / Math.sqrt(variance.data[c] + eps));
  return [s, mapArray(b, (v, c) => v - mean.data[c] * s.data[c])];
}

/** g where the ReLU let y through (everywhere without one). */
export function masked(g: NDArray, x: NDArray, stats: readonly NDArray[], a: NormAttrs): NDArray {
  const [s, t] = affine(stats[0], stats[1], stats[2], stats[3], a.eps);
  return a.relu ? mapChannels(x, (v, c, i) => (v * s.data[c] + t.data[c] > 0 ? g.data[i] : 0)) : g;
}

export const AFFINE =
  "let s = v2[u.o2 + c] * inverseSqrt(v1[u.o1 + c] + u.e0); let t = fma(-v0[u.o0 + c], s, v3[u.o3 + c]);";
export const vecs = (c: number): InputSpec[] => [
  { shape: [c] },
  { shape: [c], low: 0.3, high: 2 },
  { shape: [c] },
  { shape: [c] },
];
export const splat = (v: string, vec: boolean) => (vec ? `vec4<f32>(${v})` : v);

/** The mask of the fused ReLU on g: zero where x·s + t is not positive. */
export const maskOf = (vec: boolean) =>
  vec
    ? "select(a, vec4<f32>(0.0), bitcast<vec4<i32>>(fma(b, vec4<f32>(s.x), vec4<f32>(s.y))) <= vec4<i32>(0))"
    : "select(a, 0.0, bitcast<i32>(fma(b, s.x, s.y)) <= 0)";

export function splitNorm(large: number, c: number): SplitAxis[] {
  const vectors = [0, 0, 0, 0];
  return [
    { extent: c, inputs: [...new Array<number>(large).fill(1), ...vectors], outputs: [1], merge: "concat" },
  ];
}
