// Convolutions of any window as products with gathered operands (shaders/conv2d_gemm.wgsl and conv2d_weight_gemm.wgsl),
// for GPUs. 1×1 windows at stride 1 need no gathering and run on gemm.wgsl itself (gemm_call.ts).

import type { Attrs } from "../graph/node.ts";
import type { Call, Dispatch, Kernel, Operand } from "../graph/op.ts";
import type { ConvAttrs, Geometry } from "./conv_shape.ts";
import type { StripCall } from "./conv_tiles.ts";
import { cutOf, type Extents, gemmGrid, rowsOf, splitSum, stagedType, tileKernels } from "./gemm.ts";
import { type Fused, storeHooks } from "./gemm_call.ts";

/** A strip call (x, y, window), how the weights lie, and which way the window walks. */
export interface WindowCall {
  readonly s: StripCall;
  readonly w: { readonly w0: number; readonly wk: number; readonly wm: number };
  /** The input gradient: x is gy, read where the stride divides. */
  readonly backwards: boolean;
}

const extentsOf = ({ s }: WindowCall): Extents => ({
  m: s.m,
  n: s.n * s.oh * s.ow,
  k: s.k * s.kh * s.kw,
  batch: 1,
});

/** Forward, output (p, q) reads p·sh - pt + r·dh; backward, input h gets (h + pt - r·dh) / sh where that is whole. */
function walk({ s, backwards }: WindowCall) {
  const [sh, sw] = backwards ? [1, 1] : s.stride;
  const sign = backwards ? 1 : -1;
  const [dh, dw] = s.dilation;
  return { sh, sw, y_from: sign * s.pt, x_from: sign * s.pl, dh: -sign * dh, dw: -sign * dw };
}

function windowDispatch(w: WindowCall, c: Pick<Call, "params">, fused: Fused): Dispatch {
  const { s } = w;
  const { BM, BN, SK } = c.params;
  const e = extentsOf(w);
  const { per, parts } = cutOf(e.k, SK);
  const { bias, ...operands } = fused.bind;
  const whole = parts === 1;
  const plane = s.oh * s.ow;
  const [STEP_H, STEP_W] = w.backwards ? s.stride : [1, 1];
  return {
    shader: "conv2d_gemm",
    params: { BM, BN, TM: rowsOf(BM), STEP_H, STEP_W },
    types: stagedType(c.params),
    hooks: { ...fused.onLoad, ...(whole ? storeHooks(fused, false) : {}) },
    bind: { ...operands, ...(bias && whole ? { bias } : {}), y: whole ? { out: 0 } : { scratch: "parts" } },
    uniforms: {
      m: e.m,
      n: e.n,
      k: e.k,
      per,
      taps: s.kh * s.kw,
      kw: s.kw,
      ih: s.ih,
      iw: s.iw,
      ow: s.ow,
      plane,
      ...walk(w),
      x0: s.x.offset,
      xn: s.x.batchStride,
      ...w.w,
      y0: whole ? s.y.offset : 0,
      yn: whole ? s.y.batchStride : e.m * plane,
      part: whole ? 0 : e.m * e.n,
      bias0: fused.vectors.b0,
      scale0: fused.vectors.scale0,
      shift0: fused.vectors.shift0,
    },
    grid: gemmGrid(e, c.params, parts),
  };
}

/** Bytes of a table that describes `rows` rows or columns: a vec4 and a vec2 each. */
const tableBytes = (rows: number): number => 24 * rows;

/** Kernels of a convolution or an input gradient whose calls are `call`s. */
export function windowKernels<A extends Attrs>(
  when: (c: Call<A>) => boolean,
  call: (c: Call<A>) => WindowCall,
  fused: (c: Call<A>) => Fused,
  half = false,
): readonly Kernel<A>[] {
  return tileKernels<A>("window_gemm", {
    when,
    half,
    extents: (c) => extentsOf(call(c)),
    tables: () => tableBytes(16),
    dispatches: (c) => {
      const w = call(c);
      const f = fused(c);
      const first = windowDispatch(w, c, f);
      const { parts } = cutOf(extentsOf(w).k, c.params.SK);
      if (parts === 1) return [first];
      const channels = { plane: w.s.oh * w.s.ow, m: w.s.m, bias0: f.vectors.b0 };
      const hooks = storeHooks(f, false);
      return [first, splitSum(parts, c.outputs[0], c.device, { hooks, bias: f.bind.bias, channels })];
    },
  });
}

/** A weight gradient: x and gy, geometry, and where y lies. */
export interface WeightCall {
  readonly g: Geometry;
  readonly a: ConvAttrs;
  readonly x: Operand;
  readonly gy: Operand;
  readonly y: Operand;
}

const weightExtents = ({ g }: WeightCall): Extents => ({
  m: g.k,
  n: g.c * g.kh * g.kw,
  k: g.n * g.oh * g.ow,
  batch: 1,
});

function weightDispatch(w: WeightCall, c: Pick<Call, "params">, fused: Fused): Dispatch {
  const { g, a } = w;
  const { BM, BN, SK } = c.params;
  const e = weightExtents(w);
  const { per, parts } = cutOf(e.k, SK);
  const whole = parts === 1;
  return {
    shader: "conv2d_weight_gemm",
    params: { BM, BN, TM: rowsOf(BM) },
    hooks: fused.onLoad,
    bind: { ...fused.bind, y: whole ? { out: 0 } : { scratch: "parts" } },
    uniforms: {
      m: e.m,
      n: e.n,
      k: e.k,
      per,
      taps: g.kh * g.kw,
      kw: g.kw,
      ih: g.ih,
      iw: g.iw,
      ow: g.ow,
      plane: g.oh * g.ow,
      sh: a.stride[0],
      sw: a.stride[1],
      y_from: -a.padding[0],
      x_from: -a.padding[2],
      dh: a.dilation[0],
      dw: a.dilation[1],
      x0: w.x.offset,
      xn: w.x.batchStride,
      g0: w.gy.offset,
      gn: w.gy.batchStride,
      y0: whole ? w.y.offset : 0,
      ym: whole ? w.y.batchStride : e.n,
      part: whole ? 0 : e.m * e.n,
      scale0: fused.vectors.scale0,
      shift0: fused.vectors.shift0,
    },
    grid: gemmGrid(e, c.params, parts),
  };
}

/** Kernels of the weight gradient. */
export function weightKernels<A extends Attrs>(
  when: (c: Call<A>) => boolean,
  call: (c: Call<A>) => WeightCall,
  fused: (c: Call<A>) => Fused,
): readonly Kernel<A>[] {
  return tileKernels<A>("window_gemm", {
    when,
    extents: (c) => weightExtents(call(c)),
    tables: tableBytes,
    dispatches: (c) => {
      const first = weightDispatch(call(c), c, fused(c));
      const { parts } = cutOf(weightExtents(call(c)).k, c.params.SK);
      return parts === 1 ? [first] : [first, splitSum(parts, c.outputs[0], c.device)];
    },
  });
}
