// Nothing accepted is ignored: unknown options, positional arguments where options belong, words that there are not and
// numbers out of range are refused where they are given, in one sentence that names the culprit.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, freeze, init, nn, ones, optim, type Tensor, tensor, zeros } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(close);

/** What TypeScript would not let through. */
const wrong = (v: unknown) => v as never;
const make = (kind: unknown, ...args: unknown[]) => new (kind as new (...a: unknown[]) => unknown)(...args);
const { functional: F } = nn;
const x = () => ones([1, 2, 4, 4]);
const params = () => new nn.Linear(2, 1).parameters();
const [two, three] = [() => tensor([1, 2]), () => tensor([1, 2, 3])];

const REFUSED: Record<string, [() => unknown, string][]> = {
  layers: [
    [() => make(nn.ReLU, true), "ReLU: there is no such argument as true"],
    [() => make(nn.Sigmoid, { inplace: true }), "Sigmoid: there is no such argument as { inplace }"],
    [() => make(nn.Conv2d, 2, 3, 3, 2), "Conv2d: options must be an object such as { stride: … }, got 2"],
    [
      () => new nn.Conv2d(2, 3, 3, wrong({ paddingMode: "reflect" })),
      "Conv2d: there is no option paddingMode (there are stride, padding, dilation, groups, bias)",
    ],
    [() => new nn.Conv2d(2, 3, 3, wrong({ bias: 0 })), "Conv2d: bias must be true or false, got 0"],
    [
      () => new nn.Conv2d(2, 3, wrong("3")),
      'Conv2d: kernel size must be whole and at least 1, one number or two, got "3"',
    ],
    [
      () => new nn.Conv2d(2, Number.NaN, 3),
      "Conv2d: outChannels must be a whole number of at least 1, got NaN",
    ],
    [() => new nn.Conv2d(2, 3, 3, { groups: 2 }), "Conv2d: 2 and 3 channels do not divide into 2 groups"],
    [
      () => new nn.Conv2d(2, 3, 3, { padding: "same", stride: 2 }),
      'Conv2d: padding "same" needs a stride of 1, got 2,2',
    ],
    [
      () => new nn.Conv2d(2, 3, 3, wrong({ padding: "full" })),
      'Conv2d: padding must be "same" or "valid", got "full"',
    ],
    [() => make(nn.Linear, 4, 2, false), "Linear: options must be an object such as { bias: … }, got false"],
    [
      () => new nn.Linear(4, 2, wrong({ biass: false })),
      "Linear: there is no option biass; did you mean bias?",
    ],
    [
      () => make(nn.BatchNorm2d, 2, 1e-3),
      "BatchNorm2d: options must be an object such as { eps: … }, got 0.001",
    ],
    [() => new nn.BatchNorm2d(2, { eps: -1 }), "BatchNorm2d: eps must be a number of at least 0, got -1"],
    [
      () => new nn.BatchNorm2d(2, { momentum: 7 }),
      "BatchNorm2d: momentum must be a number from 0 to 1, got 7",
    ],
    [() => make(nn.MaxPool2d, 3, 2, 1), "MaxPool2d: options must be an object such as { stride: … }, got 2"],
    [
      () => new nn.MaxPool2d(3, wrong({ ceil_mode: true })),
      "MaxPool2d: there is no option ceil_mode; did you mean ceilMode?",
    ],
    [
      () => new nn.MaxPool2d(3, wrong({ returnIndices: true })),
      "MaxPool2d: there is no option returnIndices (there are",
    ],
    [
      () => new nn.AvgPool2d(2, { divisorOverride: -2 }),
      "AvgPool2d: divisorOverride must be a number above 0, got -2",
    ],
    [() => new nn.AvgPool2d(2, wrong({ dilation: 2 })), "AvgPool2d: there is no option dilation (there are"],
    [
      () => new nn.AdaptiveAvgPool2d(wrong([1, 2, 3])),
      "AdaptiveAvgPool2d: output size must be whole and at least 1",
    ],
    [() => make(nn.GELU, "tanh"), 'GELU: options must be an object such as { approximate: … }, got "tanh"'],
    [
      () => new nn.GELU({ approximate: wrong("tahn") }),
      'GELU: approximate must be "none" or "tanh", got "tahn"',
    ],
    [
      () => new nn.LeakyReLU(wrong({ negativeSlope: 0.2 })),
      "LeakyReLU: negativeSlope must be a number, got { negativeSlope }",
    ],
    [() => new nn.Dropout(Number.NaN), "Dropout: p must be a number from 0 to 1, got NaN"],
    [() => new nn.Softmax(wrong({ dim: 1 })), "Softmax: dim must be a whole number, got { dim }"],
    [() => new nn.Flatten(wrong({ startDim: 1 })), "Flatten: start must be a whole number, got { startDim }"],
    [
      () => freeze(new nn.Linear(1, 1), wrong({ batchnorm: "batch" })),
      "freeze: there is no option batchnorm; did you mean batchNorm?",
    ],
    [
      () => new nn.Linear(1, 1).loadStateDict({}, wrong({ Strict: false })),
      "loadStateDict: there is no option Strict; did you mean strict?",
    ],
  ],
  functions: [
    [
      () => F.conv2d(x(), ones([1, 2, 3, 3]), null, wrong(1)),
      "conv2d: options must be an object such as { stride: … }, got 1",
    ],
    [
      () => F.conv2d(x(), ones([1, 2, 3, 3]), wrong({ stride: 2 })),
      "conv2d: bias must be a Tensor, got { stride }",
    ],
    [
      () => F.conv2d(x(), ones([1, 2, 3, 3]), null, { padding: wrong(null) }),
      "conv2d: padding must be whole and at least 0, one number or two, got null",
    ],
    [
      () => F.conv2d(x(), ones([1, 2, 3, 3]), null, { stride: wrong([1, 1, 1]) }),
      "conv2d: stride must be whole and at least 1, one number or two, got [1, 1, 1]",
    ],
    [
      () => F.conv2d(zeros([1, 0, 4, 4]), ones([1, 0, 3, 3])),
      "conv2d: only the batch may be empty, got f32[1,0,4,4]",
    ],
    [
      () => F.maxPool2d(x(), 2, wrong(1)),
      "maxPool2d: options must be an object such as { stride: … }, got 1",
    ],
    [
      () => F.dropout(x(), 0.5, wrong({ training: false })),
      "dropout: training must be true or false, got { training }",
    ],
    [
      () => F.stochasticDepth(x(), 0.5, wrong("rows")),
      'stochasticDepth: mode must be "row" or "batch", got "rows"',
    ],
    [
      () => F.batchNorm(x(), null, null, null, wrong({ train: true })),
      "batchNorm: there is no option train (there are training, momentum, eps)",
    ],
    [() => F.linear(ones([1, 2]), ones([1, 2]), wrong(false)), "linear: bias must be a Tensor, got false"],
    [() => x().gelu(wrong("tahn")), 'gelu: approximate must be "none" or "tanh", got "tahn"'],
    [() => x().leakyRelu(wrong("0.1")), 'leakyRelu: negativeSlope must be a number, got "0.1"'],
    [() => x().norm(wrong(3)), "norm: p must be 1, 2 or Infinity, got 3"],
  ],
  losses: [
    [
      () => make(nn.CrossEntropyLoss, three()),
      "CrossEntropyLoss: options must be an object such as { weight: … }, got Tensor f32[3]",
    ],
    [
      () => new nn.CrossEntropyLoss({ reduction: wrong("average") }),
      'CrossEntropyLoss: reduction must be "mean", "sum" or "none", got "average"',
    ],
    [
      () => new nn.CrossEntropyLoss(wrong({ label_smoothing: 0.1 })),
      "CrossEntropyLoss: there is no option label_smoothing; did you mean labelSmoothing?",
    ],
    [
      () => new nn.CrossEntropyLoss({ weight: wrong([1, 2]) }),
      "CrossEntropyLoss: weight must be a Tensor, got [1, 2]",
    ],
    [
      () => new nn.CrossEntropyLoss({ labelSmoothing: 2 }),
      "CrossEntropyLoss: labelSmoothing must be a number from 0 to 1, got 2",
    ],
    [
      () => new nn.NLLLoss(wrong({ labelSmoothing: 0.1 })),
      "NLLLoss: there is no option labelSmoothing (there are weight, ignoreIndex, reduction)",
    ],
    [
      () => new nn.BCEWithLogitsLoss(wrong({ pos_weight: two() })),
      "BCEWithLogitsLoss: there is no option pos_weight; did you mean posWeight?",
    ],
    [
      () => F.mseLoss(two(), two(), { reduction: wrong("avg") }),
      'mseLoss: reduction must be "mean", "sum" or "none", got "avg"',
    ],
    [
      () => F.crossEntropy(ones([2, 3]), ones([2, 3]), { ignoreIndex: 1 }),
      "crossEntropy: ignoreIndex is of classes, but the targets are probabilities",
    ],
    [
      () => F.crossEntropy(ones([2, 3]), ones([2, 3]), { weight: two() }),
      "crossEntropy: needs one weight for each of 3 classes, got f32[2]",
    ],
    [
      () => F.binaryCrossEntropy(two(), three()),
      "binaryCrossEntropy: the target must have the input's shape, got f32[2] and f32[3]",
    ],
    [
      () => F.binaryCrossEntropyWithLogits(ones([2, 1]), two()),
      "binaryCrossEntropyWithLogits: the target must have the input's shape, got f32[2,1] and f32[2]",
    ],
  ],
  init: [
    [
      () => nn.init.kaimingNormal(params()[0], { mode: wrong("fan_out") }),
      'init.kaimingNormal: mode must be "fanIn" or "fanOut", got "fan_out"',
    ],
    [() => nn.init.kaimingUniform(params()[0], wrong({ a: 1 })), "init.kaimingUniform: there is no option a"],
    [() => nn.init.normal(params()[0], 0, -1), "init.normal: std must be a number of at least 0, got -1"],
    [() => nn.init.uniform(params()[0], 1, 0), "init.uniform: high must be a number of at least 1, got 0"],
    [() => nn.init.constant(params()[0], Number.NaN), "init.constant: value must be a number, got NaN"],
    [() => nn.init.zeros(wrong(two())), "init.zeros: takes a Parameter or a Buffer, got Tensor f32[2]"],
  ],
  optimizers: [
    [() => make(optim.Adam, params(), 0.1), "Adam: options must be an object such as { lr: … }, got 0.1"],
    [
      () => new optim.Adam(params(), wrong({ amsgrad: true })),
      "Adam: there is no option amsgrad (there are lr, betas, eps, weightDecay)",
    ],
    [
      () => new optim.Adam(params(), { betas: wrong(0.9) }),
      "Adam: betas must be two numbers in [0, 1), got 0.9",
    ],
    [
      () => new optim.SGD(wrong([{ params: params(), weight_decay: 0.1 }])),
      "SGD: there is no option weight_decay; did you mean weightDecay?",
    ],
    [() => new optim.SGD(params(), { dampening: Number.NaN }), "SGD: dampening must be a number, got NaN"],
    [
      () => new optim.SGD(params(), { lr: wrong("0.1") }),
      'SGD: lr must be a number of at least 0, got "0.1"',
    ],
    [
      () => new optim.SGD(wrong(new nn.Linear(1, 1))),
      "SGD: takes Parameters, or groups { params, … }, got a Linear",
    ],
    [() => new optim.SGD(wrong([two()])), "SGD: params must be Parameters, got Tensor f32[2]"],
    [
      () => nn.clipGradNorm(params(), 1, wrong({ norm_type: 1 })),
      "clipGradNorm: there is no option norm_type; did you mean normType?",
    ],
    [() => nn.clipGradNorm(params(), 0), "clipGradNorm: maxNorm must be a number above 0, got 0"],
    [
      () => nn.clipGradNorm(wrong(new nn.Linear(1, 1)), 1),
      "clipGradNorm: takes Tensors with gradients, got a Linear",
    ],
  ],
  "shapes that are none": [
    [() => ones([6]).reshape(-2, -3), "reshape: extents must be whole numbers of at least 0"],
    [() => ones([6]).reshape(1.5, 4), "reshape: extents must be whole numbers of at least 0, got [1.5, 4]"],
    [() => two().expand(-1, 3, 2), "expand: extents must be whole numbers of at least 0"],
    [() => zeros([0, 3]).amax(), "amax: nothing to reduce in f32[0,3]"],
    [
      () => tensor(1).matmul(two()),
      "matmul: takes vectors, matrices or batches of them, got f32[] and f32[2]",
    ],
    [() => two().slice(0, 0.5), "slice: [0.5, 2) does not lie in axis 0 of f32[2]"],
  ],
};

describe.each(Object.entries(REFUSED))("%s", (_name, cases) => {
  it.each(cases.map(([f, message]) => [message, f] as const))("%s", (message, f) => {
    expect(f).toThrow(message);
  });
});

it("options left undefined, and one parameter as a group, are as in PyTorch", () => {
  const p = params();
  const opt = new optim.SGD([{ params: [p[0]], lr: undefined }], { lr: 0.5, momentum: undefined });
  opt.addParamGroup({ params: p[1], momentum: 0.9 });
  expect(opt.paramGroups.map(({ lr, momentum, params: own }) => [lr, momentum, own.length])).toEqual([
    [0.5, 0, 1],
    [0.5, 0.9, 1],
  ]);
});

it("probabilities outside of [0, 1] have a loss that is not a number", async () => {
  const loss = F.binaryCrossEntropy(tensor([1.5, -0.2, 0.5]), tensor([1, 0, 1]), {
    reduction: "none",
  }) as Tensor;
  expect([...(await loss.data())].map(Number.isNaN)).toEqual([true, true, false]);
});
