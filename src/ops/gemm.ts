// Products by tiles in workgroup memory, for GPUs (shaders/gemm.wgsl and its kin): which tile, into how many parts k is
// cut, and the pass that adds the parts. What is multiplied (matrices, pixels, windows) is the caller's business.

import type { Attrs } from "../graph/node.ts";
import type { Call, DeviceTraits, Dispatch, Kernel, Operand, Params } from "../graph/op.ts";
import { ceilDiv, foldGrid, rowSize, workgroupSize } from "./layout.ts";

/** Extents of y[m,n] = Σ_k, done `batch` times. */
export interface Extents {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch: number;
}

/** Length of the panels of k in workgroup memory; 16 was best on NVIDIA, with 32 and 64 behind. */
export const PANEL = 16;

/** Rows and columns of a workgroup's tile, and parts of k. */
const GEMM_SPACE = { BM: [64, 32], BN: [64, 32], SK: [1, 2, 4, 8, 32] } as const;

/** The tall tile, of 8×4 outputs an invocation: fewest reads a product, where there is enough work for it. */
const TALL_SPACE = { BM: [128], BN: [64], SK: [1, 2, 4] } as const;

/** Outputs an invocation keeps: 8×4 in tall tiles, else 4×4. */
export const rowsOf = (BM: number): number => (BM >= 128 ? 8 : 4);

const threadsOf = ({ BM, BN }: Params): number => (BM / rowsOf(BM)) * (BN / 4);

/**
 * Speed of a full grid of these tiles against the best: 14.84, 14.18 and about 9.6 TFLOP/s on an A100 (sokrypton/localfold,
 * docs/A100.md). Small tiles read each operand more often.
 */
const speedOf = (BM: number, BN: number): number => (BM * BN >= 8192 ? 1 : BM * BN >= 4096 ? 0.95 : 0.65);

const tilesOf = (e: Extents, BM: number, BN: number): number => ceilDiv(e.m, BM) * ceilDiv(e.n, BN) * e.batch;

/** Workgroups that keep the device busy: two a multiprocessor. */
const fullGrid = (device: DeviceTraits): number => 2 * device.multiprocessors;

/** Parts of k that fill the device, each of at least eight panels. */
function partsFor(e: Extents, tiles: number, device: DeviceTraits): number {
  return Math.max(1, Math.min(Math.round(fullGrid(device) / tiles), Math.floor(e.k / (8 * PANEL))));
}

type Tile = readonly [BM: number, BN: number];

/** Expected time of a tile, up to a factor: padded outputs over speed, more where the grid leaves the device idle. */
function timeOf(e: Extents, [BM, BN]: Tile, device: DeviceTraits): number {
  if (threadsOf({ BM, BN }) > device.maxInvocations) return Number.POSITIVE_INFINITY;
  const tiles = tilesOf(e, BM, BN);
  const groups = tiles * partsFor(e, tiles, device);
  return ((tiles * BM * BN) / speedOf(BM, BN)) * Math.max(1, fullGrid(device) / groups);
}

const TALL: Tile = [128, 64];
const TILES: readonly Tile[] = [
  [64, 64],
  [32, 64],
  [64, 32],
  [32, 32],
];

const quickest = (e: Extents, device: DeviceTraits): Tile =>
  TILES.reduce((best, t) => (timeOf(e, t, device) < timeOf(e, best, device) ? t : best));

/** The tile and split for these extents, without the tall tile. */
function gemmPick(e: Extents, device: DeviceTraits): Params {
  const [BM, BN] = quickest(e, device);
  return { BM, BN, SK: partsFor(e, tilesOf(e, BM, BN), device) };
}

function tallPick(e: Extents, device: DeviceTraits): Params {
  return { BM: 128, BN: 64, SK: partsFor(e, tilesOf(e, 128, 64), device) };
}

const isThin = (e: Extents): boolean => Math.min(e.m, e.n) < 12;

/**
 * Behind everything in software, where workgroup memory is slow; on GPUs ahead of the register tiles, except for products
 * so thin that most of a tile would be padding.
 */
function gemmScore(e: Extents, device: DeviceTraits): number {
  if (device.software) return -1;
  return isThin(e) ? 3 : 10;
}

/** One more where the tall tile is expected to be quicker than the others. */
function tallScore(e: Extents, device: DeviceTraits): number {
  const taller = timeOf(e, TALL, device) <= timeOf(e, quickest(e, device), device);
  return gemmScore(e, device) + (taller ? 1 : -1);
}

/** Whether the device can run a workgroup of this tile; `extra` bytes of tables lie beside the panels. */
export function gemmFits(params: Params, device: DeviceTraits, extra = 0): boolean {
  const bytes = 4 * PANEL * (params.BM + 4 + params.BN + 4) + extra;
  return threadsOf(params) <= device.maxInvocations && bytes <= device.workgroupStorage;
}

export interface Cut {
  /** Length of a part of k, in whole panels. */
  readonly per: number;
  readonly parts: number;
}

export function cutOf(k: number, SK: number): Cut {
  const per = Math.max(1, ceilDiv(ceilDiv(k, PANEL), SK)) * PANEL;
  return { per, parts: Math.max(1, ceilDiv(k, per)) };
}

/** Workgroups; rows of tiles go first, so that those which share columns of the larger operand run together. */
export function gemmGrid(e: Extents, { BM, BN }: Params, parts: number): [number, number, number] {
  return [ceilDiv(e.m, BM), ceilDiv(e.n, BN), e.batch * parts];
}

/** Elements of the scratch that holds the parts. */
function partsScratch(e: Extents, params: Params): Readonly<Record<string, number>> {
  const { parts } = cutOf(e.k, params.SK);
  const none: Record<string, number> = {};
  return parts > 1 ? { parts: parts * e.batch * e.m * e.n } : none;
}

/** Adds the parts into output 0 in order; `channels` says how bias goes with the outputs. */
export function splitSum(
  parts: number,
  y: Operand,
  device: DeviceTraits,
  fused: Pick<Dispatch, "hooks"> & {
    readonly bias?: Dispatch["bind"][string];
    readonly channels?: { readonly plane: number; readonly m: number; readonly bias0: number };
  } = {},
): Dispatch {
  const total = rowSize(y.shape) * (y.shape[0] ?? 1);
  const WG = workgroupSize(device);
  return {
    shader: "split_sum",
    params: { WG },
    hooks: fused.hooks,
    bind: { x: { scratch: "parts" }, ...(fused.bias ? { bias: fused.bias } : {}), y: { out: 0 } },
    uniforms: {
      total,
      parts,
      y0: y.offset,
      yrow: rowSize(y.shape),
      yn: y.batchStride,
      ...(fused.channels ?? { plane: 1, m: 1, bias0: 0 }),
    },
    grid: foldGrid(ceilDiv(total, WG), device),
  };
}

/** What the panels hold. */
export const stagedType = ({ F16 }: Params): { Staged: string } => ({ Staged: F16 === 1 ? "f16" : "f32" });

/** A product that runs by tiles: for which calls, how large it is there, and what runs. */
export interface Tiled<A extends Attrs> {
  readonly when: (c: Call<A>) => boolean;
  readonly extents: (c: Call<A>) => Extents;
  /** Bytes of tables beside the panels, for tiles of BN columns. */
  readonly tables?: (BN: number) => number;
  readonly dispatches: (c: Call<A>) => readonly Dispatch[];
  /**
   * Whether operands may be rounded to f16 where the user asked for that: activations and weights may. Gradients are not
   * rounded: a mean over a batch makes them so small that many would become zero.
   */
  readonly half?: boolean;
}

type Choice<A extends Attrs> = Pick<Kernel<A>, "precision" | "space"> & {
  readonly suffix: string;
  readonly pick: typeof gemmPick;
  readonly score: typeof gemmScore;
  readonly asked?: (device: DeviceTraits) => boolean;
};

const HALF_SPACE = { BM: [64, 128, 32], BN: [64, 32], SK: [1, 2, 4, 8, 32], F16: [1] };

/** Of all tiles the quickest, with half the traffic in workgroup memory. */
const halfPick = (e: Extents, device: DeviceTraits): Params => ({
  ...(tallScore(e, device) > gemmScore(e, device) ? tallPick : gemmPick)(e, device),
  F16: 1,
});

/** NAME for all tiles but the tall one, NAME_tall for that, NAME_f16 for panels in half precision. */
export function tileKernels<A extends Attrs>(name: string, t: Tiled<A>): readonly Kernel<A>[] {
  const kernel = (k: Choice<A>): Kernel<A> => ({
    name: name + k.suffix,
    precision: k.precision,
    when: (c) =>
      t.when(c) &&
      (k.asked?.(c.device) ?? true) &&
      t.extents(c).k > 0 &&
      gemmFits(c.params, c.device, t.tables?.(c.params.BN)),
    score: (c) => k.score(t.extents(c), c.device),
    space: k.space,
    pick: (c) => k.pick(t.extents(c), c.device),
    scratch: (c) => partsScratch(t.extents(c), c.params),
    dispatches: t.dispatches,
  });
  const half: Choice<A> = {
    suffix: "_f16",
    precision: "f16",
    space: HALF_SPACE,
    pick: halfPick,
    // Asked for, so ahead of everything but where tiles would be padding, in software too.
    score: (e) => (isThin(e) ? 3.5 : 13),
    asked: (device) => device.f16,
  };
  return [
    kernel({ suffix: "", space: GEMM_SPACE, pick: gemmPick, score: gemmScore }),
    kernel({ suffix: "_tall", space: TALL_SPACE, pick: tallPick, score: tallScore }),
    ...(t.half ? [kernel(half)] : []),
  ];
}
