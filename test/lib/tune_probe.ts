// An op to try the tuner on: y = 2·x by kernels of which one is slow, one fast, and two are faster still but wrong: one in
// the first element, one in a single element of a row that the reference is not computed for. By its score the slow one
// is chosen.

import { numel } from "../../src/core/shape.ts";
import { loadShaders } from "../../src/gpu/shader_source.ts";
import { type Call, type Dispatch, defineOp, type Kernel } from "../../src/graph/op.ts";
import { Tensor } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";

const SHADER = `
struct Sizes {
  total: u32,
  x0: u32,
  y0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const LOOPS = 1u; //@param
fn f(v: f32, i: u32) -> f32 { return 2.0 * v; } //@hook

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= u.total) { return; }
  var v = x[u.x0 + id.x];
  for (var k = 0u; k < LOOPS; k++) { v = fma(v, 1.0, f32(k & 1u) * f32(u.total >> 31u)); }
  y[u.y0 + id.x] = f(v, id.x);
}
`;

const dispatch = (c: Call, LOOPS: number, body?: string): Dispatch[] => {
  const [x] = c.inputs;
  const [y] = c.outputs;
  const total = numel(x.shape);
  const uniforms = { total, x0: x.offset, y0: y.offset };
  return [
    {
      shader: "tune_probe",
      params: { LOOPS },
      hooks: body ? { f: body } : {},
      bind: { x: { in: 0 }, y: { out: 0 } },
      uniforms,
      grid: [Math.ceil(total / 8), 1, 1],
    },
  ];
};

const kernels: Kernel[] = [
  { name: "slow", score: () => 1, dispatches: (c) => dispatch(c, 40_000) },
  { name: "fast", space: { LOOPS: [10_000, 2500] }, dispatches: (c) => dispatch(c, c.params.LOOPS) },
  { name: "wrong", dispatches: (c) => dispatch(c, 2, "return 2.0 * v + select(0.0, 1.0, i == 0u);") },
  { name: "sly", dispatches: (c) => dispatch(c, 1, "return 2.0 * v + select(0.0, 1.0, i == 1605u);") },
];

defineOp({
  name: "tuneProbe",
  infer: ([x]) => [x],
  ref: ([x]) => [{ ...x, data: x.data.map((v) => 2 * v) }],
  exact: true,
  cost: ([x]) => ({ flops: 1e4 * numel(x.shape) }),
  split: ([x]) => [{ extent: x.shape[0], inputs: [0], outputs: [0], merge: "concat" }],
  kernels,
  samples: [{ inputs: [{ shape: [3] }] }],
});

/** What `init` needs to run it; `change` rewrites its shader's text. */
export async function probeShaders(
  change: (text: string) => string = (t) => t,
): Promise<Map<string, string>> {
  return new Map([...(await loadShaders()), ["tune_probe", change(SHADER)]]);
}

export function probe(x: Tensor): Tensor {
  return new Tensor(runtime().apply("tuneProbe", [x.variable])[0]);
}
