// What conv2d, its input gradient and its weight gradient share: attributes, output sizes, and the float64 walk over
// the taps that all three references are.

import { ShapeError } from "../core/error.ts";
import { dims4, numel, show, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import type { DeviceTraits, Operand, SplitAxis } from "../graph/op.ts";
import { vectorOf, type Width } from "./layout.ts";

/** Geometry of a convolution; padding is [top, bottom, left, right]. */
export interface ConvAttrs extends Attrs {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

/** How the input is transformed on load: not at all, or act(x·scale[c] + shift[c]); padding is zero after it. */
export type Prologue = "none" | "affine" | "affineRelu";

/** A 1×1 convolution of every pixel: a matrix product. `kernel` is its height and width. */
export const isPointwise = (a: ConvAttrs, kernel: readonly number[]): boolean =>
  a.groups === 1 &&
  kernel.every((k) => k === 1) &&
  a.stride.every((s) => s === 1) &&
  a.padding.every((p) => p === 0);

/** Output extent of one axis. */
export function outExtent(size: number, k: number, stride: number, pads: number, dilation: number): number {
  return Math.floor((size + pads - dilation * (k - 1) - 1) / stride) + 1;
}

export function outSize(h: number, w: number, kh: number, kw: number, a: ConvAttrs): [number, number] {
  const [pt, pb, pl, pr] = a.padding;
  return [
    outExtent(h, kh, a.stride[0], pt + pb, a.dilation[0]),
    outExtent(w, kw, a.stride[1], pl + pr, a.dilation[1]),
  ];
}

/** Checks x against w and returns the output shape. */
export function convOutput(
  name: string,
  x: TypeOf,
  w: TypeOf,
  a: ConvAttrs,
): [number, number, number, number] {
  const [n, c, h, iw] = dims4(x, `${name} x`);
  const [k, cg, kh, kw] = dims4(w, `${name} w`);
  const both = `(x: ${show(x)}, w: ${show(w)}, groups ${a.groups})`;
  if (x.dtype !== "f32" || w.dtype !== "f32") throw new ShapeError(`${name}: x and w must be f32 ${both}`);
  if (cg * a.groups !== c) {
    const per = a.groups > 1 ? ` × ${a.groups} groups` : "";
    throw new ShapeError(`${name}: x has ${c} channels but w expects ${cg}${per} ${both}`);
  }
  if (k % a.groups !== 0)
    throw new ShapeError(`${name}: ${k} output channels do not divide into ${a.groups} groups ${both}`);
  const [oh, ow] = outSize(h, iw, kh, kw, a);
  if (oh < 1 || ow < 1) {
    throw new ShapeError(
      `${name}: the kernel ${kh}×${kw} (dilation ${a.dilation}) does not fit the padded input ${both}`,
    );
  }
  return [n, k, oh, ow];
}

export interface Geometry {
  readonly n: number;
  readonly c: number;
  readonly ih: number;
  readonly iw: number;
  readonly k: number;
  readonly cg: number;
  readonly kg: number;
  readonly kh: number;
  readonly kw: number;
  readonly oh: number;
  readonly ow: number;
}

export function geometry(xShape: readonly number[], wShape: readonly number[], a: ConvAttrs): Geometry {
  const [n, c, ih, iw] = xShape;
  const [k, cg, kh, kw] = wShape;
  const [oh, ow] = outSize(ih, iw, kh, kw, a);
  return { n, c, ih, iw, k, cg, kg: k / a.groups, kh, kw, oh, ow };
}

/** Applies the prologue in float64. */
export function applyPrologue(x: NDArray, prologue: Prologue, scale?: NDArray, shift?: NDArray): NDArray {
  if (prologue === "none" || !scale || !shift) return x;
  const c = x.shape[1];
  const plane = numel(x.shape.slice(2));
  return mapArray(x, (v, i) => {
    const ch = Math.floor(i / plane) % c;
    const y = v * scale.data[ch] + shift.data[ch];
    return prologue === "affineRelu" && y < 0 ? 0 : y;
  });
}

/**
 * Calls `run(x offset, w offset, y offset, count)` for every run of products along a row of outputs: x advances by
 * stride[1], y by 1. Offsets are into dense arrays of x [n,c,ih,iw], w [k,cg,kh,kw] and y [n,k,oh,ow].
 */
export function walkConv(
  g: Geometry,
  a: ConvAttrs,
  run: (x: number, w: number, y: number, count: number) => void,
): void {
  const [sh, sw] = a.stride;
  const [dh, dw] = a.dilation;
  const [pt, , pl] = a.padding;
  for (let n = 0; n < g.n; n++) {
    for (let k = 0; k < g.k; k++) {
      for (let cl = 0; cl < g.cg; cl++) {
        const c = Math.floor(k / g.kg) * g.cg + cl;
        for (let r = 0; r < g.kh; r++) {
          for (let s = 0; s < g.kw; s++) {
            const wi = ((k * g.cg + cl) * g.kh + r) * g.kw + s;
            const from = Math.max(0, Math.ceil((pl - s * dw) / sw));
            const to = Math.min(g.ow, Math.floor((g.iw - 1 + pl - s * dw) / sw) + 1);
            for (let p = 0; p < g.oh; p++) {
              const iy = p * sh - pt + r * dh;
              if (iy < 0 || iy >= g.ih || from >= to) continue;
              const xi = ((n * g.c + c) * g.ih + iy) * g.iw + from * sw - pl + s * dw;
              run(xi, wi, ((n * g.k + k) * g.oh + p) * g.ow + from, to - from);
            }
          }
        }
      }
    }
  }
}

/** Cutting by groups: which operands have them on which axis, and how many of their elements a group holds. */
export function groupSplit(
  a: ConvAttrs,
  inputs: readonly (readonly [number, number] | null)[],
  output: readonly [number, number],
): SplitAxis[] {
  if (a.groups === 1) return [];
  return [
    {
      extent: a.groups,
      inputs: inputs.map((i) => (i ? i[0] : null)),
      inputUnits: inputs.map((i) => i?.[1] ?? 1),
      outputs: [output[0]],
      outputUnits: [output[1]],
      merge: "concat",
      attrs: (from, to) => ({ ...a, groups: to - from }),
    },
  ];
}

/** Where scale and shift begin in their bindings. */
export function prologueOffsets(scale?: Operand, shift?: Operand): { scale0: number; shift0: number } {
  return { scale0: scale?.offset ?? 0, shift0: shift?.offset ?? 0 };
}

/** Hook bodies for a prologue on values of that width. */
export function prologueHooks(prologue: Prologue, width: Width): Record<string, string> {
  if (prologue === "none") return {};
  const wide = (v: string) => (width === 1 ? v : `${vectorOf(width)}(${v})`);
  const fused = `fma(v, ${wide("s.x")}, ${wide("s.y")})`;
  return {
    channel: "return vec2<f32>(scale[u.scale0 + c], shift[u.shift0 + c]);",
    prologue: prologue === "affine" ? `return ${fused};` : `let t = ${fused}; return ${reluOf("t", width)};`,
  };
}

/** ReLU by one integer comparison, so that NaN passes (see math.wgsl). */
export function reluOf(v: string, width: Width): string {
  if (width === 1) return `select(${v}, 0.0, bitcast<i32>(${v}) <= -8388608)`;
  const [floats, ints] = [vectorOf(width), vectorOf(width, "i32")];
  return `select(${v}, ${floats}(0.0), bitcast<${ints}>(${v}) <= ${ints}(-8388608))`;
}

/** Whether the subgroup register tiles are the ones to use. */
export const prefersSubgroups = (d: DeviceTraits): boolean => d.subgroups && d.software;
