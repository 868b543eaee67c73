// Winograd's F(2×2, 3×3): a 3×3 convolution at stride 1 as 16 products of transformed weights and pixels, 2.25 times fewer
// multiplications and about four times the bytes. Four dispatches: weights, pixels, products (gemm.wgsl), outputs; that
// of the weights stands alone.

import type { Attrs } from "../graph/node.ts";
import type { Call, DeviceTraits, Dispatch, Kernel, Params } from "../graph/op.ts";
import type { StripCall } from "./conv_tiles.ts";
import { gemmFits } from "./gemm.ts";
import { type Fused, product, storeHooks, UNFUSED } from "./gemm_call.ts";
import { ceilDiv, workgroupSize } from "./layout.ts";

/** x, y and window; how the weights lie, tap by tap. */
export interface WinogradCall {
  readonly s: StripCall;
  readonly w: { readonly w0: number; readonly wk: number; readonly wm: number; readonly wt: number };
}

/**
 * Winograd's sums cancel where the convolution's do not, so with few channels one large pixel puts its neighbours' results
 * beyond the error allowed. That rounding does not grow with the channels as the error allowed does: from here on it is
 * far inside (test/cpu/winograd_rounding.test.ts), unless the same tap or pixel is large in all channels at once.
 */
const LEAST_CHANNELS = 64;

/** By bytes and multiplications, fewer channels gain nothing on GPUs whose memory is slow beside their arithmetic. */
const USUAL_CHANNELS = 256;

/** Elements of scratch beyond which it would be cut for the binding limit that every device has (128 MiB). */
const MOST_ELEMENTS = 2 ** 25;

export function winogradFits({ s }: WinogradCall): boolean {
  const unit = [...s.stride, ...s.dilation].every((v) => v === 1);
  return unit && s.kh === 3 && s.kw === 3 && s.k >= LEAST_CHANNELS;
}

function tilesOf({ s }: WinogradCall) {
  const [th, tw] = [ceilDiv(s.oh, 2), ceilDiv(s.ow, 2)];
  const tiles = s.n * th * tw;
  // Rows of whole vec4s; what lies behind the tiles is computed from whatever is there, and not read.
  return { th, tw, tiles, wide: 4 * ceilDiv(tiles, 4) };
}

function scratchOf(w: WinogradCall) {
  const { wide } = tilesOf(w);
  const { m, k } = w.s;
  return { weights: 16 * m * k, pixels: 16 * k * wide, products: 16 * m * wide };
}

function scoreOf(w: WinogradCall, device: DeviceTraits): number {
  if (device.software) return -1;
  const large = Math.min(w.s.m, w.s.k) >= USUAL_CHANNELS && tilesOf(w).tiles >= 256;
  return large && Object.values(scratchOf(w)).every((n) => n <= MOST_ELEMENTS) ? 12 : 2;
}

function transforms({ s, w }: WinogradCall, WG: number, fused: Fused): readonly [Dispatch, Dispatch] {
  const { th, tw, tiles, wide } = tilesOf({ s, w });
  const { x, bias: _bias, w: weights, ...vectors } = fused.bind;
  const { scale0, shift0 } = fused.vectors;
  return [
    {
      shader: "winograd_weight",
      params: { WG },
      bind: { w: weights, y: { scratch: "weights" } },
      uniforms: { m: s.m, k: s.k, ...w },
      grid: [ceilDiv(s.k, WG), s.m, 1],
    },
    {
      shader: "winograd_input",
      params: { WG },
      hooks: fused.onLoad,
      bind: { x, ...vectors, y: { scratch: "pixels" } },
      uniforms: {
        c: s.k,
        ih: s.ih,
        iw: s.iw,
        th,
        tw,
        tiles,
        wide,
        pt: s.pt,
        pl: s.pl,
        x0: s.x.offset,
        xn: s.x.batchStride,
        scale0,
        shift0,
      },
      grid: [ceilDiv(tiles, WG), s.k, 1],
    },
  ];
}

function products(w: WinogradCall, params: Params): Dispatch {
  const { m, k } = w.s;
  const { wide } = tilesOf(w);
  const call = {
    e: { m, n: wide, k, batch: 16 },
    a: { at: 0, batch: m * k, outer: k, k: 1 },
    b: { at: 0, batch: k * wide, outer: 1, k: wide },
    y: { at: 0, batch: m * wide, row: wide },
  };
  const bind = { a: { scratch: "weights" }, b: { scratch: "pixels" } };
  return product(call, { ...params, SK: 1 }, { ...UNFUSED, bind }, { scratch: "products" });
}

function outputs(w: WinogradCall, WG: number, fused: Fused): Dispatch {
  const { s } = w;
  const { bias } = fused.bind;
  return {
    shader: "winograd_output",
    params: { WG },
    hooks: storeHooks(fused, false),
    bind: { x: { scratch: "products" }, ...(bias ? { bias } : {}), y: { out: 0 } },
    uniforms: {
      m: s.m,
      oh: s.oh,
      ow: s.ow,
      ...tilesOf(w),
      y0: s.y.offset,
      yn: s.y.batchStride,
      bias0: fused.vectors.b0,
    },
    grid: [ceilDiv(tilesOf(w).tiles, WG), s.m, 1],
  };
}

/** The kernel of a convolution or an input gradient without groups. */
export function winogradKernel<A extends Attrs>(
  when: (c: Call<A>) => boolean,
  call: (c: Call<A>) => WinogradCall,
  fused: (c: Call<A>) => Fused,
): Kernel<A> {
  return {
    name: "winograd",
    when: (c) => when(c) && winogradFits(call(c)) && gemmFits(c.params, c.device),
    score: (c) => scoreOf(call(c), c.device),
    space: { BM: [64, 128], BN: [64] },
    scratch: (c) => scratchOf(call(c)),
    dispatches: (c) => {
      const w = call(c);
      const WG = workgroupSize(c.device);
      return [...transforms(w, WG, fused(c)), products(w, c.params), outputs(w, WG, fused(c))];
    },
  };
}
