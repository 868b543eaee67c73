// Geometry of pooling windows, as PyTorch defines it: padding [top, bottom, left, right], ceil mode, and the rule that
// the last window starts inside the input or its leading padding.

import { ShapeError } from "../core/error.ts";
import { dims4, show, type TypeOf } from "../core/shape.ts";
import type { Attrs } from "../graph/node.ts";
import type { DeviceTraits, Dispatch } from "../graph/op.ts";
import { ceilDiv, foldGrid, RUN, workgroupSize } from "./layout.ts";

export interface PoolAttrs extends Attrs {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
  readonly ceilMode: boolean;
}

function extent(
  size: number,
  k: number,
  s: number,
  lead: number,
  trail: number,
  d: number,
  ceil: boolean,
): number {
  const span = size + lead + trail - d * (k - 1) - 1;
  const out = (ceil ? Math.ceil(span / s) : Math.floor(span / s)) + 1;
  return ceil && (out - 1) * s >= size + lead ? out - 1 : out;
}

export function poolOutput(name: string, x: TypeOf, a: PoolAttrs): [number, number, number, number] {
  const [n, c, h, w] = dims4(x, `${name} x`);
  const [pt, pb, pl, pr] = a.padding;
  if (x.dtype !== "f32") throw new ShapeError(`${name}: x must be f32, got ${show(x)}`);
  const limit = (p: number, k: number, d: number) => p > Math.floor((d * (k - 1) + 1) / 2);
  if (
    limit(Math.max(pt, pb), a.kernel[0], a.dilation[0]) ||
    limit(Math.max(pl, pr), a.kernel[1], a.dilation[1])
  ) {
    throw new ShapeError(
      `${name}: padding ${pt},${pl} must be at most half of the kernel ${a.kernel.join("×")} (x: ${show(x)})`,
    );
  }
  const oh = extent(h, a.kernel[0], a.stride[0], pt, pb, a.dilation[0], a.ceilMode);
  const ow = extent(w, a.kernel[1], a.stride[1], pl, pr, a.dilation[1], a.ceilMode);
  if (oh < 1 || ow < 1)
    throw new ShapeError(`${name}: the kernel ${a.kernel.join("×")} does not fit ${show(x)}`);
  return [n, c, oh, ow];
}

/** Outputs that an invocation makes, about: software devices are slow at the divisions that find a place. */
const share = ({ software }: DeviceTraits): number => (software ? RUN : 1);

/**
 * The outputs [n, c, rows, columns] of a pooling dispatch in blocks, one an invocation: `columns` by `rows` neighbours of one
 * channel, in `pictures` pictures (uniforms of these names, and the extents).
 */
export function blocks(
  [n, c, oh, ow]: readonly number[],
  device: DeviceTraits,
): Pick<Dispatch, "grid"> & { readonly WG: number; readonly extents: Readonly<Record<string, number>> } {
  const WG = workgroupSize(device);
  const columns = Math.min(ow, share(device));
  const rows = Math.min(oh, Math.ceil(share(device) / columns));
  const pictures = Math.min(n, Math.ceil(share(device) / (columns * rows)));
  const across = ceilDiv(ow, columns);
  const down = ceilDiv(oh, rows);
  const total = across * down * c * ceilDiv(n, pictures);
  const extents = { total, n, c, columns, rows, pictures, across, down };
  return { WG, extents, grid: foldGrid(ceilDiv(total, WG), device) };
}

/** The window where it is small enough to unroll, else zeros: it is walked. */
export function windowParams([KH, KW]: readonly [number, number]): { KH: number; KW: number } {
  return KH * KW <= 9 ? { KH, KW } : { KH: 0, KW: 0 };
}

/** Geometry as uniforms. */
export function poolUniforms(
  x: readonly number[],
  y: readonly number[],
  a: PoolAttrs,
): Record<string, number> {
  return {
    c: x[1],
    ih: x[2],
    iw: x[3],
    oh: y[2],
    ow: y[3],
    kh: a.kernel[0],
    kw: a.kernel[1],
    sh: a.stride[0],
    sw: a.stride[1],
    dh: a.dilation[0],
    dw: a.dilation[1],
    pt: a.padding[0],
    pl: a.padding[2],
  };
}
