// Helpers that kernels share: strides of placed operands, merging of axes, and how one-dimensional grids are folded.

import type { Shape } from "../core/shape.ts";
import { numel, stridesOf } from "../core/shape.ts";
import type { DeviceTraits, Operand } from "../graph/op.ts";

/** Elements of one row of axis 0. */
export function rowSize(shape: Shape): number {
  return shape.length === 0 ? 1 : numel(shape.slice(1));
}

/** Strides in elements of a placed operand: dense but for axis 0, whose rows lie `batchStride` apart. */
export function operandStrides(o: Operand): number[] {
  const strides = stridesOf(o.shape);
  if (strides.length > 0) strides[0] = o.batchStride;
  return strides;
}

/** Whether the operand's elements follow each other without gaps. */
export function isDense(o: Operand): boolean {
  return o.shape.length === 0 || o.shape[0] <= 1 || o.batchStride === rowSize(o.shape);
}

/** The operand's strides when read under the broadcast shape `to`; repeated axes have stride 0. */
export function stridesAs(o: Operand, to: Shape): number[] {
  const own = operandStrides(o);
  const lead = to.length - o.shape.length;
  return to.map((_, i) => (i < lead || o.shape[i - lead] === 1 ? 0 : own[i - lead]));
}

export interface Collapsed {
  readonly shape: number[];
  readonly strides: number[][];
}

/** Drops axes of extent 1 and merges neighbours that every stride list walks as one. */
export function collapse(shape: Shape, strideLists: readonly (readonly number[])[]): Collapsed {
  const outShape: number[] = [];
  const out: number[][] = strideLists.map(() => []);
  shape.forEach((extent, d) => {
    if (extent === 1) return;
    const last = outShape.length - 1;
    const merges = last >= 0 && strideLists.every((s, i) => out[i][last] === s[d] * extent);
    if (merges) {
      outShape[last] *= extent;
      strideLists.forEach((s, i) => {
        out[i][last] = s[d];
      });
    } else {
      outShape.push(extent);
      strideLists.forEach((s, i) => {
        out[i].push(s[d]);
      });
    }
  });
  return { shape: outShape, strides: out };
}

/** Pads a list of at most 8 numbers to the two vec4 of a `Sizes` field. */
export function pad8(list: readonly number[], fill: number): number[] {
  return [...list, ...new Array<number>(8 - list.length).fill(fill)];
}

/** The smallest of 1, 2, 4, 8 that holds the rank: few pipelines serve all ranks. */
export function rankParam(rank: number): number {
  return rank <= 1 ? 1 : rank <= 2 ? 2 : rank <= 4 ? 4 : 8;
}

/** A one-dimensional grid of `n` workgroups folded over x and y; the shader computes `y * num_workgroups.x + x`. */
export function foldGrid(n: number, device: DeviceTraits): [number, number, number] {
  const count = Math.max(1, n);
  if (count <= device.maxWorkgroups) return [count, 1, 1];
  const y = Math.ceil(count / device.maxWorkgroups);
  return [Math.ceil(count / y), y, 1];
}

export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);

/** Workgroup size of kernels whose lanes share nothing that hangs on it: one subgroup on software devices, 64 elsewhere. */
export const workgroupSize = ({ software }: DeviceTraits): number => (software ? 8 : 64);

/** Values, or vectors of them, that an invocation makes at most where finding a place costs more than using it. */
export const RUN = 64;

/** How reductions share out their work: `WG` lanes of a workgroup for each, or `LANES` of them in a workgroup, a lane each. */
export interface Shares {
  readonly WG: number;
  readonly LANES: number;
}

/** A workgroup for each reduction. */
export const group = (d: DeviceTraits): Shares => ({ WG: workgroupSize(d), LANES: 1 });

/** A lane for each: where there is little to reduce to each output. */
export const lanes = (d: DeviceTraits): Shares => ({ WG: 1, LANES: workgroupSize(d) });

/** Elements that a shader loads together. */
export type Width = 1 | 2 | 4;

/** Body of a WGSL function that makes a vec4, called `type`, of scalars: `of(".x")` gives the first one's expression. */
export const componentwise = (type: string, of: (component: string) => string): string =>
  `return ${type}(${[".x", ".y", ".z", ".w"].map(of).join(", ")});`;

/** The WGSL type of so many elements. */
export const vectorOf = (width: Width, element = "f32"): string =>
  width === 1 ? element : `vec${width}<${element}>`;
