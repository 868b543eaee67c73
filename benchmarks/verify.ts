// Is a kernel's output what the op's float64 reference says? Per element |got - ref| ≤ 4·u·√terms·mag + builtin
// (DESIGN §4). The reference of a large call takes seconds, so there it is computed for a seeded choice of rows along
// the axes that the op says may be cut (pictures, output channels): those rows whole, first and last always among them.

import { TINY, UNIT } from "../src/core/accuracy.ts";
import type { HostArray } from "../src/core/dtype.ts";
import { Generator } from "../src/core/random.ts";
import { numel, type TypeOf } from "../src/core/shape.ts";
import { mapArray, type NDArray, ndarray } from "../src/graph/array.ts";
import type { Attrs } from "../src/graph/node.ts";
import type { AnyOp, SplitAxis } from "../src/graph/op.ts";

/** What the verification saw. */
export interface Verified {
  /** Elements compared, of how many. */
  readonly compared: number;
  readonly elements: number;
  /** Largest error as a share of what is allowed. */
  readonly worst: number;
}

/** An array of any element type, as it was uploaded or read back. */
export interface Given extends TypeOf {
  readonly data: HostArray | Float64Array;
}

const plain = ({ shape, dtype, data }: Given): NDArray => ({ shape, dtype, data: new Float64Array(data) });

/** FLOPs of the part of a reference that is computed. */
const BUDGET = 4e6;

/** Elements `indices` of an axis. */
export function take(a: Given, axis: number, indices: readonly number[]): NDArray {
  const inner = numel(a.shape.slice(axis + 1));
  const outer = numel(a.shape.slice(0, axis));
  const out = new Float64Array(outer * indices.length * inner);
  for (let o = 0; o < outer; o++) {
    indices.forEach((at, i) => {
      const from = (o * a.shape[axis] + at) * inner;
      out.set(a.data.subarray(from, from + inner), (o * indices.length + i) * inner);
    });
  }
  const shape = a.shape.map((d, i) => (i === axis ? indices.length : d));
  return ndarray(shape, out, a.dtype);
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

/** The chosen rows of each; only these are made float64, since whole operands may be large. */
const takeAll = (arrays: readonly Given[], cuts: readonly Cut[], side: "inputs" | "outputs"): NDArray[] =>
  arrays.map((a, k) =>
    plain(
      cuts.reduce((now, { axis, indices }) => {
        const on = axis[side][k];
        return on === null || on === undefined ? now : take(now, on, indices);
      }, a),
    ),
  );

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

/** Throws an Error that says which element differs, unless the outputs match the reference of the inputs. */
export function verify(
  op: AnyOp,
  attrs: Attrs,
  inputs: readonly Given[],
  outputs: readonly Given[],
  budget = BUDGET,
): Verified {
  const { flops } = op.cost(inputs, outputs, attrs);
  const cuts = chooseRows(cuttable(op, inputs, outputs, attrs), flops, budget, new Generator(1));
  const [ins, got] = [takeAll(inputs, cuts, "inputs"), takeAll(outputs, cuts, "outputs")];
  const want = op.ref(ins, attrs);
  const abs = ins.map((a) => mapArray(a, Math.abs));
  const magnitude = op.magnitude?.(ins, attrs) ?? op.ref(abs, attrs);
  const builtin = op.builtin?.(ins, want, attrs);
  const scale = 4 * UNIT * Math.sqrt(op.terms?.(ins, attrs) ?? 1);
  let worst = 0;
  want.forEach((w, k) => {
    for (let i = 0; i < w.data.length; i++) {
      const allowed = scale * Math.abs(magnitude[k].data[i]) + (builtin?.[k][i] ?? 0) + TINY;
      const error = Math.abs(got[k].data[i] - w.data[i]);
      if (!(error <= allowed)) {
        throw new Error(
          `output ${k}: ${got[k].data[i]} instead of ${w.data[i]} (off by ${error.toExponential(1)}, allowed ${allowed.toExponential(1)})`,
        );
      }
      worst = Math.max(worst, error / allowed);
    }
  });
  const count = (list: readonly TypeOf[]) => list.reduce((n, a) => n + numel(a.shape), 0);
  return { compared: count(want), elements: count(outputs), worst };
}
