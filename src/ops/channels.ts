// What the per-channel ops (batch norm and its gradients) share: the geometry of [N, C, …] operands, and two kernels,
// a map with per-channel values (channel_map.wgsl) and a reduction per channel (channel_reduce.wgsl).

import { ShapeError } from "../core/error.ts";
import { numel, show, type TypeOf } from "../core/shape.ts";
import { type NDArray, ndarray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import type { Bound, Call, Dispatch, Kernel, Operand } from "../graph/op.ts";
import { ceilDiv, foldGrid, group, lanes, RUN, type Shares, vectorOf, workgroupSize } from "./layout.ts";

export interface Channels {
  readonly n: number;
  readonly c: number;
  /** Elements of one channel of one picture. */
  readonly plane: number;
}

export function channelsOf(t: TypeOf, what: string): Channels {
  if (t.shape.length < 2 || t.dtype !== "f32")
    throw new ShapeError(`${what}: expected f32[N, C, …], got ${show(t)}`);
  return { n: t.shape[0], c: t.shape[1], plane: numel(t.shape.slice(2)) };
}

/** Checks that each vector has one value a channel. */
export function checkVectors(what: string, x: TypeOf, vectors: readonly TypeOf[]): void {
  const { c } = channelsOf(x, what);
  for (const v of vectors) {
    if (v.shape.length !== 1 || v.shape[0] !== c || v.dtype !== "f32") {
      throw new ShapeError(
        `${what}: expected one f32 value for each of ${c} channels of ${show(x)}, got ${show(v)}`,
      );
    }
  }
}

/** Float64 map over [N, C, …] with the channel's index. */
export function mapChannels(x: NDArray, f: (v: number, c: number, i: number) => number): NDArray {
  const { c, plane } = channelsOf(x, "mapChannels");
  const out = new Float64Array(x.data.length);
  for (let i = 0; i < out.length; i++) out[i] = f(x.data[i], Math.floor(i / plane) % c, i);
  return ndarray(x.shape, out);
}

/** Float64 sum per channel of f(value, channel, flat index). */
export function sumChannels(x: NDArray, f: (v: number, c: number, i: number) => number): NDArray {
  const { c, plane } = channelsOf(x, "sumChannels");
  const out = new Float64Array(c);
  for (let i = 0; i < x.data.length; i++) {
    const ch = Math.floor(i / plane) % c;
    out[ch] += f(x.data[i], ch, i);
  }
  return ndarray([c], out);
}

export interface ChannelHooks {
  /** Body of `channel(c)`: the channel's values as a vec4, from v0…v4 and e0, e1. */
  readonly channel: string;
  /** Body of `extra(c)`: a fifth value of the channel, `k` in `f`. */
  readonly extra?: string;
  /** Body of `f(a, b, s)` (map) or `first(a, b, s)` (reduce), for V = f32 or vec4<f32>. */
  readonly body: (vec: boolean) => string;
}

export interface ReduceHooks extends ChannelHooks {
  /** Body of `second(a, b, s)`. */
  readonly second: (vec: boolean) => string;
}

export const vec4Able = (plane: number, operands: readonly Operand[]) =>
  plane % 4 === 0 && operands.every((o) => o.offset % 4 === 0 && o.batchStride % 4 === 0);

/** The large operands of a call: a, optionally b; the vectors follow them. */
function operands<A extends Attrs>(c: Call<A>, large: 1 | 2) {
  const big = c.inputs.slice(0, large);
  const bind: Record<string, Bound> = { a: { in: 0 } };
  if (large === 2) bind.b = { in: 1 };
  const offsets: Record<string, number> = {};
  for (let i = 0; i < 5; i++) {
    const v = c.inputs[large + i];
    if (v) bind[`v${i}`] = { in: large + i };
    offsets[`o${i}`] = v?.offset ?? 0;
  }
  return { big, bind, offsets };
}

/** Values that an invocation of channel_map makes. */
const UNROLL = 4;

/**
 * y[n,c,i] = f(a[n,c,i], b[n,c,i], channel values), vec4 along the plane where that fits: spread over the invocations value
 * by value (map), or in runs of a channel's values, where finding a place costs more than using it (rows).
 */
export function channelMap<A extends Attrs>(
  largeOf: 1 | 2 | ((a: A) => 1 | 2),
  hooksOf: (a: A) => ChannelHooks,
  scalars: (call: Call<A>) => readonly number[],
): Kernel<A>[] {
  const count = (c: Call<A>) => (typeof largeOf === "number" ? largeOf : largeOf(c.attrs));
  const dispatch = (c: Call<A>, rows: boolean): Dispatch => {
    const hooks = hooksOf(c.attrs);
    const large = count(c);
    const { big, bind, offsets } = operands(c, large);
    const [y] = c.outputs;
    const { n, c: channels, plane } = channelsOf(y, "channelMap");
    const vec = vec4Able(plane, [...big, y]);
    const v = vec ? 4 : 1;
    const [a, b] = [big[0], big[1] ?? big[0]];
    const [e0 = 0, e1 = 0] = scalars(c);
    const WG = workgroupSize(c.device);
    const run = Math.min(plane / v, RUN);
    const runs = ceilDiv(plane / v, run);
    const values = (n * channels * plane) / v;
    const pictures = Math.min(n, Math.ceil(RUN / 4 / run));
    const total = rows ? ceilDiv(n, pictures) * channels * runs : values;
    return {
      shader: rows ? "channel_map_rows" : "channel_map",
      params: { WG, ...(rows ? {} : { UNROLL }) },
      types: { V: vectorOf(v) },
      hooks: {
        channel: hooks.channel,
        f: hooks.body(vec),
        ...(hooks.extra ? { extra: hooks.extra } : {}),
        ...(large === 2 ? { load_b: "return b[i];" } : {}),
      },
      bind: { ...bind, y: { out: 0 } },
      uniforms: {
        total,
        plane: plane / v,
        c: channels,
        a0: a.offset / v,
        an: a.batchStride / v,
        b0: b.offset / v,
        bn: b.batchStride / v,
        y0: y.offset / v,
        yn: y.batchStride / v,
        ...offsets,
        e0,
        e1,
        ...(rows ? { n, run, runs, pictures } : {}),
      },
      grid: foldGrid(ceilDiv(total, rows ? WG : WG * UNROLL), c.device),
    };
  };
  return [
    { name: "map", dispatches: (c) => [dispatch(c, false)] },
    {
      name: "rows",
      score: (c) => (c.device.software ? 1 : -1),
      dispatches: (c) => [dispatch(c, true)],
    },
  ];
}

/**
 * Two kernels that go through each channel of input `large` as a whole: a workgroup for each (group) or, where planes are
 * small and finding a place costs much, an invocation for each (lanes). `dispatch` gets the shares for its parameters.
 */
export function perChannel<A extends Attrs>(
  large: number,
  dispatch: (call: Call<A>, shares: Shares) => Omit<Dispatch, "grid">,
  inPlace?: Kernel<A>["inPlace"],
): Kernel<A>[] {
  const geometry = (c: Call<A>) => channelsOf(c.inputs[large], "perChannel");
  const dispatched = (c: Call<A>, shares: Shares): Dispatch => ({
    ...dispatch(c, shares),
    grid: foldGrid(ceilDiv(geometry(c).c, shares.LANES), c.device),
  });
  return [
    {
      name: "group",
      inPlace,
      dispatches: (c) => [dispatched(c, group(c.device))],
    },
    {
      name: "lanes",
      inPlace,
      score: (c) => (c.device.software && geometry(c).plane <= 64 ? 1 : -1),
      dispatches: (c) => [dispatched(c, lanes(c.device))],
    },
  ];
}

/** The sum of a V's components. */
export const sumOf = (vec: boolean) => (vec ? "return (v.x + v.y) + (v.z + v.w);" : "return v;");

/** Per channel two sums of terms over (n, i). */
export function channelReduce<A extends Attrs>(
  large: 1 | 2,
  hooksOf: (a: A) => ReduceHooks,
  scalars: (call: Call<A>) => readonly number[],
): Kernel<A>[] {
  return perChannel(0, (c, shares) => {
    const hooks = hooksOf(c.attrs);
    const { big, bind, offsets } = operands(c, large);
    const { n, c: channels, plane } = channelsOf(c.inputs[0], "channelReduce");
    const vec = vec4Able(plane, big);
    const v = vec ? 4 : 1;
    const [a, b] = [big[0], big[1] ?? big[0]];
    const [e0 = 0, e1 = 0] = scalars(c);
    return {
      shader: "channel_reduce",
      params: { ...shares },
      types: { V: vectorOf(v) },
      hooks: {
        channel: hooks.channel,
        first: hooks.body(vec),
        second: hooks.second(vec),
        total: sumOf(vec),
        ...(large === 2 ? { load_b: "return b[i];" } : {}),
      },
      bind: { ...bind, r0: { out: 0 }, r1: { out: 1 } },
      uniforms: {
        n,
        c: channels,
        plane: plane / v,
        a0: a.offset / v,
        an: a.batchStride / v,
        b0: b.offset / v,
        bn: b.batchStride / v,
        y0: c.outputs[0].offset,
        y1: c.outputs[1].offset,
        ...offsets,
        e0,
        e1,
      },
    };
  });
}
