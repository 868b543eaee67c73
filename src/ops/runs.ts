// Elementwise passes in runs: one invocation makes neighbours along the last axis, so that it finds its place once. Where that
// axis is whole vec4, four are made at a time.

import { numel, type Shape } from "../core/shape.ts";
import { ceilDiv, RUN } from "./layout.ts";

/** Where an operand's elements lie under the shape that is walked; stride 0 repeats. */
export interface Strided {
  readonly offset: number;
  readonly strides: readonly number[];
}

/** An operand as a shader in runs finds it, counted in what its array holds: `unit` elements. */
export interface Placed extends Strided {
  /** From one value of a run to the next. */
  readonly step: number;
  readonly unit: 1 | 4;
}

/** In the place of operands that a shader has and a call has not. */
export const NOWHERE: Strided = { offset: 0, strides: [] };
export const UNUSED: Placed = { ...NOWHERE, step: 0, unit: 1 };

export interface Runs {
  /** Whether a run's values are vec4. */
  readonly four: boolean;
  /** Uniforms: invocations, values along the last axis, of a run, and runs. */
  readonly extents: Readonly<Record<"total" | "inner" | "run" | "runs", number>>;
  /** The axes before the last. */
  readonly outer: Shape;
  /** The operands' strides are those of the outer axes. */
  readonly placed: readonly Placed[];
}

/** Fewer elements gain nothing by vec4, and it is one more pipeline. */
export const WIDE_FROM = 4096;

/** Whether an operand is whole vec4 along the last axis, or repeats there. */
const wide = ({ offset, strides }: Strided): boolean =>
  strides.at(-1) === 0 ||
  (strides.at(-1) === 1 && [offset, ...strides.slice(0, -1)].every((v) => v % 4 === 0));

/** How a shape is walked in runs; the last operand is the output. */
export function runsOf(shape: Shape, operands: readonly Strided[]): Runs {
  const last = shape.at(-1) ?? 1;
  const outer = shape.slice(0, -1);
  const four =
    numel(shape) >= WIDE_FROM &&
    last % 4 === 0 &&
    operands.at(-1)?.strides.at(-1) === 1 &&
    operands.every(wide);
  const inner = last / (four ? 4 : 1);
  const run = Math.max(1, Math.min(inner, RUN));
  const runs = ceilDiv(inner, run);
  const placed = operands.map(({ offset, strides }): Placed => {
    const step = strides.at(-1) ?? 0;
    const unit = four && step === 1 ? 4 : 1;
    return { unit, step, offset: offset / unit, strides: strides.slice(0, -1).map((v) => v / unit) };
  });
  return { four, extents: { total: numel(outer) * runs, inner, run, runs }, outer, placed };
}
