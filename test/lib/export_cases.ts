// Small networks that between them have every operation that a forward can have, for the writers of whole networks.
// Weights and running statistics are drawn, so that nothing is 0 or 1 by default.
import { concat, full, nn, type Tensor, tensor, where } from "../../src/index.ts";
import { writeTensor } from "../../src/tensor/parameter.ts";
import { normalish } from "./counter.ts";

export type Net = nn.Module & { forward(x: Tensor): Tensor };

export class Made extends nn.Module {
  readonly parts: Net[];
  readonly fn: (x: Tensor, ...parts: Net[]) => Tensor;

  constructor(fn: (x: Tensor, ...parts: Net[]) => Tensor, parts: readonly Net[] = []) {
    super();
    this.fn = fn;
    this.parts = [...parts];
    parts.forEach((part, i) => {
      Object.assign(this, { [`part${i}`]: part });
    });
  }

  forward(x: Tensor): Tensor {
    return this.fn(x, ...this.parts);
  }
}

/** Gives every parameter and buffer values of its own; variances are positive. */
export function draw<M extends nn.Module>(model: M, seed: number): M {
  let stream = 0;
  for (const [name, t] of model.namedState()) {
    if (t instanceof nn.Counter) continue;
    const values = normalish(seed, stream++, t.numel).map((v) => v * 0.5);
    writeTensor(
      t,
      Float32Array.from(values, (v) => (name.endsWith("running_var") ? 0.5 + Math.abs(v) : v)),
    );
  }
  return model;
}

export interface Case {
  readonly name: string;
  readonly inputShape: readonly number[];
  readonly net: () => Net;
  /** Input values are made positive. */
  readonly positive?: boolean;
}

const C = 6;
const fn = (f: (x: Tensor, ...parts: Net[]) => Tensor, ...parts: Net[]) => new Made(f, parts);
const map = [C, 9, 8] as const;
const conv = (o: nn.Conv2dOptions, kernel: number | [number, number] = 3, out = 4) =>
  new nn.Conv2d(C, out, kernel, o);
const bn = (features = C) => new nn.BatchNorm2d(features, { eps: 1e-3 });
const on = (name: string, net: () => Net, inputShape: readonly number[] = map, positive = false): Case => ({
  name,
  net,
  inputShape,
  positive,
});

/** Squeeze-excitation as torchvision has it. */
class Squeeze extends nn.Module {
  fc1 = new nn.Conv2d(C, 2, 1);
  fc2 = new nn.Conv2d(2, C, 1);

  forward(x: Tensor): Tensor {
    const s = nn.functional.adaptiveAvgPool2d(x, 1);
    return x.mul(this.fc2.forward(this.fc1.forward(s).silu()).sigmoid());
  }
}

/** MobileNetV2's block: 1×1, depthwise, 1×1, and the sum with what came in. */
class Inverted extends nn.Module {
  conv = new nn.Sequential(
    new nn.Conv2d(C, 3 * C, 1, { bias: false }),
    bn(3 * C),
    new nn.ReLU6(),
    new nn.Conv2d(3 * C, 3 * C, 3, { padding: 1, groups: 3 * C, bias: false }),
    bn(3 * C),
    new nn.ReLU6(),
    new nn.Conv2d(3 * C, C, 1, { bias: false }),
    bn(),
  );

  forward(x: Tensor): Tensor {
    return x.add(this.conv.forward(x));
  }
}

/** Layers, as published networks have them. */
export const LAYER_CASES: readonly Case[] = [
  on("conv2d with bias, padding, stride", () => conv({ padding: 1, stride: 2 })),
  on("conv2d 3×5, dilated", () => conv({ padding: [1, 3], dilation: [1, 2], bias: false }, [3, 5])),
  on("conv2d of channels whose windows fit unevenly", () => conv({ stride: [3, 2], padding: [0, 1] })),
  on("depthwise, two outputs a channel", () => conv({ groups: C, padding: 1, stride: 2 }, 3, 2 * C)),
  on("batch norm and relu", () => new nn.Sequential(bn(), new nn.ReLU())),
  on("batch norm without weights", () => new nn.BatchNorm2d(C, { affine: false })),
  on(
    "max pool 3×3 at 2 behind relu",
    () => new nn.Sequential(new nn.ReLU(), new nn.MaxPool2d(3, { stride: 2, padding: 1 })),
  ),
  on(
    "max pool in ceil mode behind relu",
    () => new nn.Sequential(new nn.ReLU(), new nn.MaxPool2d(3, { stride: 2, ceilMode: true })),
  ),
  on("max pool 2×2", () => new nn.MaxPool2d(2)),
  on("average pool 2×2", () => new nn.AvgPool2d(2)),
  on("average pool, padding counts", () => new nn.AvgPool2d(3, { stride: 2, padding: 1 })),
  on("average pool with a divisor", () => new nn.AvgPool2d(2, { divisorOverride: 3 })),
  on(
    "global average, flatten, linear",
    () => new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten(), new nn.Linear(C, 5)),
  ),
  on("adaptive average in tiles", () => new nn.AdaptiveAvgPool2d([3, 4])),
  on("adaptive average of uneven windows", () => new nn.AdaptiveAvgPool2d([4, 3])),
  on("adaptive average upwards", () => new nn.AdaptiveAvgPool2d([11, 9])),
  on(
    "flatten of a map, linear without bias",
    () => new nn.Sequential(new nn.Flatten(), new nn.Linear(C * 72, 5, { bias: false })),
  ),
  on("squeeze-excitation", () => new Squeeze()),
  on("inverted residual", () => new Inverted()),
  on("dense layer: concat of what came before", () =>
    fn(
      (x, a, b) => {
        const y = concat([x, a.forward(x)], 1);
        return concat([y, b.forward(y)], 1);
      },
      conv({ padding: 1 }),
      new nn.Sequential(bn(C + 4), new nn.ReLU(), new nn.Conv2d(C + 4, 2, 1)),
    ),
  ),
  on("average pool behind a 1×1 convolution", () => new nn.Sequential(conv({}, 1), new nn.AvgPool2d(2))),
  on(
    "a classifier's end, with dropout",
    () => new nn.Sequential(new nn.Linear(7, 8), new nn.ReLU(), new nn.Dropout(0.5), new nn.Linear(8, 3)),
    [7],
  ),
  on("SqueezeNet's end", () =>
    fn((x, c) => nn.functional.adaptiveAvgPool2d(c.forward(x).relu(), 1).flatten(1), new nn.Conv2d(C, 5, 1)),
  ),
  on("the mean over rows and columns", () => fn((x) => x.mean([2, 3]))),
];

/** Elementwise operations of one tensor. */
export const UNARY_CASES: readonly Case[] = [
  ...(
    [
      "relu",
      "relu6",
      "sigmoid",
      "tanh",
      "silu",
      "hardswish",
      "hardsigmoid",
      "softplus",
      "elu",
      "leakyRelu",
    ] as const
  ).map((name) => on(name, () => fn((x) => x.mul(4)[name]()))),
  on("gelu", () => fn((x) => x.gelu())),
  on("gelu by tanh", () => fn((x) => x.gelu("tanh"))),
  on("clamp to [-1, 0.5]", () => fn((x) => x.clamp(-1, 0.5))),
  on("add, sub, mul with numbers", () => fn((x) => x.add(1.5).mul(-3).sub(0.25))),
  on("neg, square, abs", () => fn((x) => x.neg().add(x.square()).abs())),
];

/** What a forward can have beside; not all engines have all of it. */
export const OTHER_CASES: readonly Case[] = [
  on("clamp with one bound", () => fn((x) => x.clamp(0.1).add(x.clamp(undefined, 0.2)))),
  on("sign, floor, ceil", () => fn((x) => x.sign().add(x.floor()).sub(x.mul(3).ceil()))),
  on("exp, sin, cos", () => fn((x) => x.exp().add(x.sin().mul(x.cos())))),
  on(
    "log, sqrt, rsqrt, reciprocal",
    () => fn((x) => x.log().add(x.sqrt()).add(x.rsqrt().mul(x.reciprocal()))),
    map,
    true,
  ),
  on("powers", () => fn((x) => x.pow(1.5).add(x.pow(x))), map, true),
  on("div, maximum, minimum", () => fn((x) => x.div(x.add(9)).maximum(x.neg()).minimum(x.mul(0.3)))),
  on("comparisons and where", () =>
    fn((x) =>
      where(x.gt(0.2), x, x.mul(2)).add(x.le(0)).add(x.eq(1)).add(x.ne(2)).add(x.lt(x.neg())).add(x.ge(0.1)),
    ),
  ),
  on("sum, largest, smallest", () => fn((x) => x.sum(3).add(x.max(3)).mul(x.min(3)).sum([2], true))),
  on("argmax", () => fn((x) => x.argmax(1))),
  on("softmax over channels", () => fn((x) => x.softmax(1))),
  on("log softmax", () => fn((x) => x.logSoftmax(-1))),
  on("permute, reshape, slice", () => fn((x) => x.permute(0, 2, 3, 1).reshape(-1, 8, 9, C).slice(1, 2, -1))),
  on("slices of rows, columns, channels", () =>
    fn((x) => x.slice(2, 1, 8).slice(3, 2).slice(1, 1, 4).slice(1, 0, 2)),
  ),
  on("channel shuffle", () =>
    fn((x) => x.reshape(x.shape[0], 2, 3, 9, 8).transpose(1, 2).reshape(x.shape[0], C, 9, 8)),
  ),
  on("pad channels and columns with zeros", () => fn((x) => x.pad([1, 0, 0, 0, 2, 3]))),
  on("pad with a number", () => fn((x) => x.pad([1, 2, 0, 3], -1.5))),
  on(
    "max pool of what may be negative",
    () => new nn.MaxPool2d(3, { stride: 2, padding: 1, ceilMode: true }),
  ),
  on("max pool, dilated", () => new nn.MaxPool2d(2, { dilation: 2, stride: 1 })),
  on(
    "average pool, padding does not count, ceil mode",
    () => new nn.AvgPool2d(3, { stride: 2, padding: 1, countIncludePad: false, ceilMode: true }),
  ),
  on(
    "average pool, padding counts, ceil mode",
    () => new nn.AvgPool2d([3, 2], { stride: [3, 3], padding: [1, 0], ceilMode: true }),
  ),
  on("convolution of groups", () => conv({ groups: 2, padding: 1 })),
  on("batches of products", () => fn((x) => x.matmul(x.transpose(2, 3)))),
  on("linear over the last axis", () => new nn.Linear(8, 3)),
  on("weights that are computed", () =>
    fn((x, l) => {
      const { weight } = l as nn.Linear;
      return nn.functional.linear(x, weight.div(weight.square().sum(1, true).sqrt()));
    }, new nn.Linear(8, 3)),
  ),
  on("constants of the forward", () =>
    fn((x) =>
      x
        .mul(
          tensor(
            Float32Array.from({ length: 8 }, (_, i) => i),
            [8],
          ),
        )
        .add(full([1, C, 1, 1], 2)),
    ),
  ),
  on("expand of the last axis", () => fn((x) => x.sum(3, true).expand(-1, -1, -1, 8).mul(x))),
];

/** Inputs [batch, …inputShape] of a case. */
export function inputOf(
  { inputShape, positive }: Pick<Case, "inputShape" | "positive">,
  batch: number,
  seed = 7,
): Float32Array {
  const n = batch * inputShape.reduce((a, b) => a * b, 1);
  const values = normalish(seed, 99, n);
  return Float32Array.from(values, (v) => (positive ? 0.1 + Math.abs(v) : v));
}
