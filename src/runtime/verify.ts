// Is a kernel's output what the op's float64 reference says? Per element |got - ref| ≤ 4·u·√terms·mag + builtin
// (the bound of the op tests). The reference of a large call takes seconds, so there it is computed for a seeded choice of
// rows along the axes that the op says may be cut (pictures, output channels): those rows whole, first and last always
// among them.

import { TINY, UNIT } from "../core/accuracy.ts";
import { Generator } from "../core/random.ts";
import { numel, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray, ndarray } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import type { AnyOp, SplitAxis } from "../graph/op.ts";

/** What the verification saw. */
export interface Verified {
  /** Elements compared, of how many. */
  readonly compared: number;
  readonly elements: number;
  /** Largest error as a share of what is allowed. */
  readonly worst: number;
}

/** Values of an operand in dense order. */
export interface Values extends TypeOf {
  readonly data: ArrayLike<number>;
}

export const valuesOf = (types: readonly TypeOf[], data: readonly ArrayLike<number>[]): Values[] =>
  types.map(({ shape, dtype }, i) => ({ shape, dtype, data: data[i] }));

/** FLOPs of the part of a reference that is computed. */
const BUDGET = 4e6;

/** How far each element of f32 outputs may be from the exact one: 4·u·√terms·mag + builtin. */
export function allowedError(
  op: AnyOp,
  inputs: readonly NDArray[],
  outputs: readonly NDArray[],
  attrs: Attrs,
  /** Rounding of what is multiplied: UNIT_F16 for kernels that round it to half precision. */
  unit = UNIT,
): Float64Array[] {
  const scale = 4 * unit * Math.sqrt(op.terms?.(inputs, attrs) ?? 1);
  const abs = () => inputs.map((a) => (a.dtype === "f32" ? mapArray(a, Math.abs) : a));
  const magnitude = op.magnitude?.(inputs, attrs) ?? op.ref(abs(), attrs);
  const builtin = op.builtin?.(inputs, outputs, attrs);
  return outputs.map((y, k) =>
    y.data.map((_, i) => scale * Math.abs(magnitude[k].data[i]) + (builtin?.[k][i] ?? 0) + TINY),
  );
}

/** Elements `indices` of an axis. */
export function take(a: Values, axis: number, indices: readonly number[]): NDArray {
  const inner = numel(a.shape.slice(axis + 1));
  const outer = numel(a.shape.slice(0, axis));
  const out = new Float64Array(outer * indices.length * inner);
  for (let o = 0; o < outer; o++) {
    indices.forEach((at, i) => {
      const from = (o * a.shape[axis] + at) * inner;
      const to = (o * indices.length + i) * inner;
      for (let e = 0; e < inner; e++) out[to + e] = a.data[from + e];
    });
  }
  const shape = a.shape.map((d, i) => (i === axis ? indices.length : d));
  return { shape, dtype: a.dtype, data: out };
}

/** First, last, and others drawn between them: `count` whole numbers below `extent` in order. */
function choose(extent: number, count: number, random: Generator): number[] {
  if (count >= extent) return Array.from({ length: extent }, (_, i) => i);
  const chosen = new Set([0, extent - 1].slice(0, Math.max(1, count)));
  while (chosen.size < count) chosen.add(random.integer(extent));
  return [...chosen].sort((a, b) => a - b);
}

interface Cut {
  readonly axis: SplitAxis;
  readonly indices: readonly number[];
}

/** Which rows of which axes are computed so that the reference stays within the budget. */
function chooseRows(
  axes: readonly SplitAxis[],
  flops: number,
  budget: number,
  random: Generator,
): readonly Cut[] {
  const counts = axes.map((a) => a.extent);
  const share = () => counts.reduce((s, c, i) => (s * c) / axes[i].extent, 1);
  while (flops * share() > budget) {
    const longest = counts.indexOf(Math.max(...counts));
    if (longest < 0 || counts[longest] <= 2) break;
    counts[longest] = Math.max(2, Math.ceil(counts[longest] / 2));
  }
  return axes.map((axis, i) => ({ axis, indices: choose(axis.extent, counts[i], random) }));
}

/** The chosen rows of each operand. */
function takeAll(arrays: readonly Values[], cuts: readonly Cut[], side: "inputs" | "outputs"): NDArray[] {
  return arrays.map((a, k) => {
    const own = cuts.flatMap(({ axis, indices }) => {
      const on = axis[side][k];
      return on === null || on === undefined || indices.length === axis.extent ? [] : [{ on, indices }];
    });
    const [first, ...rest] = own;
    if (!first) return ndarray(a.shape, a.data, a.dtype);
    return rest.reduce((now, { on, indices }) => take(now, on, indices), take(a, first.on, first.indices));
  });
}

/** Output axes along which rows can be computed alone. */
function cuttable(
  op: AnyOp,
  inputs: readonly TypeOf[],
  outputs: readonly TypeOf[],
  attrs: Attrs,
): SplitAxis[] {
  const axes = op.split?.(inputs, outputs, attrs) ?? [];
  return axes.filter((a) => a.merge === "concat" && !a.attrs && !a.inputUnits && a.extent > 1);
}

/** What a call's outputs must be, in all or in chosen rows: computed once, compared with as many kernels as there are. */
export class Reference {
  readonly #cuts: readonly Cut[];
  readonly #want: readonly NDArray[];
  readonly #allowed: (unit: number) => readonly Float64Array[];

  constructor(
    op: AnyOp,
    attrs: Attrs,
    inputs: readonly Values[],
    outputs: readonly TypeOf[],
    budget = BUDGET,
  ) {
    const { flops } = op.cost(inputs, outputs, attrs);
    const axes = cuttable(op, inputs, outputs, attrs);
    this.#cuts = chooseRows(axes, flops, budget, new Generator(1));
    const ins = takeAll(inputs, this.#cuts, "inputs");
    this.#want = op.ref(ins, attrs);
    const known = new Map<number, readonly Float64Array[]>();
    this.#allowed = (unit) => {
      const made = known.get(unit) ?? allowedError(op, ins, this.#want, attrs, unit);
      known.set(unit, made);
      return made;
    };
  }

  /** Throws an Error that says which element differs, by the bound for this rounding. */
  check(outputs: readonly Values[], unit = UNIT): Verified {
    const allowed = this.#allowed(unit);
    const got = takeAll(outputs, this.#cuts, "outputs");
    let worst = 0;
    this.#want.forEach((w, k) => {
      for (let i = 0; i < w.data.length; i++)
        worst = Math.max(worst, this.#error(k, i, got[k].data[i], allowed[k][i]));
    });
    const count = (list: readonly TypeOf[]) => list.reduce((n, a) => n + numel(a.shape), 0);
    return { compared: count(this.#want), elements: count(outputs), worst };
  }

  /** The error of one element as a share of what is allowed; throws beyond that. */
  #error(k: number, i: number, got: number, bound: number): number {
    const want = this.#want[k];
    const exact = want.data[i];
    // NaN and infinities equal only themselves, and whole numbers are right or wrong.
    if (!Number.isFinite(exact) && Object.is(got, exact)) return 0;
    const allowed = want.dtype === "f32" ? bound : 0;
    const error = Math.abs(got - exact);
    if (!(error <= allowed)) {
      throw new Error(
        `output ${k}: ${got} instead of ${exact} (off by ${error.toExponential(1)}, allowed ${allowed.toExponential(1)})`,
      );
    }
    return allowed > 0 ? error / allowed : 0;
  }
}

/** Throws an Error that says which element differs, unless the outputs match the reference of the inputs. */
export function verify(
  op: AnyOp,
  attrs: Attrs,
  inputs: readonly Values[],
  outputs: readonly Values[],
  budget = BUDGET,
): Verified {
  return new Reference(op, attrs, inputs, outputs, budget).check(outputs);
}
