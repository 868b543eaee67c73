// Updates of persistent state, computed in the buffers that hold it (`inPlace`): the optimizers' steps over a flat
// slice of parameters, the accumulation of gradients, and their scaling by a clip factor. Hyperparameters that may
// change from step to step come as a small vector s.
//   sgd            d = ±g + wd·p;  p -= lr·d                                              s = [lr, wd, ±1]
//   sgdMomentum    d likewise;  v = mu·v + (1-damp)·d;  p -= lr·(nesterov ? d + mu·v : v)  s = [lr, wd, ±1, mu, 1-damp, nesterov]
//   adam           d = g + wd·p;  p *= 1 - decay;  m = b1·m + a1·d;  v = b2·v + a2·d²;  p -= step·m / (√v·c2 + eps)
//                  s = [step = lr/(1-b1ᵗ), c2 = 1/√(1-b2ᵗ), b1, b2, eps, wd, decay = lr·wd, a1 = 1-b1, a2 = 1-b2]
//                  a1 and a2 are rounded once, as PyTorch's: 1 - f32(0.999) is off by a part in 20,000.

import { ulp, WGSL_ERROR } from "../core/accuracy.ts";
import { ShapeError } from "../core/error.ts";
import { numel, sameShape, show, type TypeOf } from "../core/shape.ts";
import { mapArray, type NDArray, ndarray } from "../graph/array.ts";
import { defineOp, type Kernel, type SplitAxis } from "../graph/op.ts";
import { inPlaceKernels } from "./elementwise.ts";
import { ceilDiv, foldGrid, isDense, vectorOf, workgroupSize } from "./layout.ts";

const BUFFERS = ["p", "g", "m", "v"] as const;

interface Update {
  readonly name: string;
  /** Which of p, g, m, v it takes; all but g are also outputs. */
  readonly uses: readonly (typeof BUFFERS)[number][];
  /** WGSL: sets p, m, v from p, g, m, v and s(i). */
  readonly wgsl: string;
  readonly scalars: readonly number[];
  readonly ref: (
    b: { p: number; g: number; m: number; v: number },
    s: Float64Array,
  ) => { p: number; m: number; v: number };
}

function flatKernel(u: Update): Kernel {
  const outs = u.uses.filter((b) => b !== "g");
  return {
    name: "flat",
    inPlace: outs.map((b, o) => [o, u.uses.indexOf(b)] as const),
    dispatches: (c) => {
      const total = numel(c.outputs[0].shape);
      const operands = [...c.inputs.slice(0, -1), ...c.outputs];
      const vec = total % 4 === 0 && operands.every((o) => o.offset % 4 === 0 && isDense(o));
      const d = vec ? 4 : 1;
      const offsets = Object.fromEntries(
        u.uses.map((b, i) => [`${b}0`, (b === "g" ? c.inputs[i] : c.outputs[outs.indexOf(b)]).offset / d]),
      );
      const WG = workgroupSize(c.device);
      const UNROLL = c.device.software ? 32 : 4;
      const loads = Object.fromEntries(
        ["m", "v"].flatMap((b) =>
          u.uses.includes(b as "m")
            ? [
                [`load_${b}`, `return ${b}[i];`],
                [`store_${b}`, `${b}[i] = x;`],
              ]
            : [],
        ),
      );
      return [
        {
          shader: "state_update",
          params: { WG, UNROLL },
          types: { V: vectorOf(d) },
          hooks: { ...loads, update_one: `var r = z; ${u.wgsl} return r;` },
          bind: Object.fromEntries([
            ...u.uses.map((b, i) => [b, b === "g" ? { in: i } : { out: outs.indexOf(b) }]),
            ["scalars", { in: u.uses.length }],
          ]),
          uniforms: {
            total: total / d,
            p0: 0,
            g0: 0,
            m0: 0,
            v0: 0,
            ...offsets,
            s0: c.inputs[u.uses.length].offset,
          },
          grid: foldGrid(ceilDiv(total / d, WG * UNROLL), c.device),
        },
      ];
    },
  };
}

/** Values of one element through the update. */
function run(u: Update, inputs: readonly NDArray[], abs: boolean): NDArray[] {
  const outs = u.uses.filter((b) => b !== "g");
  const get = (b: string, i: number) => {
    const k = u.uses.indexOf(b as "p");
    return k < 0 ? 0 : inputs[k].data[i];
  };
  const s = inputs[u.uses.length].data;
  const results = outs.map(() => new Float64Array(inputs[0].data.length));
  for (let i = 0; i < inputs[0].data.length; i++) {
    const r = u.ref({ p: get("p", i), g: get("g", i), m: get("m", i), v: get("v", i) }, s);
    outs.forEach((b, o) => {
      results[o][i] = abs
        ? Math.abs(r[b as "p"]) + Math.abs(get("p", i)) + Math.abs(get("m", i)) + Math.abs(get("g", i))
        : r[b as "p"];
    });
  }
  return results.map((d) => ndarray(inputs[0].shape, d));
}

function defineUpdate(u: Update): void {
  const outs = u.uses.filter((b) => b !== "g");
  const n = u.uses.length;
  const shapes = [[64], [7]];
  const split = (shape: readonly number[]): SplitAxis[] => [
    {
      extent: shape[0],
      inputs: [...u.uses.map(() => 0), null],
      outputs: outs.map(() => 0),
      merge: "concat",
      multiple: 64,
    },
  ];
  defineOp({
    name: u.name,
    infer: (inputs) => {
      const same = inputs
        .slice(0, n)
        .every((t) => sameShape(t.shape, inputs[0].shape) && t.dtype === "f32" && t.shape.length === 1);
      if (!same || inputs[n]?.shape[0] !== u.scalars.length)
        throw new ShapeError(`${u.name}: operands do not match: ${inputs.map(show).join(", ")}`);
      return outs.map(() => ({ shape: inputs[0].shape, dtype: "f32" }));
    },
    ref: (inputs) => run(u, inputs, false),
    terms: () => 6,
    magnitude: (inputs) => run(u, inputs, true),
    builtin: (inputs, outputs) =>
      outputs.map((o) =>
        o.data.map((y) => (n === 4 ? WGSL_ERROR.sqrt(0, y) + 8 * ulp(inputs[n].data[0] * 10) : 0)),
      ),
    cost: ([p]) => ({ flops: 4 * n * numel(p.shape) }),
    kernels: [flatKernel(u)],
    samples: shapes.map((shape) => ({
      inputs: [
        ...u.uses.map((b) => ({ shape, low: b === "v" ? 0.1 : -1, high: 1 })),
        { shape: [u.scalars.length], values: u.scalars },
      ],
      differentiable: false,
    })),
    split: ([p]) => split(p.shape),
  });
}

defineUpdate({
  name: "sgd",
  uses: ["p", "g"],
  wgsl: "r.p = p - s(0u) * fma(V(s(1u)), p, V(s(2u)) * g);",
  scalars: [0.1, 0.01, 1],
  ref: ({ p, g }, s) => ({ p: p - s[0] * (s[2] * g + s[1] * p), m: 0, v: 0 }),
});

defineUpdate({
  name: "sgdMomentum",
  uses: ["p", "g", "m"],
  wgsl: "let d = fma(V(s(1u)), p, V(s(2u)) * g); let b = fma(V(s(3u)), m, V(s(4u)) * d); r.m = b; r.p = p - s(0u) * select(b, fma(V(s(3u)), b, d), s(5u) != 0.0);",
  scalars: [0.1, 0.01, 1, 0.9, 1, 1],
  ref: ({ p, g, m }, s) => {
    const d = s[2] * g + s[1] * p;
    const b = s[3] * m + s[4] * d;
    return { p: p - s[0] * (s[5] ? d + s[3] * b : b), m: b, v: 0 };
  },
});

defineUpdate({
  name: "adam",
  uses: ["p", "g", "m", "v"],
  wgsl: "let d = fma(V(s(5u)), p, g); let q = p - s(6u) * p; let m1 = fma(V(s(2u)), m, s(7u) * d); let v1 = fma(V(s(3u)), v, s(8u) * d * d); r.m = m1; r.v = v1; r.p = q - s(0u) * m1 / (sqrt(v1) * s(1u) + s(4u));",
  // An eps that counts: with PyTorch's 1e-8 a kernel without it would be within the bound.
  scalars: [0.01, 1.5, 0.9, 0.999, 0.05, 0.01, 0.001, 0.1, 0.001],
  ref: ({ p, g, m, v }, s) => {
    const d = g + s[5] * p;
    const m1 = s[2] * m + s[7] * d;
    const v1 = s[3] * v + s[8] * d * d;
    return { p: p * (1 - s[6]) - (s[0] * m1) / (Math.sqrt(v1) * s[1] + s[4]), m: m1, v: v1 };
  },
});

const sameTypes = (name: string, a: TypeOf, b: TypeOf): TypeOf[] => {
  if (!sameShape(a.shape, b.shape) || a.dtype !== "f32")
    throw new ShapeError(`${name}: ${show(a)} and ${show(b)} differ`);
  return [{ shape: a.shape, dtype: "f32" }];
};

defineOp({
  name: "accumulate",
  infer: ([a, b]) => sameTypes("accumulate", a, b),
  ref: ([a, b]) => [mapArray(a, (x, i) => x + b.data[i])],
  vjp: ({ gy: [g], needs }) => needs.map((n) => (n ? g : null)),
  exact: true,
  magnitude: ([a, b]) => [mapArray(a, (x, i) => Math.abs(x) + Math.abs(b.data[i]))],
  cost: ([a]) => ({ flops: numel(a.shape) }),
  kernels: inPlaceKernels({ wgsl: "a + b", names: ["a", "b"] }),
  samples: [
    { inputs: [{ shape: [2, 3, 3] }, { shape: [2, 3, 3] }] },
    { note: "many rows", inputs: [{ shape: [70, 4] }, { shape: [70, 4] }] },
    { note: "large", inputs: [{ shape: [2, 2100] }, { shape: [2, 2100] }] },
    { inputs: [{ shape: [] }, { shape: [] }] },
  ],
  split: ([a]) =>
    a.shape.map((extent, d) => ({ extent, inputs: [d, d], outputs: [d], merge: "concat" as const })),
});

/** a · f with one factor f [1], in the buffer of a: gradient clipping. */
defineOp({
  name: "scaleInPlace",
  infer: ([a, f]) => {
    if (numel(f.shape) !== 1)
      throw new ShapeError(`scaleInPlace: the factor must be one value, got ${show(f)}`);
    return [{ shape: a.shape, dtype: "f32" }];
  },
  ref: ([a, f]) => [mapArray(a, (x) => x * f.data[0])],
  exact: true,
  cost: ([a]) => ({ flops: numel(a.shape) }),
  // The factor repeats, which the kernel for operands of one shape does not take.
  kernels: inPlaceKernels({ wgsl: "a * b", names: ["a", "b"] }).filter((k) => k.name === "strided"),
  samples: [
    { inputs: [{ shape: [5, 3] }, { shape: [1] }], differentiable: false },
    { inputs: [{ shape: [6, 8] }, { shape: [1] }], differentiable: false },
  ],
  split: ([a]) =>
    a.shape.map((extent, d) => ({ extent, inputs: [d, null], outputs: [d], merge: "concat" as const })),
});
