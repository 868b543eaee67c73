// channelStats — per channel of x [N, C, …]: mean[c] = Σ x / M and var[c] = Σ (x - mean)² / M, M = N·plane (biased).
// Its gradient gx = (gmean[c] + 2·gvar[c]·(x - mean[c])) / M is the op statsInput. Running means
// and squared differences, merged (Welford), never E[x²] - E[x]².

import { ShapeError } from "../core/error.ts";
import { numel, sameShape, show } from "../core/shape.ts";
import { mapArray } from "../graph/array.ts";
import type { Attrs, Value } from "../graph/node.ts";
import { defineOp } from "../graph/op.ts";
import { add, call, full, mul, mulScalar, sub } from "./build.ts";
import {
  channelMap,
  channelsOf,
  checkVectors,
  mapChannels,
  perChannel,
  sumChannels,
  vec4Able,
} from "./channels.ts";
import { vectorOf } from "./layout.ts";

/** The moments of a vec4's four components, each of `count` values. */
const FOUR = [0, 2]
  .map((i) => {
    const [p, q] = [`[${i}]`, `[${i + 1}]`];
    return `merged(Moments(mean${p}, m2${p}, count), Moments(mean${q}, m2${q}, count))`;
  })
  .reduce((a, b) => `return merged(${a}, ${b});`);

/** Merges the statistics of parts of n₁, n₂, … values (Chan, Golub and LeVeque 1979). */
function mergeStats(parts: readonly (readonly Value[])[], counts: readonly number[]): Value[] {
  const total = counts.reduce((s, n) => s + n, 0);
  const weighted = (pick: (p: readonly Value[]) => Value) =>
    parts.map((p, i) => mulScalar(pick(p), counts[i] / total)).reduce((s, v) => add(s, v));
  const mean = weighted(([m]) => m);
  const variance = weighted(([m, v]) => {
    const d = sub(m, mean);
    return add(v, mul(d, d));
  });
  return [mean, variance];
}

defineOp({
  name: "channelStats",
  infer: ([x]) => {
    const { c, n, plane } = channelsOf(x, "channelStats");
    if (n * plane < 1) throw new ShapeError(`channelStats: no values per channel in ${show(x)}`);
    return [
      { shape: [c], dtype: "f32" },
      { shape: [c], dtype: "f32" },
    ];
  },
  ref: ([x]) => {
    const { c } = channelsOf(x, "channelStats");
    const m = x.data.length / c;
    const mean = mapArray(
      sumChannels(x, (v) => v),
      (s) => s / m,
    );
    const variance = mapArray(
      sumChannels(x, (v, ch) => (v - mean.data[ch]) ** 2),
      (s) => s / m,
    );
    return [mean, variance];
  },
  vjp: ({ inputs: [x], outputs: [mean], gy: [gm, gv] }) => {
    if (!gm && !gv) return [null];
    const zero = () => full(mean.shape, 0);
    const { n, plane } = channelsOf(x, "channelStats");
    return [
      call("statsInput", [x, mean, gm ?? zero(), gv ?? zero()], {
        count: n * plane,
        before: false,
      }),
    ];
  },
  terms: ([x]) => numel(x.shape) / x.shape[1],
  magnitude: ([x]) => {
    const { c } = channelsOf(x, "channelStats");
    const m = x.data.length / c;
    const abs = mapArray(sumChannels(x, Math.abs), (s) => s / m);
    // Squares of (|x| + mean |x|) bound what the differences round.
    const sq = mapArray(
      sumChannels(x, (v, ch) => (Math.abs(v) + abs.data[ch]) ** 2),
      (s) => s / m,
    );
    return [abs, sq];
  },
  cost: ([x]) => ({ flops: 4 * numel(x.shape) }),
  kernels: perChannel(0, (c, shares) => {
    const [x] = c.inputs;
    const [mean, variance] = c.outputs;
    const { n, c: channels, plane } = channelsOf(x, "channelStats");
    const vec = vec4Able(plane, [x]);
    const v = vec ? 4 : 1;
    return {
      shader: "channel_stats",
      params: { ...shares },
      types: { V: vectorOf(v) },
      hooks: vec ? { joined: FOUR } : undefined,
      bind: { a: { in: 0 }, r0: { out: 0 }, r1: { out: 1 } },
      uniforms: {
        n,
        c: channels,
        plane: plane / v,
        a0: x.offset / v,
        an: x.batchStride / v,
        y0: mean.offset,
        y1: variance.offset,
      },
    };
  }),
  samples: [
    { inputs: [{ shape: [2, 3, 4, 4] }] },
    { inputs: [{ shape: [3, 5, 3, 3] }] },
    { note: "mean far from zero", inputs: [{ shape: [2, 2, 6, 5], low: 99, high: 101 }] },
    { inputs: [{ shape: [4, 9] }] },
    { inputs: [{ shape: [1, 2, 1, 3] }] },
    { inputs: [{ shape: [2, 17, 8, 8] }] },
    { note: "several at once, and some left over", inputs: [{ shape: [2, 2, 12, 13] }] },
    { note: "the same without vec4", inputs: [{ shape: [2, 2, 7, 7] }] },
  ],
  split: ([x]) => [
    { extent: x.shape[1], inputs: [1], outputs: [0, 0], merge: "concat" },
    { extent: x.shape[0], inputs: [0], outputs: [null, null], merge: "custom" },
  ],
  mergeParts: mergeStats,
});

interface CountAttrs extends Attrs {
  /** Values per channel of the whole batch, of which x may be a part. */
  readonly count: number;
  /** The second input is a tensor to add to. */
  readonly before: boolean;
}

/** x, what it is added to, and the vectors mean, gmean, gvar. */
function roles<T>(
  inputs: readonly T[],
  { before }: CountAttrs,
): { x: T; before: T | null; vectors: readonly T[] } {
  return { x: inputs[0], before: before ? inputs[1] : null, vectors: inputs.slice(before ? 2 : 1) };
}

defineOp<CountAttrs>({
  name: "statsInput",
  infer: (inputs, a) => {
    const { x, before, vectors } = roles(inputs, a);
    checkVectors("statsInput", x, vectors);
    if (before && !sameShape(before.shape, x.shape))
      throw new ShapeError(`statsInput: ${show(before)} is not of the shape of ${show(x)}`);
    return [{ shape: x.shape, dtype: "f32" }];
  },
  ref: (inputs, a) => {
    const { x, before, vectors } = roles(inputs, a);
    const [mean, gm, gv] = vectors;
    return [
      mapChannels(
        x,
        (v, c, i) => (before?.data[i] ?? 0) + (gm.data[c] + 2 * gv.data[c] * (v - mean.data[c])) / a.count,
      ),
    ];
  },
  terms: () => 4,
  magnitude: (inputs, a) => {
    const { abs } = Math;
    const { x, before, vectors } = roles(inputs, a);
    const [mean, gm, gv] = vectors;
    return [
      mapChannels(
        x,
        (v, c, i) =>
          abs(before?.data[i] ?? 0) +
          (abs(gm.data[c]) + 2 * abs(gv.data[c]) * (abs(v) + abs(mean.data[c]))) / a.count,
      ),
    ];
  },
  cost: ([x]) => ({ flops: 3 * numel(x.shape) }),
  kernels: channelMap(
    ({ before }) => (before ? 2 : 1),
    ({ before }) => ({
      channel: "return vec4<f32>(v0[u.o0 + c], v1[u.o1 + c] * u.e0, 2.0 * v2[u.o2 + c] * u.e0, 0.0);",
      body: (vec) => {
        const y = vec ? "fma(vec4<f32>(s.z), a - s.x, vec4<f32>(s.y))" : "fma(s.z, a - s.x, s.y)";
        return `return ${before ? `b + ${y}` : y};`;
      },
    }),
    (c) => [1 / c.attrs.count],
  ),
  samples: [false, true].flatMap((before) => {
    const sample = (shape: readonly number[], count: number) => ({
      inputs: [...(before ? [{ shape }] : []), { shape }, ...[0, 1, 2].map(() => ({ shape: [shape[1]] }))],
      attrs: { count, before },
    });
    return [sample([2, 3, 4, 4], 32), sample([3, 2, 3, 3], 54)];
  }),
  split: (inputs, _outputs, a) => {
    const { x, before, vectors } = roles(inputs, a);
    const axis = (d: 0 | 1) => ({
      extent: x.shape[d],
      inputs: [d, ...(before ? [d] : []), ...vectors.map(() => (d === 1 ? 0 : null))],
      outputs: [d],
      merge: "concat" as const,
    });
    return [axis(0), axis(1)];
  },
});
