// Checks of arguments that layers, functions and losses share: tensors, and the options of windows (convolutions and
// pools) with their defaults and the attributes that the ops take.

import { ShapeError, UsageError } from "../core/error.ts";
import { checkFlag, checkNumber, checkOptions, checkWord, shown } from "../core/options.ts";
import { type Pair, pair } from "../core/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Throws unless `v` is a Tensor. */
export function checkTensor(what: string, name: string, v: unknown): asserts v is Tensor {
  if (!(v instanceof Tensor)) throw new UsageError(`${what}: ${name} must be a Tensor, got ${shown(v)}`);
}

/** Throws unless `v` is a Tensor, null or left out. */
export function checkOptionalTensor(what: string, name: string, v: unknown): void {
  if (v !== null && v !== undefined) checkTensor(what, name, v);
}

type Pads = readonly [number, number, number, number];

/** Options of convolutions, with torch's names and defaults. */
export interface ConvOptions {
  /** Step of the window, one number or (height, width). Default 1. */
  readonly stride?: Pair;
  /**
   * Zeros around the image: one number, (height, width), (top, bottom, left, right), "valid" for none, or "same" for
   * as many as keep the image's size at stride 1, the odd one below and to the right. Default 0.
   */
  readonly padding?: Pair | Pads | "same" | "valid";
  /** Distance of the window's elements. Default 1. */
  readonly dilation?: Pair;
  /** Channels in and out fall into so many groups that do not meet. Default 1. */
  readonly groups?: number;
}

export const CONV_OPTIONS = [
  "stride",
  "padding",
  "dilation",
  "groups",
] as const satisfies readonly (keyof ConvOptions)[];

/** Options that all pools have. */
export interface PoolOptions {
  /** Step of the window. Default: the window. */
  readonly stride?: Pair;
  /** Zeros (for the maximum: nothing) around the image, at most half of the window. Default 0. */
  readonly padding?: Pair;
  /** Count windows that reach beyond the lower or right edge. Default false. */
  readonly ceilMode?: boolean;
}

/** Options of maxPool2d. */
export interface MaxPoolOptions extends PoolOptions {
  /** Distance of the window's elements. Default 1. */
  readonly dilation?: Pair;
}

/** Options of avgPool2d. */
export interface AvgPoolOptions extends PoolOptions {
  /** Count padding in the divisor. Default true. */
  readonly countIncludePad?: boolean;
  /** The divisor, above 0, instead of the window's size. Default null. */
  readonly divisorOverride?: number | null;
}

const POOL = ["stride", "padding", "ceilMode"] as const satisfies readonly (keyof PoolOptions)[];

/** Padding as [top, bottom, left, right] of a window that reaches over `span` (height, width). */
function pads(p: unknown, what: string, span: readonly [number, number], stride: readonly number[]): Pads {
  if (p === "valid") return [0, 0, 0, 0];
  if (p === "same") {
    if (stride.some((s) => s !== 1))
      throw new ShapeError(`${what}: padding "same" needs a stride of 1, got ${stride}`);
    const [h, w] = span.map((s) => s - 1);
    return [h >> 1, h - (h >> 1), w >> 1, w - (w >> 1)];
  }
  if (typeof p === "string") checkWord(what, "padding", p, ["same", "valid"]);
  if (Array.isArray(p) && p.length === 4)
    return [...pair([p[0], p[1]], `${what}: padding`, 0), ...pair([p[2], p[3]], `${what}: padding`, 0)];
  const [h, w] = pair(p as Pair, `${what}: padding`, 0);
  return [h, h, w, w];
}

/** Attributes of conv2d but for those of fusing. Throws for options that there are not or that do not suit. */
export function convAttrs(what: string, kernel: Pair, options: ConvOptions) {
  checkOptions(what, options, CONV_OPTIONS);
  const { groups = 1, padding = 0 } = options;
  checkNumber(what, "groups", groups, { whole: true, min: 1 });
  const k = pair(kernel, `${what}: kernel size`, 1);
  const { stride: s = 1, dilation: d = 1 } = options;
  const stride = pair(s, `${what}: stride`, 1);
  const dilation = pair(d, `${what}: dilation`, 1);
  const span = [dilation[0] * (k[0] - 1) + 1, dilation[1] * (k[1] - 1) + 1] as const;
  return { stride, padding: pads(padding, what, span, stride), dilation, groups };
}

function poolAttrs(what: string, kernel: Pair, options: MaxPoolOptions) {
  const { stride = kernel, padding = 0, dilation = 1, ceilMode = false } = options;
  const [ph, pw] = pair(padding, `${what}: padding`, 0);
  checkFlag(what, "ceilMode", ceilMode);
  return {
    kernel: pair(kernel, `${what}: kernel size`, 1),
    stride: pair(stride, `${what}: stride`, 1),
    padding: [ph, ph, pw, pw],
    dilation: pair(dilation, `${what}: dilation`, 1),
    ceilMode,
  };
}

/** Attributes of maxPool2d. */
export function maxPoolAttrs(what: string, kernel: Pair, options: MaxPoolOptions) {
  checkOptions(what, options, [...POOL, "dilation"]);
  return poolAttrs(what, kernel, options);
}

/** Attributes of avgPool2d but for those of fusing. */
export function avgPoolAttrs(what: string, kernel: Pair, options: AvgPoolOptions) {
  checkOptions(what, options, [...POOL, "countIncludePad", "divisorOverride"]);
  const { countIncludePad = true, divisorOverride = null, ...rest } = options;
  checkFlag(what, "countIncludePad", countIncludePad);
  if (divisorOverride !== null)
    checkNumber(what, "divisorOverride", divisorOverride, { min: 0, above: true });
  return { ...poolAttrs(what, kernel, rest), adaptive: null, countIncludePad, divisor: divisorOverride };
}

/** One extent for both axes, or (height, width); null keeps the input's. */
export type OutputSize = number | readonly [number | null, number | null];

/** Attributes of avgPool2d over windows that give a certain size; `x` is the input's shape, null if not known yet. */
export function adaptiveAttrs(what: string, size: OutputSize, x: readonly number[] | null) {
  const own = (i: 0 | 1) => x?.[2 + i] ?? 1;
  const filled = Array.isArray(size) && size.length === 2 ? size.map((s, i) => s ?? own(i as 0 | 1)) : size;
  return {
    ...poolAttrs(what, 1, {}),
    adaptive: pair(filled as Pair, `${what}: output size`, 1),
    countIncludePad: true,
    divisor: null,
  };
}

/** What becomes of the single losses: their mean, their sum, or themselves. */
export type Reduction = "mean" | "sum" | "none";

/** Options that all losses have. */
export interface LossOptions {
  /** "mean" (default), "sum", or "none" for the losses themselves. */
  readonly reduction?: Reduction;
}

/** Options of losses of classes. */
export interface ClassLossOptions extends LossOptions {
  /** Weight of each class, [C]. */
  readonly weight?: Tensor | null;
  /** Targets of this class count for nothing. Default -100. */
  readonly ignoreIndex?: number;
}

/** Options of crossEntropy. */
export interface CrossEntropyOptions extends ClassLossOptions {
  /** Share of the target, from 0 to 1, that is spread evenly over all classes. Default 0. */
  readonly labelSmoothing?: number;
}

/** Options of binaryCrossEntropy. */
export interface BinaryLossOptions extends LossOptions {
  /** Weight of each loss; broadcasts to the input's shape. */
  readonly weight?: Tensor | null;
}

/** Options of binaryCrossEntropyWithLogits. */
export interface BinaryLogitsOptions extends BinaryLossOptions {
  /** Weight of positives; broadcasts to the input's shape. */
  readonly posWeight?: Tensor | null;
}

type AnyLossOptions = CrossEntropyOptions & BinaryLogitsOptions;

/** Throws for options of a loss that are not among `known`, or are no tensors, words or numbers of theirs. */
export function checkLoss(
  what: string,
  options: AnyLossOptions,
  known: readonly (keyof AnyLossOptions)[],
): void {
  checkOptions(what, options, known);
  const { weight, posWeight, ignoreIndex = -100, reduction = "mean", labelSmoothing = 0 } = options;
  checkOptionalTensor(what, "weight", weight);
  checkOptionalTensor(what, "posWeight", posWeight);
  checkWord(what, "reduction", reduction, ["mean", "sum", "none"]);
  checkNumber(what, "ignoreIndex", ignoreIndex, { whole: true });
  checkNumber(what, "labelSmoothing", labelSmoothing, { min: 0, max: 1 });
}
