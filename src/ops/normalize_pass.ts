// The gradient of normalize as the schedule puts it together (rewrite "normalizeBackward"), given s and t of
// normalizeAffine; m is g where x·s + t > 0, or all of g without a ReLU.
//   normalizePass       y = [before +] m·s,  s1 = Σ m,  d = Σ m·(x - mean): everything in one walk over g and x
//   normalizeFinish     gb = s1,  gw = d·r,  gmean = [before] - w·r·s1,  gvar = [before] - ½·w·r³·d   with r = 1/√(var + eps)
//   normalizeCorrected  gx = m·s + (gmean + 2·gvar·(x - mean)) / count: with what came back through the statistics

import { ulp } from "../core/accuracy.ts";
import { numel, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { type Bound, type Call, defineOp } from "../graph/op.ts";
import {
  channelMap,
  channelsOf,
  checkVectors,
  mapChannels,
  perChannel,
  sumChannels,
  sumOf,
  vec4Able,
} from "./channels.ts";
import { elementwiseSplit } from "./elementwise.ts";
import { ceilDiv, vectorOf, workgroupSize } from "./layout.ts";
import { maskOf } from "./norm_shape.ts";

const { abs, sqrt } = Math;

interface PassAttrs extends Attrs {
  readonly relu: boolean;
  /** The last input is a tensor to add to. */
  readonly before: boolean;
}

/** g where the ReLU let x·s + t through. */
const through = (g: NDArray, x: NDArray, s: NDArray, t: NDArray, relu: boolean): NDArray =>
  relu ? mapChannels(x, (v, c, i) => (v * s.data[c] + t.data[c] > 0 ? g.data[i] : 0)) : g;

const mask = (relu: boolean, vec: boolean) => (relu ? maskOf(vec) : "a");

const pass = perChannel<PassAttrs>(
  1,
  (c, shares) => {
    const [g, x, s, t, mean] = c.inputs;
    const [y, s1, d] = c.outputs;
    const { n, c: channels, plane } = channelsOf(x, "normalizePass");
    const vec = vec4Able(plane, [g, x, y]);
    const v = vec ? 4 : 1;
    const vectors: Record<string, Bound> = { v0: { in: 2 }, v1: { in: 3 }, v2: { in: 4 } };
    return {
      shader: "normalize_pass",
      params: { ...shares },
      types: { V: vectorOf(v) },
      hooks: {
        masked: `return ${mask(c.attrs.relu, vec)};`,
        total: sumOf(vec),
        ...(c.attrs.before ? { before: "return y[i];" } : {}),
      },
      bind: {
        g: { in: 0 },
        x: { in: 1 },
        ...vectors,
        y: { out: 0 },
        r0: { out: 1 },
        r1: { out: 2 },
      },
      uniforms: {
        n,
        c: channels,
        plane: plane / v,
        g0: g.offset / v,
        gn: g.batchStride / v,
        x0: x.offset / v,
        xn: x.batchStride / v,
        y0: y.offset / v,
        yn: y.batchStride / v,
        o0: s.offset,
        o1: t.offset,
        o2: mean.offset,
        t0: s1.offset,
        t1: d.offset,
      },
    };
  },
  [[0, 5]],
);

const field = (shape: readonly number[]) => ({ shape });
const passSample = (shape: readonly number[], relu: boolean, before: boolean) => ({
  inputs: [
    field(shape),
    field(shape),
    ...[0, 1, 2].map(() => field([shape[1]])),
    ...(before ? [field(shape)] : []),
  ],
  attrs: { relu, before },
  differentiable: false,
});

defineOp<PassAttrs>({
  name: "normalizePass",
  infer: ([g, x, ...rest], a) => {
    checkVectors("normalizePass", x, a.before ? rest.slice(0, -1) : rest);
    const { c } = channelsOf(x, "normalizePass");
    const vector: TypeOf = { shape: [c], dtype: "f32" };
    return [{ shape: g.shape, dtype: "f32" }, vector, vector];
  },
  ref: ([g, x, s, t, mean, before], a) => {
    const m = through(g, x, s, t, a.relu);
    return [
      mapChannels(m, (v, c, i) => (before?.data[i] ?? 0) + v * s.data[c]),
      sumChannels(m, (v) => v),
      sumChannels(m, (v, c, i) => v * (x.data[i] - mean.data[c])),
    ];
  },
  terms: ([x]) => numel(x.shape) / x.shape[1] + 3,
  magnitude: ([g, x, s, t, mean, before], a) => {
    const m = through(g, x, s, t, a.relu);
    return [
      mapChannels(m, (v, c, i) => abs(before?.data[i] ?? 0) + abs(v * s.data[c])),
      sumChannels(m, abs),
      sumChannels(m, (v, c, i) => abs(v) * (abs(x.data[i]) + abs(mean.data[c]))),
    ];
  },
  cost: ([g]) => ({ flops: 8 * numel(g.shape) }),
  kernels: pass,
  samples: [false, true].flatMap((relu) => [
    passSample([2, 3, 4, 4], relu, false),
    passSample([3, 17, 3, 3], relu, true),
    passSample([2, 9, 8, 8], relu, true),
  ]),
  split: ([g, , ...rest], _outputs, a) => {
    const vectors = rest.length - (a.before ? 1 : 0);
    const last = a.before ? 1 : 0;
    const axis = (extent: number, large: number, small: number | null) => ({
      extent,
      inputs: [
        large,
        large,
        ...new Array<number | null>(vectors).fill(small),
        ...new Array<number>(last).fill(large),
      ],
      outputs: [large, small, small],
    });
    return [
      { ...axis(g.shape[1], 1, 0), merge: "concat" as const },
      { ...axis(g.shape[0], 0, null), merge: "sum" as const },
    ];
  },
});

interface FinishAttrs extends Attrs {
  readonly eps: number;
  /** Two more inputs, which gmean and gvar are added to. */
  readonly before: boolean;
}

const finishSample = (before: boolean) => ({
  inputs: [
    field([7]),
    field([7]),
    { shape: [7], low: 0.3, high: 2 },
    ...[1, ...(before ? [2, 3] : [])].map(() => field([7])),
  ],
  attrs: { eps: 1e-5, before },
  differentiable: false,
});

defineOp<FinishAttrs>({
  name: "normalizeFinish",
  infer: ([s1]) => [0, 1, 2, 3].map(() => ({ shape: s1.shape, dtype: "f32" as const })),
  ref: ([s1, d, variance, w, gm, gv], a) => {
    const r = mapArray(variance, (v) => 1 / sqrt(v + a.eps));
    return [
      s1,
      mapArray(d, (v, c) => v * r.data[c]),
      mapArray(s1, (v, c) => (gm?.data[c] ?? 0) - w.data[c] * r.data[c] * v),
      mapArray(d, (v, c) => (gv?.data[c] ?? 0) - 0.5 * w.data[c] * r.data[c] ** 3 * v),
    ];
  },
  terms: () => 6,
  builtin: ([s1, d, variance, w], _o, a) => {
    const r = variance.data.map((v) => 1 / sqrt(v + a.eps));
    const e = r.map((v) => 2 * ulp(v));
    return [
      new Float64Array(r.length),
      d.data.map((v, c) => abs(v) * e[c]),
      s1.data.map((v, c) => abs(v * w.data[c]) * e[c]),
      d.data.map((v, c) => abs(v * w.data[c]) * 1.5 * r[c] ** 2 * e[c]),
    ];
  },
  magnitude: ([s1, d, variance, w, gm, gv], a) => {
    const r = mapArray(variance, (v) => 1 / sqrt(v + a.eps));
    return [
      mapArray(s1, abs),
      mapArray(d, (v, c) => abs(v * r.data[c])),
      mapArray(s1, (v, c) => abs(gm?.data[c] ?? 0) + abs(w.data[c] * r.data[c] * v)),
      mapArray(d, (v, c) => abs(gv?.data[c] ?? 0) + abs(0.5 * w.data[c] * r.data[c] ** 3 * v)),
    ];
  },
  cost: ([s1]) => ({ flops: 8 * numel(s1.shape) }),
  kernels: [
    {
      name: "vector",
      inPlace: [
        [2, 4],
        [3, 5],
      ],
      dispatches: (c) => {
        const WG = workgroupSize(c.device);
        const n = c.outputs[0].shape[0];
        const at = (prefix: string, list: Call["inputs"]) =>
          Object.fromEntries(list.map((o, i) => [`${prefix}${i}`, o.offset]));
        return [
          {
            shader: "normalize_finish",
            params: { WG },
            hooks: c.attrs.before ? { before: "return vec2<f32>(r2[i2], r3[i3]);" } : undefined,
            bind: {
              s1: { in: 0 },
              d: { in: 1 },
              variance: { in: 2 },
              weight: { in: 3 },
              r0: { out: 0 },
              r1: { out: 1 },
              r2: { out: 2 },
              r3: { out: 3 },
            },
            uniforms: { n, ...at("y", c.outputs), ...at("o", c.inputs.slice(0, 4)), e0: c.attrs.eps },
            grid: [ceilDiv(n, WG), 1, 1],
          },
        ];
      },
    },
  ],
  samples: [finishSample(false), finishSample(true)],
  split: elementwiseSplit,
});

interface CorrectedAttrs extends Attrs {
  readonly relu: boolean;
  /** Values per channel of the whole batch, of which x may be a part. */
  readonly count: number;
}

defineOp<CorrectedAttrs>({
  name: "normalizeCorrected",
  infer: ([g, x, ...vectors]) => {
    checkVectors("normalizeCorrected", x, vectors);
    return [{ shape: g.shape, dtype: "f32" }];
  },
  ref: ([g, x, s, t, mean, gm, gv], a) => {
    const m = through(g, x, s, t, a.relu);
    return [
      mapChannels(x, (v, c, i) => {
        const back = gm.data[c] + 2 * gv.data[c] * (v - mean.data[c]);
        return m.data[i] * s.data[c] + back / a.count;
      }),
    ];
  },
  terms: () => 5,
  magnitude: ([g, x, s, t, mean, gm, gv], a) => {
    const m = through(g, x, s, t, a.relu);
    return [
      mapChannels(x, (v, c, i) => {
        const back = abs(gm.data[c]) + 2 * abs(gv.data[c]) * (abs(v) + abs(mean.data[c]));
        return abs(m.data[i] * s.data[c]) + back / a.count;
      }),
    ];
  },
  cost: ([g]) => ({ flops: 7 * numel(g.shape) }),
  kernels: channelMap(
    2,
    (a) => ({
      // y = m·s + (k0 + k1·(x - mean)): five values a channel, the fifth read where it is used.
      channel: "return vec4<f32>(v0[u.o0 + c], v1[u.o1 + c], v2[u.o2 + c], v3[u.o3 + c] * u.e0);",
      extra: "return 2.0 * v4[u.o4 + c] * u.e0;",
      body: (vec) => {
        const wide = (v: string) => (vec ? `vec4<f32>(${v})` : v);
        return `return fma(${wide("k")}, b - ${wide("s.z")}, fma(${mask(a.relu, vec)}, ${wide("s.x")}, ${wide("s.w")}));`;
      },
    }),
    (c) => [1 / c.attrs.count],
  ),
  samples: [false, true].flatMap((relu) => [
    {
      inputs: [field([2, 3, 4, 4]), field([2, 3, 4, 4]), ...[0, 1, 2, 3, 4].map(() => field([3]))],
      attrs: { relu, count: 32 },
      differentiable: false,
    },
    {
      inputs: [field([3, 5, 3, 3]), field([3, 5, 3, 3]), ...[0, 1, 2, 3, 4].map(() => field([5]))],
      attrs: { relu, count: 54 },
      differentiable: false,
    },
    {
      note: "planes in runs",
      inputs: [field([1, 2, 20, 15]), field([1, 2, 20, 15]), ...[0, 1, 2, 3, 4].map(() => field([2]))],
      attrs: { relu, count: 300 },
      differentiable: false,
    },
  ]),
  split: ([g]) => [
    { extent: g.shape[0], inputs: [0, 0, null, null, null, null, null], outputs: [0], merge: "concat" },
    { extent: g.shape[1], inputs: [1, 1, 0, 0, 0, 0, 0], outputs: [1], merge: "concat" },
  ],
});
