// The large gradients of normalize, with g masked by the fused ReLU (recomputed from x, never stored):
// normalizeInput gx = g·s, and normalizeSums s1 = Σ g, s2 = Σ g·(x - mean)·r per channel, which are the gradients of b
// and w and, through normalizeStatsGrad, those of the statistics.

import { ulp } from "../core/accuracy.ts";
import { numel } from "../core/shape.ts";
import { mapArray } from "../graph/array.ts";
import { defineOp } from "../graph/op.ts";
import { channelMap, channelReduce, channelsOf, checkVectors, mapChannels, sumChannels } from "./channels.ts";
import { AFFINE, affine, masked, maskOf, type NormAttrs, splat, splitNorm, vecs } from "./norm_shape.ts";

const { abs, sqrt } = Math;

defineOp<NormAttrs>({
  name: "normalizeInput",
  infer: ([g, x, ...vectors]) => {
    checkVectors("normalizeInput", x, vectors);
    return [{ shape: g.shape, dtype: "f32" }];
  },
  ref: ([g, x, ...stats], a) => {
    const [s] = affine(stats[0], stats[1], stats[2], stats[3], a.eps);
    return [mapChannels(masked(g, x, stats, a), (v, c) => v * s.data[c])];
  },
  terms: () => 2,
  magnitude: ([g, x, ...stats], a) => {
    const [s] = affine(stats[0], stats[1], stats[2], stats[3], a.eps);
    return [mapChannels(masked(g, x, stats, a), (v, c) => abs(v * s.data[c]))];
  },
  builtin: ([g, , , variance, w], _o, a) => [
    mapChannels(g, (v, c) => abs(v * w.data[c]) * 3 * ulp(1 / sqrt(variance.data[c] + a.eps))).data,
  ],
  cost: ([g]) => ({ flops: 3 * numel(g.shape) }),
  kernels: channelMap(
    2,
    (a) => ({
      channel: `${AFFINE} return vec4<f32>(s, t, 0.0, 0.0);`,
      body: (vec) => `return ${a.relu ? maskOf(vec) : "a"} * s.x;`,
    }),
    (c) => [c.attrs.eps],
  ),
  samples: [false, true].flatMap((relu) => [
    { inputs: [{ shape: [2, 3, 4, 4] }, { shape: [2, 3, 4, 4] }, ...vecs(3)], attrs: { eps: 1e-5, relu } },
    { inputs: [{ shape: [3, 5, 3, 3] }, { shape: [3, 5, 3, 3] }, ...vecs(5)], attrs: { eps: 1e-5, relu } },
  ]),
  split: ([g]) => [
    { extent: g.shape[0], inputs: [0, 0, null, null, null, null], outputs: [0], merge: "concat" },
    ...splitNorm(2, g.shape[1]),
  ],
});

const CENTER = `${AFFINE} return vec4<f32>(s, t, v0[u.o0 + c], inverseSqrt(v1[u.o1 + c] + u.e0));`;

defineOp<NormAttrs>({
  name: "normalizeSums",
  infer: ([, x, ...vectors]) => {
    checkVectors("normalizeSums", x, vectors);
    const { c } = channelsOf(x, "normalizeSums");
    return [
      { shape: [c], dtype: "f32" },
      { shape: [c], dtype: "f32" },
    ];
  },
  ref: ([g, x, ...stats], a) => {
    const m = masked(g, x, stats, a);
    const r = mapArray(stats[1], (v) => 1 / sqrt(v + a.eps));
    return [
      sumChannels(m, (v) => v),
      sumChannels(m, (v, c, i) => v * (x.data[i] - stats[0].data[c]) * r.data[c]),
    ];
  },
  terms: ([x]) => numel(x.shape) / x.shape[1] + 3,
  magnitude: ([g, x, ...stats], a) => {
    const m = masked(g, x, stats, a);
    const r = mapArray(stats[1], (v) => 1 / sqrt(v + a.eps));
    return [
      sumChannels(m, abs),
      sumChannels(m, (v, c, i) => abs(v) * (abs(x.data[i]) + abs(stats[0].data[c])) * r.data[c]),
    ];
  },
  builtin: ([g, x, ...stats], _o, a) => [
    new Float64Array(stats[0].data.length),
    sumChannels(
      g,
      (v, c, i) =>
        abs(v) * (abs(x.data[i]) + abs(stats[0].data[c])) * 2 * ulp(1 / sqrt(stats[1].data[c] + a.eps)),
    ).data,
  ],
  cost: ([g]) => ({ flops: 6 * numel(g.shape) }),
  kernels: channelReduce(
    2,
    (a) => {
      const g = (vec: boolean) => (a.relu ? maskOf(vec) : "a");
      return {
        channel: CENTER,
        body: (vec) => `return ${g(vec)};`,
        second: (vec) => `return ${g(vec)} * (b - ${splat("s.z", vec)}) * s.w;`,
      };
    },
    (c) => [c.attrs.eps],
  ),
  samples: [false, true].flatMap((relu) => [
    { inputs: [{ shape: [2, 3, 4, 4] }, { shape: [2, 3, 4, 4] }, ...vecs(3)], attrs: { eps: 1e-5, relu } },
    { inputs: [{ shape: [3, 17, 3, 3] }, { shape: [3, 17, 3, 3] }, ...vecs(17)], attrs: { eps: 1e-5, relu } },
  ]),
  split: ([g]) => [
    { extent: g.shape[1], inputs: [1, 1, 0, 0, 0, 0], outputs: [0, 0], merge: "concat" },
    { extent: g.shape[0], inputs: [0, 0, null, null, null, null], outputs: [null, null], merge: "sum" },
  ],
});
