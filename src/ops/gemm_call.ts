// Calls of shaders/gemm.wgsl: two operands by their strides, and pictures on the columns (1×1 convolutions) or on k
// (their weight gradient). Says when four neighbours can be loaded and stored as one.

import type { Attrs } from "../graph/node.ts";
import type { Bound, Call, Dispatch, Kernel, Operand, Params } from "../graph/op.ts";
import { reluOf } from "./conv_shape.ts";
import { NO_VECTORS } from "./conv_tiles.ts";
import { cutOf, type Extents, gemmGrid, rowsOf, splitSum, stagedType, tileKernels } from "./gemm.ts";
import { vectorOf } from "./layout.ts";

/** Where an operand begins and how far its batches, its rows (of a) or columns (of b), and its k lie apart. */
export interface Side {
  readonly at: number;
  readonly batch: number;
  readonly outer: number;
  readonly k: number;
}

/** Pixels of a picture, and how far pictures lie apart in the operands that have them. */
export interface Pictures {
  readonly plane: number;
  readonly a?: number;
  readonly b: number;
  readonly y?: number;
}

export interface GemmCall {
  readonly e: Extents;
  readonly a: Side;
  readonly b: Side;
  /** Where y begins, its batches and its rows lie apart; columns are neighbours. */
  readonly y: { readonly at: number; readonly batch: number; readonly row: number };
  readonly columns?: Pictures;
  readonly along?: Pictures;
}

/** What is done to b on load and to y on store, and the operands that this takes. */
export interface Fused {
  /** Bodies of `channel` and `prologue`, by vec4. */
  readonly onLoad: Readonly<Record<string, string>>;
  readonly relu: boolean;
  /** Inputs by the shader's names; a bias is added where one is bound, to rows unless said. */
  readonly bind: Dispatch["bind"];
  readonly biasOf?: "rows" | "columns";
  readonly vectors: { readonly b0: number; readonly scale0: number; readonly shift0: number };
}

/** A product of two operands and nothing else. */
export const UNFUSED: Pick<Fused, "onLoad" | "relu" | "vectors"> = {
  onLoad: {},
  relu: false,
  vectors: NO_VECTORS,
};

/** Hook bodies for what happens before a result is stored. */
export function storeHooks(fused: Fused, vec: boolean): Record<string, string> {
  return {
    ...(fused.bind.bias ? { start: "return bias[u.bias0 + m];" } : {}),
    ...(fused.relu ? { activate: `return ${reluOf("v", vec ? 4 : 1)};` } : {}),
  };
}

/** `storeHooks` of a tile, whose bias may go by columns: an invocation has four of them. */
function tileHooks(fused: Fused): Record<string, string> {
  const { start, ...rest } = storeHooks(fused, true);
  if (!start || fused.biasOf !== "columns") return storeHooks(fused, true);
  const four = [0, 1, 2, 3].map((i) => `bias[u.bias0 + min(n + ${i}u, u.n - 1u)]`);
  return { ...rest, start_columns: `return vec4<f32>(${four.join(", ")});` };
}

const fours = (...values: readonly number[]): boolean => values.every((v) => v % 4 === 0);

/**
 * Whether b's neighbours are loaded along k. Its batch norm on load is by channel: neighbours must then be of one, and
 * channels lie on k unless pictures do.
 */
const bAlong = (g: GemmCall, fused: Fused): boolean =>
  g.b.k === 1 && (g.along !== undefined || !fused.onLoad.prologue);

interface Run {
  /** Neighbours that an operand is loaded by: along k, or across it. */
  readonly along: boolean;
  readonly outer: number;
  readonly k: number;
}

/** Whether four neighbours of an operand always lie in one aligned vec4. */
function loadsFour(s: Side, run: Run, pictures: readonly (number | undefined)[]): boolean {
  const [length, step] = run.along ? [run.k, s.outer] : [run.outer, s.k];
  return fours(s.at, s.batch, length, step, ...pictures.map((p) => p ?? 0));
}

/** Whether a, b and y all go by vec4; one switch, so that few pipelines serve all products. */
function allFours(g: GemmCall, fused: Fused, to: ReturnType<typeof target>): boolean {
  const { m, n, k } = g.e;
  return (
    loadsFour(g.a, { along: g.a.k === 1, outer: m, k }, [g.along?.plane, g.along?.a]) &&
    loadsFour(g.b, { along: bAlong(g, fused), outer: n, k }, [
      g.along?.plane,
      g.along?.b,
      g.columns?.plane,
      g.columns?.b,
    ]) &&
    fours(n, ...Object.values(to))
  );
}

const FOURS = { load_a: "return a[at / 4u];", load_b: "return b[at / 4u];", store: "y[at.x / 4u] = v;" };

function placeHooks(g: GemmCall): Record<string, string> {
  const by = (i: string, far: string, near: string) =>
    `return ${i} / u.plane * u.${far} + ${i} % u.plane${near};`;
  if (g.along) return { place_ak: by("k", "ap", ""), place_bk: by("k", "bp", "") };
  return g.columns ? { place_bn: by("n", "bp", ""), place_yn: by("n", "yp", "") } : {};
}

/** Where the results go: y, or the parts laid out as a dense y. */
function target(g: GemmCall, parts: number) {
  const { m, n, batch } = g.e;
  const plane = g.columns?.plane ?? n;
  if (parts === 1) return { y0: g.y.at, yb: g.y.batch, ym: g.y.row, yp: g.columns?.y ?? 0, part: 0 };
  return { y0: 0, yb: m * n, ym: plane, yp: m * plane, part: batch * m * n };
}

/** The product, and the sum of its parts where k is cut. */
function gemmDispatches(
  g: GemmCall,
  c: Pick<Call, "params" | "device">,
  y: Operand,
  fused: Fused,
): Dispatch[] {
  const { parts } = cutOf(g.e.k, c.params.SK);
  const first = product(g, c.params, fused, parts === 1 ? { out: 0 } : { scratch: "parts" });
  if (parts === 1) return [first];
  const channels =
    fused.biasOf === "columns"
      ? { plane: 1, m: g.e.n, bias0: fused.vectors.b0 }
      : { plane: g.columns?.plane ?? 1, m: g.e.m, bias0: fused.vectors.b0 };
  const { bias } = fused.bind;
  return [first, splitSum(parts, y, c.device, { hooks: storeHooks(fused, false), bias, channels })];
}

/** The product alone, into `y`: y, or what holds the parts. */
export function product(g: GemmCall, params: Params, fused: Fused, y: Bound): Dispatch {
  const { BM, BN, SK } = params;
  const { m, n, k } = g.e;
  const { per, parts } = cutOf(k, SK);
  const to = target(g, parts);
  const vec = allFours(g, fused, to);
  const { bias, ...operands } = fused.bind;
  const whole = parts === 1;
  return {
    shader: "gemm",
    params: {
      BM,
      BN,
      TM: rowsOf(BM),
      V: vec ? 4 : 1,
      A_ALONG: g.a.k === 1 ? 1 : 0,
      B_ALONG: bAlong(g, fused) ? 1 : 0,
    },
    types: { Four: vectorOf(vec ? 4 : 1), ...stagedType(params) },
    hooks: {
      ...placeHooks(g),
      ...fused.onLoad,
      ...(whole ? tileHooks(fused) : {}),
      ...(vec ? FOURS : {}),
    },
    bind: { ...operands, ...(bias && whole ? { bias } : {}), y },
    uniforms: {
      m,
      n,
      k,
      per,
      parts,
      a0: g.a.at,
      ab: g.a.batch,
      am: g.a.outer,
      ak: g.a.k,
      b0: g.b.at,
      bb: g.b.batch,
      bk: g.b.k,
      bn: g.b.outer,
      plane: (g.columns ?? g.along)?.plane ?? 1,
      ap: g.along?.a ?? 0,
      bp: (g.columns ?? g.along)?.b ?? 0,
      ...to,
      bias0: fused.vectors.b0,
      scale0: fused.vectors.scale0,
      shift0: fused.vectors.shift0,
    },
    grid: gemmGrid(g.e, params, parts),
  };
}

/** How calls of an op are products. */
export interface GemmForm<A extends Attrs> {
  readonly when: (c: Call<A>) => boolean;
  readonly call: (c: Call<A>) => GemmCall;
  readonly fused: (c: Call<A>) => Fused;
  /** Whether operands may be rounded to f16 where the user asked for that. */
  readonly half?: boolean;
}

/** The kernels of an op whose calls are products: `gemm`, and `gemm_tall` of taller tiles. */
export function gemmKernels<A extends Attrs>(form: GemmForm<A>): readonly Kernel<A>[] {
  return tileKernels("gemm", {
    when: form.when,
    half: form.half,
    extents: (c) => form.call(c).e,
    dispatches: (c) => gemmDispatches(form.call(c), c, c.outputs[0], form.fused(c)),
  });
}
