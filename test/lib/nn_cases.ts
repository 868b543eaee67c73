// The TypeScript side of test/fixtures/nn/make.py, run on whatever backend the session has.
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { numel, type Shape } from "../../src/core/shape.ts";
import { compile, nn, optim, type Tensor, tensor } from "../../src/index.ts";
import { writeTensor } from "../../src/tensor/parameter.ts";
import { uniforms } from "./counter.ts";

const { functional: F } = nn;
const SEED = 7;

interface LayerCase {
  readonly x: number[];
  readonly train: boolean;
  readonly y: number[];
  readonly yShape: number[];
  readonly gx: number[];
  readonly grads: Record<string, number[]>;
  readonly buffers: Record<string, number[]>;
}

interface SteepCase {
  readonly p: number[];
  readonly float32: number;
}

interface CumulativeCase {
  readonly after: { mean: number[]; variance: number[] }[];
  readonly batches: number;
}

interface ClipCase {
  readonly norm: number;
  readonly a: number[];
  readonly b: number[];
}

interface OptimCase {
  readonly losses: number[];
  readonly norms: number[];
  readonly params: Record<string, number[]>;
}

const { cases } = JSON.parse(readFileSync(new URL("../fixtures/nn/nn.json", import.meta.url), "utf8")) as {
  cases: Record<string, LayerCase & OptimCase & SteepCase & CumulativeCase & ClipCase>;
};

function values(stream: number, shape: Shape, low = -1, high = 1): Tensor {
  const v = uniforms(SEED, stream, numel(shape)).map((u) => low + (high - low) * u);
  return tensor(Float32Array.from(v), shape);
}

function fill<M extends nn.Module>(module: M): M {
  [...module.namedParameters()].forEach(([name, p], i) => {
    const shift = p.shape.length === 1 && name.endsWith("weight") ? 1 : 0;
    const v = uniforms(SEED, 100 + i, p.numel).map((u) => Math.fround(-0.5 + u) + shift);
    writeTensor(p, Float32Array.from(v));
  });
  return module;
}

/** Largest difference relative to the largest wanted value. */
function close(got: ArrayLike<number>, want: readonly number[], limit: number, what: string): void {
  expect(got.length, what).toBe(want.length);
  const top = want.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-3);
  want.forEach((w, i) => {
    expect(Math.abs(got[i] - w) / top, `${what} [${i}]: ${got[i]} against ${w}`).toBeLessThan(limit);
  });
}

type Layer = nn.Module & { forward(x: Tensor): Tensor };

export const LAYERS: Record<string, () => Layer> = {
  conv: () => new nn.Conv2d(4, 6, [3, 2], { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 }),
  depthwise: () => new nn.Conv2d(3, 6, 3, { padding: 1, groups: 3, bias: false }),
  bnTrain: () => new nn.BatchNorm2d(3),
  bnEval: () => new nn.BatchNorm2d(3, { eps: 1e-3, momentum: 0.3 }),
  bnPlain: () => new nn.BatchNorm2d(3, { affine: false, trackRunningStats: false }),
  linear: () => new nn.Linear(5, 3),
  linearWide: () => new nn.Linear(5, 3, { bias: false }),
  maxPool: () => new nn.MaxPool2d(3, { stride: 2, padding: 1, ceilMode: true }),
  maxPoolDilated: () => new nn.MaxPool2d([2, 3], { stride: 1, dilation: 2 }),
  avgPool: () => new nn.AvgPool2d(3, { stride: 2, padding: 1, ceilMode: true, countIncludePad: false }),
  avgPoolDivisor: () => new nn.AvgPool2d(2, { divisorOverride: 3 }),
  adaptive: () => new nn.AdaptiveAvgPool2d([3, 2]),
  relu: () => new nn.ReLU(),
  relu6: () => new nn.ReLU6(),
  leakyRelu: () => new nn.LeakyReLU(0.2),
  elu: () => new nn.ELU(0.7),
  gelu: () => new nn.GELU(),
  geluTanh: () => new nn.GELU({ approximate: "tanh" }),
  sigmoid: () => new nn.Sigmoid(),
  tanh: () => new nn.Tanh(),
  silu: () => new nn.SiLU(),
  softplus: () => new nn.Softplus(),
  hardswish: () => new nn.Hardswish(),
  hardsigmoid: () => new nn.Hardsigmoid(),
  softmax: () => new nn.Softmax(-1),
  logSoftmax: () => new nn.LogSoftmax(1),
};

export async function checkLayer(name: string, limit: number): Promise<void> {
  const c = cases[name];
  const module = fill(LAYERS[name]()).train(c.train);
  const x = values(1, c.x);
  x.requiresGrad = true;
  const y = module.forward(x);
  expect(y.shape).toEqual(c.yShape);
  y.backward({ gradient: values(2, y.shape) });
  close(await y.data(), c.y, limit, "y");
  close(await (x.grad as Tensor).data(), c.gx, limit, "gradient of x");
  for (const [n, p] of module.namedParameters())
    close(await (p.grad as Tensor).data(), c.grads[n], limit, `gradient of ${n}`);
  const state = module.stateDict();
  for (const [n, want] of Object.entries(c.buffers))
    close(await (state.get(n) as Tensor).data(), want, limit, n);
}

const classes = () => tensor(Int32Array.of(0, 3, 1, 2, 3));
const pixels = () => tensor(Int32Array.of(0, 1, 2, 3, 3, -100, 1, 0), [2, 2, 2]);
const weight = () => values(3, [4], 0.5, 2);
const real = () => values(4, [5, 4], 0, 1);
const wide = () => values(5, [4], 0.5, 2);

export const LOSSES: Record<string, (x: Tensor) => Tensor> = {
  ce: (x) => F.crossEntropy(x, classes()),
  ce_weight: (x) => F.crossEntropy(x, classes(), { weight: weight() }),
  ce_smooth: (x) => F.crossEntropy(x, classes(), { labelSmoothing: 0.1 }),
  ce_weight_smooth: (x) => F.crossEntropy(x, classes(), { weight: weight(), labelSmoothing: 0.2 }),
  ce_sum: (x) => F.crossEntropy(x, classes(), { reduction: "sum" }),
  ce_none: (x) => F.crossEntropy(x, classes(), { weight: weight(), reduction: "none" }),
  ce_pixels: (x) => F.crossEntropy(x, pixels(), { weight: weight(), labelSmoothing: 0.1 }),
  nll: (x) => F.nllLoss(x, classes(), { weight: weight() }),
  bce_mean: (x) => F.binaryCrossEntropy(x, real()),
  bce_weight: (x) => F.binaryCrossEntropy(x, real(), { weight: wide(), reduction: "sum" }),
  bcel: (x) => F.binaryCrossEntropyWithLogits(x, real()),
  bcel_pos: (x) => F.binaryCrossEntropyWithLogits(x, real(), { posWeight: wide() }),
  mse: (x) => F.mseLoss(x, real()),
};

export async function checkLoss(name: string, limit: number): Promise<void> {
  const c = cases[`loss.${name}`];
  const x = name.startsWith("bce_") ? values(1, c.x, 0.05, 0.95) : values(1, c.x, -2, 2);
  x.requiresGrad = true;
  const y = LOSSES[name](x);
  y.backward(y.shape.length > 0 ? { gradient: values(2, y.shape) } : {});
  close(await y.data(), c.y, limit, "loss");
  close(await (x.grad as Tensor).data(), c.gx, limit, "gradient");
}

type Net = nn.Sequential;

export const OPTIMIZERS: Record<
  string,
  { make: (m: Net) => { zeroGrad(): void; step(): Promise<void> }; clip?: number }
> = {
  sgd: { make: (m) => new optim.SGD(m.parameters(), { lr: 0.1 }) },
  sgdDecay: { make: (m) => new optim.SGD(m.parameters(), { lr: 0.1, weightDecay: 0.05 }) },
  momentum: {
    make: (m) => new optim.SGD(m.parameters(), { lr: 0.1, momentum: 0.9, dampening: 0.3, weightDecay: 0.01 }),
  },
  nesterov: { make: (m) => new optim.SGD(m.parameters(), { lr: 0.1, momentum: 0.9, nesterov: true }) },
  maximize: {
    make: (m) => new optim.SGD(m.parameters(), { lr: 0.01, momentum: 0.5, maximize: true, weightDecay: 0.1 }),
  },
  adam: { make: (m) => new optim.Adam(m.parameters(), { lr: 0.01 }) },
  adamDecay: {
    make: (m) =>
      new optim.Adam(m.parameters(), { lr: 0.01, betas: [0.8, 0.95], eps: 1e-5, weightDecay: 0.1 }),
  },
  adamw: { make: (m) => new optim.AdamW(m.parameters(), { lr: 0.01, weightDecay: 0.1 }) },
  groups: {
    make: (m) =>
      new optim.Adam([{ params: m[0].parameters(), lr: 0.1 }, { params: m[1].parameters() }], { lr: 0.01 }),
  },
  clip: { make: (m) => new optim.SGD(m.parameters(), { lr: 0.5 }), clip: 0.1 },
};

export async function checkOptimizer(name: string, limit: number): Promise<void> {
  const c = cases[`optim.${name}`];
  const { make, clip } = OPTIMIZERS[name];
  const m = fill(new nn.Sequential(new nn.Linear(4, 5), new nn.Linear(5, 3)));
  const opt = make(m);
  const x = values(1, [6, 4]);
  const y = tensor(Int32Array.of(0, 1, 2, 0, 1, 2));
  for (let step = 0; step < 6; step++) {
    opt.zeroGrad();
    const h = m[0].forward(x);
    const v = step < 4 ? F.crossEntropy(m[1].forward(h), y) : h.square().mean();
    v.backward();
    const norm = clip ? nn.clipGradNorm(m.parameters(), clip) : null;
    await opt.step();
    close(await v.data(), [c.losses[step]], limit, `loss of step ${step}`);
    if (norm) close(await norm.data(), [c.norms[step]], limit, `norm of step ${step}`);
  }
  for (const [n, p] of m.namedParameters()) close(await p.data(), c.params[n], limit, n);
}

/**
 * Six steps at a learning rate of 0.3: as far from float64 as PyTorch's own float32, times 4, because WGSL's division and
 * square root may be off by 2.5 and 4.5 ulp.
 */
export async function checkSteep(name: "adam" | "adamw"): Promise<void> {
  const { p: want, float32 } = cases[`steep.${name}`];
  const p = new nn.Parameter([3], Float32Array.of(0.5, -1, 2));
  const opt =
    name === "adam" ? new optim.Adam([p], { lr: 0.3 }) : new optim.AdamW([p], { lr: 0.3, weightDecay: 0.1 });
  for (let step = 0; step < 6; step++) {
    opt.zeroGrad();
    p.square()
      .sum()
      .mul(step + 1)
      .add(p.sum().mul(0.25))
      .backward();
    await opt.step();
  }
  const got = await p.data();
  const off = Math.max(...want.map((w, i) => Math.abs(got[i] - w)));
  expect(off, `${name} is ${off} off, PyTorch's float32 ${float32}`).toBeLessThan(4 * float32);
}

/** Which way four batches go through a batch norm that averages over all of them. */
export const CUMULATIVE = ["one by one", "two in a step", "compiled", "two in a compiled step"] as const;

export async function checkCumulative(way: (typeof CUMULATIVE)[number], limit: number): Promise<void> {
  const { after, batches } = cases.bnCumulative;
  const m = new nn.BatchNorm2d(3, { momentum: null });
  const x = [0, 1, 2, 3].map((i) => values(20 + i, [4, 3, 2, 2], -1, 1 + i));
  const both = (a: Tensor, b: Tensor) => [m.forward(a), m.forward(b)];
  const single = (a: Tensor) => m.forward(a);
  const run = way.includes("compiled") ? { both: compile(both), single: compile(single) } : { both, single };
  for (let i = 0; i < batches; i += way.startsWith("two") ? 2 : 1) {
    if (way.startsWith("two")) run.both(x[i], x[i + 1]);
    else run.single(x[i]);
    const want = after[way.startsWith("two") ? i + 1 : i];
    close(await (m.runningMean as Tensor).data(), want.mean, limit, `mean after batch ${i}`);
    close(await (m.runningVar as Tensor).data(), want.variance, limit, `variance after batch ${i}`);
  }
  expect(m.numBatchesTracked?.value).toBe(batches);
}

export const CLIPS: Record<string, { normType?: number; maxNorm: number }> = {
  two: { maxNorm: 0.5 },
  one: { maxNorm: 0.5, normType: 1 },
  three: { maxNorm: 0.5, normType: 3 },
  largest: { maxNorm: 0.5, normType: Number.POSITIVE_INFINITY },
  short: { maxNorm: 100 },
  measured: { maxNorm: Number.POSITIVE_INFINITY },
};

/** Gradients of plain tensors, which have no memory of their own, read before they are clipped and not. */
export async function checkClip(name: string, limit: number): Promise<void> {
  const c = cases[`clip.${name}`];
  const { maxNorm, ...options } = CLIPS[name];
  for (const readFirst of [false, true]) {
    const [a, b] = [values(30, [3, 2]), values(31, [4])];
    for (const t of [a, b]) t.requiresGrad = true;
    a.square().sum().add(b.pow(3).sum()).backward();
    if (readFirst) await (a.grad as Tensor).data();
    const norm = nn.clipGradNorm([a, b], maxNorm, options);
    close(await norm.data(), [c.norm], limit, "norm");
    close(await (a.grad as Tensor).data(), c.a, limit, "gradient of a");
    close(await (b.grad as Tensor).data(), c.b, limit, "gradient of b");
  }
}
