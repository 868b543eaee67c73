// normalize — y = act(x·s[c] + t[c]) with s = w / sqrt(var + eps), t = b - mean·s: batch norm given its statistics;
// act is the ReLU that follows it, or nothing. Everything that recomputes y (the gradients, a convolution's load)
// uses this form, so that a ReLU's decision is the same everywhere. Beside it: normalizeAffine (s and t alone) and
// the gradients normalizeInput, normalizeSums, normalizeStatsGrad.

import { ulp } from "../core/accuracy.ts";
import { numel } from "../core/shape.ts";
import { defineOp } from "../graph/op.ts";
import { call, callMany } from "./build.ts";
import { channelMap, checkVectors, mapChannels } from "./channels.ts";
import { reluOf } from "./conv_shape.ts";
import { AFFINE, affine, type NormAttrs, splat, splitNorm, vecs } from "./norm_shape.ts";

const { abs, sqrt } = Math;

defineOp<NormAttrs>({
  name: "normalize",
  infer: ([x, ...vectors]) => {
    checkVectors("normalize", x, vectors);
    return [{ shape: x.shape, dtype: "f32" }];
  },
  ref: ([x, mean, variance, w, b], a) => {
    const [s, t] = affine(mean, variance, w, b, a.eps);
    return [
      mapChannels(x, (v, c) => {
        const y = v * s.data[c] + t.data[c];
        return a.relu && y < 0 ? 0 : y;
      }),
    ];
  },
  vjp: ({ inputs, attrs, gy: [g], needs }) => {
    if (!g) return inputs.map(() => null);
    const [, , variance, w] = inputs;
    const gx = needs[0] ? call("normalizeInput", [g, ...inputs], attrs) : null;
    if (!needs.slice(1).some(Boolean)) return [gx, null, null, null, null];
    const [s1, s2] = callMany("normalizeSums", [g, ...inputs], attrs);
    const stats = needs[1] || needs[2];
    const [gm, gv] = stats
      ? callMany("normalizeStatsGrad", [s1, s2, variance, w], { eps: attrs.eps })
      : [null, null];
    return [gx, needs[1] ? gm : null, needs[2] ? gv : null, needs[3] ? s2 : null, needs[4] ? s1 : null];
  },
  terms: () => 4,
  magnitude: ([x, mean, variance, w, b], a) => [
    mapChannels(x, (v, c) => {
      const s = abs(w.data[c]) / sqrt(variance.data[c] + a.eps);
      return (abs(v) + abs(mean.data[c])) * s + abs(b.data[c]);
    }),
  ],
  builtin: ([x, mean, variance, w], _o, a) => [
    mapChannels(x, (v, c) => {
      const r = 1 / sqrt(variance.data[c] + a.eps);
      return (abs(v) + abs(mean.data[c])) * abs(w.data[c]) * 3 * ulp(r);
    }).data,
  ],
  cost: ([x]) => ({ flops: 2 * numel(x.shape) }),
  kernels: channelMap(
    1,
    (a) => ({
      channel: `${AFFINE} return vec4<f32>(s, t, 0.0, 0.0);`,
      body: (vec) => {
        const y = `fma(a, ${splat("s.x", vec)}, ${splat("s.y", vec)})`;
        return a.relu ? `let y = ${y}; return ${reluOf("y", vec ? 4 : 1)};` : `return ${y};`;
      },
    }),
    (c) => [c.attrs.eps],
  ),
  samples: [false, true].flatMap((relu) => [
    { inputs: [{ shape: [2, 3, 4, 4] }, ...vecs(3)], attrs: { eps: 1e-5, relu } },
    { inputs: [{ shape: [3, 5, 3, 3] }, ...vecs(5)], attrs: { eps: 1e-3, relu } },
    { inputs: [{ shape: [4, 6] }, ...vecs(6)], attrs: { eps: 1e-5, relu } },
    { note: "pictures in groups", inputs: [{ shape: [5, 2, 4, 4] }, ...vecs(2)], attrs: { eps: 1e-5, relu } },
    { note: "planes in runs", inputs: [{ shape: [2, 2, 20, 15] }, ...vecs(2)], attrs: { eps: 1e-5, relu } },
  ]),
  split: ([x]) => [
    { extent: x.shape[0], inputs: [0, null, null, null, null], outputs: [0], merge: "concat" },
    ...splitNorm(1, x.shape[1]),
  ],
});
