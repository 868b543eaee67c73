// Convolutions with groups, depthwise ones above all: strips of pixels per invocation, the weights of a channel shared by
// the workgroup (shaders/conv2d_group*.wgsl). What bounds them is memory, on GPUs and in software alike.

import type { Call, DeviceTraits, Dispatch, Operand } from "../graph/op.ts";
import type { ConvAttrs, Geometry } from "./conv_shape.ts";
import type { VectorOffsets } from "./conv_tiles.ts";
import { splitSum } from "./gemm.ts";
import { ceilDiv, workgroupSize } from "./layout.ts";

/** Pixels of a strip, and channels of a group at a time. */
export const GROUP_SPACE = { SP: [4, 8, 2], TM: [4, 2, 1] } as const;

/** Longer strips read less twice; on GPUs shorter ones keep neighbouring lanes' reads together. */
export const groupPick = (device: DeviceTraits): { SP: number; TM: number } => ({
  SP: device.software ? 8 : 4,
  TM: 4,
});

/** The most channels up to `wanted` of which a group has whole multiples. */
function channelsAtOnce(wanted: number, perGroup: number): number {
  let t = wanted;
  while (perGroup % t !== 0) t /= 2;
  return t;
}

/** Rows that a register window can hold. */
export const groupFits = (a: ConvAttrs, kw: number): boolean =>
  a.groups > 1 && (kw - 1) * a.dilation[1] <= 16 && a.stride[1] <= 4;

interface GroupCall {
  readonly g: Geometry;
  readonly a: ConvAttrs;
  /** x and y of the convolution, or gy and gx of its input gradient. */
  readonly from: Operand;
  readonly w: Operand;
  readonly to: Operand;
}

type Fused = Pick<Dispatch, "hooks" | "bind"> & { readonly vectors: Partial<VectorOffsets> };

const shared = ({ g, a, w, to }: GroupCall) => ({
  cg: g.cg,
  kg: g.kg,
  ih: g.ih,
  iw: g.iw,
  oh: g.oh,
  ow: g.ow,
  kh: g.kh,
  sh: a.stride[0],
  dh: a.dilation[0],
  pt: a.padding[0],
  y0: to.offset,
  yn: to.batchStride,
  w0: w.offset,
  wn: w.batchStride,
});

/** The convolution. */
export function groupDispatch(s: GroupCall, c: Pick<Call, "params" | "device">, fused: Fused): Dispatch {
  const { g, a } = s;
  const { SP } = c.params;
  const TM = channelsAtOnce(c.params.TM, g.kg);
  const WG = workgroupSize(c.device);
  const strips = ceilDiv(g.ow, SP);
  const total = g.n * g.oh * strips;
  return {
    shader: "conv2d_group",
    params: { WG, TM, SP, KW: g.kw, SW: a.stride[1], DW: a.dilation[1] },
    hooks: fused.hooks,
    bind: fused.bind,
    uniforms: {
      ...shared(s),
      strips,
      total,
      pl: a.padding[2],
      x0: s.from.offset,
      xn: s.from.batchStride,
      ...fused.vectors,
    },
    grid: [ceilDiv(total, WG), g.k / TM, 1],
  };
}

/** Its input gradient. Strips are whole multiples of the stride. */
export function groupInputDispatch(s: GroupCall, c: Pick<Call, "params" | "device">): Dispatch {
  const { g, a } = s;
  const SP = a.stride[1] * ceilDiv(c.params.SP, a.stride[1]);
  const TM = channelsAtOnce(c.params.TM, g.cg);
  const WG = workgroupSize(c.device);
  const strips = ceilDiv(g.iw, SP);
  const total = g.n * g.ih * strips;
  return {
    shader: "conv2d_group_input",
    params: { WG, TM, SP, KW: g.kw, SW: a.stride[1], DW: a.dilation[1], PL: a.padding[2] },
    bind: { g: { in: 0 }, w: { in: 1 }, y: { out: 0 } },
    uniforms: { ...shared(s), strips, total, g0: s.from.offset, gn: s.from.batchStride },
    grid: [ceilDiv(total, WG), g.c / TM, 1],
  };
}

/** A weight gradient: the pictures are cut into parts where channels alone do not fill the device. */
interface GroupWeightCall {
  readonly g: Geometry;
  readonly a: ConvAttrs;
  readonly x: Operand;
  readonly gy: Operand;
  readonly y: Operand;
}

const tapsOf = ({ kh, kw }: Geometry): number => kh * kw;

/** Whether the lanes' sums of all taps fit the memory they are joined in. */
export function groupWeightFits(g: Geometry, a: ConvAttrs, device: DeviceTraits): boolean {
  return (
    groupFits(a, g.kw) && tapsOf(g) <= 49 && 4 * tapsOf(g) * workgroupSize(device) <= device.workgroupStorage
  );
}

function partsOf(g: Geometry, device: DeviceTraits): { per: number; parts: number } {
  const wanted = device.software ? 2 : 4 * device.multiprocessors;
  const per = ceilDiv(g.n, Math.max(1, Math.min(g.n, ceilDiv(wanted, g.k * g.cg))));
  return { per, parts: ceilDiv(g.n, per) };
}

export function groupWeightScratch(g: Geometry, device: DeviceTraits): Readonly<Record<string, number>> {
  const { parts } = partsOf(g, device);
  const none: Record<string, number> = {};
  return parts > 1 ? { parts: parts * g.k * g.cg * tapsOf(g) } : none;
}

export function groupWeightDispatches(
  s: GroupWeightCall,
  c: Pick<Call, "params" | "device">,
  fused: Fused,
): Dispatch[] {
  const { g, a } = s;
  const { SP } = c.params;
  const { per, parts } = partsOf(g, c.device);
  const total = g.k * g.cg * tapsOf(g);
  const whole = parts === 1;
  const first: Dispatch = {
    shader: "conv2d_group_weight",
    params: { WG: workgroupSize(c.device), SP, KH: g.kh, KW: g.kw, SW: a.stride[1], DW: a.dilation[1] },
    hooks: fused.hooks,
    bind: { ...fused.bind, y: whole ? { out: 0 } : { scratch: "parts" } },
    uniforms: {
      n: g.n,
      per,
      cg: g.cg,
      kg: g.kg,
      ih: g.ih,
      iw: g.iw,
      oh: g.oh,
      ow: g.ow,
      strips: ceilDiv(g.ow, SP),
      sh: a.stride[0],
      dh: a.dilation[0],
      pt: a.padding[0],
      pl: a.padding[2],
      x0: s.x.offset,
      xn: s.x.batchStride,
      g0: s.gy.offset,
      gn: s.gy.batchStride,
      y0: whole ? s.y.offset : 0,
      yn: whole ? s.y.batchStride : total / g.k,
      part: whole ? 0 : total,
      ...fused.vectors,
    },
    grid: [g.k, g.cg, parts],
  };
  return whole ? [first] : [first, splitSum(parts, s.y, c.device)];
}
