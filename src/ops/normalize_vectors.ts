// The per-channel arithmetic of batch norm on vectors [C]: normalizeAffine (what a convolution's load applies) and
// normalizeStatsGrad (from the sums of normalizeSums to the gradients of mean and variance).

import { ulp } from "../core/accuracy.ts";
import { numel } from "../core/shape.ts";
import { mapArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { defineOp, type Kernel } from "../graph/op.ts";
import { elementwiseSplit } from "./elementwise.ts";
import { ceilDiv, workgroupSize } from "./layout.ts";
import { affine, vecs } from "./norm_shape.ts";

const { abs, sqrt } = Math;

interface EpsAttrs extends Attrs {
  readonly eps: number;
}

/** One dispatch over [C] vectors with two outputs; `body` computes r: vec2<f32> from v0…v3 at c and u.e0. */
function vectorPair(body: string): Kernel<EpsAttrs> {
  return {
    name: "vector",
    dispatches: (c) => {
      const WG = workgroupSize(c.device);
      const n = c.outputs[0].shape[0];
      const offsets = Object.fromEntries([0, 1, 2, 3].map((i) => [`o${i}`, c.inputs[i].offset]));
      return [
        {
          shader: "vector_pair",
          params: { WG },
          hooks: { pair: body },
          bind: {
            v0: { in: 0 },
            v1: { in: 1 },
            v2: { in: 2 },
            v3: { in: 3 },
            r0: { out: 0 },
            r1: { out: 1 },
          },
          uniforms: { n, y0: c.outputs[0].offset, y1: c.outputs[1].offset, ...offsets, e0: c.attrs.eps },
          grid: [ceilDiv(n, WG), 1, 1],
        },
      ];
    },
  };
}

/** s and t of normalize per channel, from mean, var, w, b: what a convolution's load applies. */
defineOp<EpsAttrs>({
  name: "normalizeAffine",
  infer: ([mean]) => [
    { shape: mean.shape, dtype: "f32" },
    { shape: mean.shape, dtype: "f32" },
  ],
  ref: ([mean, variance, w, b], a) => affine(mean, variance, w, b, a.eps),
  terms: () => 2,
  magnitude: ([mean, variance, w, b], a) => {
    const s = mapArray(w, (v, c) => abs(v) / sqrt(variance.data[c] + a.eps));
    return [s, mapArray(b, (v, c) => abs(v) + abs(mean.data[c]) * s.data[c])];
  },
  builtin: ([mean, variance, w], _o, a) => {
    const e = w.data.map((v, c) => abs(v) * 3 * ulp(1 / sqrt(variance.data[c] + a.eps)));
    return [e, e.map((v, c) => v * abs(mean.data[c]))];
  },
  cost: ([mean]) => ({ flops: 4 * numel(mean.shape) }),
  kernels: [
    vectorPair(
      "let s = v2[u.o2 + c] * inverseSqrt(v1[u.o1 + c] + u.e0); return vec2<f32>(s, fma(-v0[u.o0 + c], s, v3[u.o3 + c]));",
    ),
  ],
  samples: [{ inputs: vecs(7), attrs: { eps: 1e-5 }, differentiable: false }],
  split: elementwiseSplit,
});

/** Gradients of the statistics: gmean = -w·r·s1, gvar = -½·w·r²·s2 with r = 1 / sqrt(var + eps). */
defineOp<EpsAttrs>({
  name: "normalizeStatsGrad",
  infer: ([s1]) => [
    { shape: s1.shape, dtype: "f32" },
    { shape: s1.shape, dtype: "f32" },
  ],
  ref: ([s1, s2, variance, w], a) => {
    const r = mapArray(variance, (v) => 1 / sqrt(v + a.eps));
    return [
      mapArray(s1, (v, c) => -w.data[c] * r.data[c] * v),
      mapArray(s2, (v, c) => -0.5 * w.data[c] * r.data[c] ** 2 * v),
    ];
  },
  terms: () => 4,
  builtin: ([s1, s2, variance, w], _o, a) => {
    const e = variance.data.map((v) => 2 * ulp(1 / sqrt(v + a.eps)));
    const r = variance.data.map((v) => 1 / sqrt(v + a.eps));
    return [
      s1.data.map((v, c) => abs(v * w.data[c]) * e[c]),
      s2.data.map((v, c) => abs(v * w.data[c]) * r[c] * 1.5 * e[c]),
    ];
  },
  magnitude: ([s1, s2, variance, w], a) => {
    const r = mapArray(variance, (v) => 1 / sqrt(v + a.eps));
    return [
      mapArray(s1, (v, c) => abs(w.data[c] * r.data[c] * v)),
      mapArray(s2, (v, c) => abs(0.5 * w.data[c] * r.data[c] ** 2 * v)),
    ];
  },
  cost: ([s1]) => ({ flops: 6 * numel(s1.shape) }),
  kernels: [
    vectorPair(
      "let r = inverseSqrt(v2[u.o2 + c] + u.e0); let k = v3[u.o3 + c] * r; return vec2<f32>(-k * v0[u.o0 + c], -0.5 * k * r * v1[u.o1 + c]);",
    ),
  ],
  samples: [
    {
      inputs: [{ shape: [7] }, { shape: [7] }, { shape: [7], low: 0.3, high: 2 }, { shape: [7] }],
      attrs: { eps: 1e-5 },
      differentiable: false,
    },
  ],
  split: elementwiseSplit,
});
