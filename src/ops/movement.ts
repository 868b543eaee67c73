// Ops that move elements and compute nothing: reshape, slice, permute, expand. Where the output is a view of the
// input's buffer (`view`), the schedule moves nothing; otherwise they run as a strided copy (elementwise.wgsl).

import { ShapeError } from "../core/error.ts";
import {
  broadcastStrides,
  checkExtents,
  numel,
  resolveReshape,
  type Shape,
  show,
  stridesOf,
  type TypeOf,
} from "../core/shape.ts";
import { forEachIndex, type NDArray, ndarray, offsetOf, withShape } from "../graph/array.ts";
import type { Attrs } from "../graph/node.ts";
import { type Call, defineOp, type Kernel, type Operand } from "../graph/op.ts";
import { call, permute, reshape, sumTo } from "./build.ts";
import { stridedDispatch } from "./elementwise.ts";
import { isDense, operandStrides, rowSize } from "./layout.ts";

const COPY = { wgsl: "p0", names: [] };
const ANY = ["f32", "i32", "u32"] as const;

function checkMovable(name: string, t: TypeOf): void {
  if (!ANY.includes(t.dtype as (typeof ANY)[number])) {
    throw new ShapeError(`${name}: takes f32, i32 or u32 tensors, got ${show(t)}`);
  }
  if (t.shape.length > 8) throw new ShapeError(`${name}: at most 8 dimensions, got ${show(t)}`);
}

/** A kernel that copies the output's elements from where `source` says they lie in input 0. */
function copyKernel(source: (c: Call) => { offset: number; strides: readonly number[] }): Kernel {
  return {
    name: "copy",
    dispatches: (c) => [stridedDispatch(COPY, c, c.outputs[0].shape, [source(c)])],
  };
}

/** Reads `x` through strides: the reference of every movement. */
function gather(x: NDArray, shape: Shape, offset: number, strides: readonly number[]): NDArray {
  const out = new Float64Array(numel(shape));
  forEachIndex(shape, (index, flat) => {
    out[flat] = x.data[offset + offsetOf(index, strides)];
  });
  return ndarray(shape, out, x.dtype);
}

const noCost = () => ({ flops: 0 });

interface ShapeAttrs extends Attrs {
  readonly shape: Shape;
}

defineOp<ShapeAttrs>({
  name: "reshape",
  infer: ([x], { shape }) => {
    const to = resolveReshape(x.shape, shape);
    checkExtents(to, "reshape");
    return [{ shape: to, dtype: x.dtype }];
  },
  ref: ([x], { shape }) => [withShape(x, resolveReshape(x.shape, shape))],
  vjp: ({ inputs: [x], gy: [g] }) => [g && reshape(g, x.shape)],
  exact: true,
  cost: noCost,
  view: (x, out) => {
    if (isDense(x)) return { offset: x.offset, batchStride: rowSize(out.shape) };
    const keepsRows = out.shape.length > 0 && out.shape[0] === x.shape[0];
    return keepsRows ? { offset: x.offset, batchStride: x.batchStride } : null;
  },
  denseOutput: true,
  kernels: [
    {
      name: "copy",
      // A reshape is never placed inside another buffer, so y is dense in x's shape too.
      dispatches: (c) => {
        const [x] = c.inputs;
        const source = { offset: x.offset, strides: operandStrides(x) };
        return [stridedDispatch(COPY, c, x.shape, [source], stridesOf(x.shape))];
      },
    },
  ],
  samples: [
    { inputs: [{ shape: [2, 3, 4] }], attrs: { shape: [6, -1] } },
    { inputs: [{ shape: [2, 3, 2, 2] }], attrs: { shape: [2, 12] } },
    { inputs: [{ shape: [1] }], attrs: { shape: [] } },
  ],
});

/** The same elements in memory of their own: snapshots of state, results that must outlive a buffer. */
defineOp({
  name: "copy",
  infer: ([x]) => {
    checkMovable("copy", x);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  ref: ([x]) => [withShape(x, x.shape)],
  vjp: ({ gy: [g] }) => [g],
  exact: true,
  cost: noCost,
  kernels: [copyKernel(({ inputs: [x] }) => ({ offset: x.offset, strides: operandStrides(x) }))],
  samples: [
    { inputs: [{ shape: [2, 3, 4] }] },
    { note: "several runs", inputs: [{ shape: [2, 2060] }] },
    { inputs: [{ shape: [3], dtype: "i32" }] },
    { inputs: [{ shape: [] }] },
  ],
  split: ([x]) =>
    x.shape.map((extent, d) => ({ extent, inputs: [d], outputs: [d], merge: "concat" as const })),
});

interface SliceAttrs extends Attrs {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
}

defineOp<SliceAttrs>({
  name: "slice",
  infer: ([x], { axis, from, to }) => {
    // Along axis 0 it is always a view, so that pictures of bytes can be cut too.
    if (axis !== 0 || x.dtype !== "u8") checkMovable("slice", x);
    const extent = x.shape[axis];
    if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= extent)) {
      throw new ShapeError(`slice: [${from}, ${to}) does not lie in axis ${axis} of ${show(x)}`);
    }
    return [{ shape: x.shape.map((d, i) => (i === axis ? to - from : d)), dtype: x.dtype }];
  },
  ref: ([x], { axis, from, to }) => {
    const strides = stridesOf(x.shape);
    const shape = x.shape.map((d, i) => (i === axis ? to - from : d));
    return [gather(x, shape, from * strides[axis], strides)];
  },
  vjp: ({ inputs: [x], attrs: { axis, from, to }, gy: [g] }) => {
    const only = (n: number) => x.shape.map((_, i) => (i === axis ? n : 0));
    return [g && call("pad", [g], { before: only(from), after: only(x.shape[axis] - to), value: 0 })];
  },
  exact: true,
  cost: noCost,
  view: (x, out, { axis, from }) => {
    // A view of nothing at the end of a buffer would begin behind it.
    if (numel(out.shape) === 0) return null;
    const inner = operandStrides(x)[axis];
    const offset = x.offset + from * inner;
    const between = x.shape.slice(1, axis).every((d) => d === 1);
    if (axis === 0) return { offset, batchStride: x.batchStride };
    if (x.shape[0] === 1 && between) return { offset, batchStride: rowSize(out.shape) };
    return between ? { offset, batchStride: x.batchStride } : null;
  },
  kernels: [
    copyKernel(({ inputs: [x], attrs }) => {
      const { axis, from } = attrs as SliceAttrs;
      const strides = operandStrides(x);
      return { offset: x.offset + from * strides[axis], strides };
    }),
  ],
  // The sliced axis itself stays whole: cutting it would only make other slices.
  split: ([x], _o, { axis }) =>
    x.shape.map((extent, d) => ({
      extent: d === axis ? 1 : extent,
      inputs: [d],
      outputs: [d],
      merge: "concat" as const,
    })),
  samples: [
    { inputs: [{ shape: [3, 5, 2] }], attrs: { axis: 1, from: 1, to: 4 } },
    { inputs: [{ shape: [4, 3] }], attrs: { axis: 0, from: 2, to: 4 } },
    { inputs: [{ shape: [2, 2, 5] }], attrs: { axis: 2, from: 0, to: 3 } },
    { inputs: [{ shape: [2, 3] }], attrs: { axis: 1, from: 3, to: 3 } },
  ],
});

interface AxesAttrs extends Attrs {
  readonly axes: readonly number[];
}

defineOp<AxesAttrs>({
  name: "permute",
  infer: ([x], { axes }) => {
    checkMovable("permute", x);
    const sorted = [...axes].sort((a, b) => a - b);
    if (axes.length !== x.shape.length || sorted.some((a, i) => a !== i)) {
      throw new ShapeError(`permute: [${axes.join(", ")}] is not an order of the axes of ${show(x)}`);
    }
    return [{ shape: axes.map((a) => x.shape[a]), dtype: x.dtype }];
  },
  ref: ([x], { axes }) => {
    const strides = stridesOf(x.shape);
    return [
      gather(
        x,
        axes.map((a) => x.shape[a]),
        0,
        axes.map((a) => strides[a]),
      ),
    ];
  },
  vjp: ({ attrs: { axes }, gy: [g] }) => {
    const inverse = axes.map((_, i) => axes.indexOf(i));
    return [g && permute(g, inverse)];
  },
  exact: true,
  cost: noCost,
  kernels: [
    copyKernel(({ inputs: [x], attrs }) => {
      const strides = operandStrides(x);
      return { offset: x.offset, strides: (attrs as AxesAttrs).axes.map((a) => strides[a]) };
    }),
  ],
  split: (_i, [y], { axes }) =>
    y.shape.map((extent, d) => ({ extent, inputs: [axes[d]], outputs: [d], merge: "concat" as const })),
  samples: [
    { inputs: [{ shape: [2, 3, 4] }], attrs: { axes: [2, 0, 1] } },
    { inputs: [{ shape: [2, 3, 4, 5] }], attrs: { axes: [0, 2, 3, 1] } },
    { inputs: [{ shape: [3, 2] }], attrs: { axes: [1, 0] } },
  ],
});

defineOp<ShapeAttrs>({
  name: "expand",
  infer: ([x], { shape }) => {
    checkMovable("expand", x);
    checkExtents(shape, "expand");
    const lead = shape.length - x.shape.length;
    const fits = lead >= 0 && x.shape.every((d, i) => d === 1 || d === shape[i + lead]);
    if (!fits) throw new ShapeError(`expand: ${show(x)} does not broadcast to [${shape.join(",")}]`);
    return [{ shape, dtype: x.dtype }];
  },
  ref: ([x], { shape }) => [gather(x, shape, 0, broadcastStrides(x.shape, shape))],
  vjp: ({ inputs: [x], gy: [g] }) => [g && sumTo(g, x.shape)],
  exact: true,
  cost: noCost,
  kernels: [
    copyKernel(({ inputs: [x], outputs: [y] }) => {
      const own = operandStrides(x as Operand);
      const lead = y.shape.length - x.shape.length;
      const strides = y.shape.map((_, i) => (i < lead || x.shape[i - lead] === 1 ? 0 : own[i - lead]));
      return { offset: x.offset, strides };
    }),
  ],
  split: ([x], [y], a) =>
    y.shape.map((extent, d) => {
      const own = d - (y.shape.length - x.shape.length);
      const part = (from: number, to: number) => ({
        ...a,
        shape: y.shape.map((e, i) => (i === d ? to - from : e)),
      });
      return {
        extent,
        inputs: [own < 0 || x.shape[own] === 1 ? null : own],
        outputs: [d],
        merge: "concat" as const,
        attrs: part,
      };
    }),
  samples: [
    { inputs: [{ shape: [3, 1] }], attrs: { shape: [2, 3, 4] } },
    { inputs: [{ shape: [] }], attrs: { shape: [2, 2] } },
    { inputs: [{ shape: [1, 3, 1, 1] }], attrs: { shape: [2, 3, 2, 2] } },
  ],
});
