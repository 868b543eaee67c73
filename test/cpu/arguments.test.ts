// What users pass to layers, losses and optimizers: PyTorch's positional calls, unknown names and what is out of range
// are refused at the line that passes them, by name, so that nothing accepted is ignored.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, nn, ones, optim, type Tensor, tensor } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu", seed: 1 }));
afterAll(close);

/** Calls as JavaScript makes them, whatever the types say. */
type Make = new (...args: readonly unknown[]) => unknown;
const layer = (name: string) => nn[name as "ReLU"] as unknown as Make;
const make = (name: string, ...args: unknown[]) => Reflect.construct(layer(name), args);

describe("layers", () => {
  const object = (first: string, got: string) =>
    `options must be an object such as { ${first}: … }, got ${got}`;

  it.each<[string, unknown[], string]>([
    ["MaxPool2d", [3, 2, 1], object("stride", "2")],
    ["AvgPool2d", [3, 2], object("stride", "2")],
    ["Linear", [4, 2, false], object("bias", "false")],
    ["BatchNorm2d", [2, 1e-3], object("eps", "0.001")],
    ["Conv2d", [3, 4, 3, 1, 1], object("stride", "1")],
    ["GELU", ["tanh"], object("approximate", '"tanh"')],
    ["MSELoss", ["sum"], object("reduction", '"sum"')],
    ["ReLU", [true], "there is no such argument as true"],
    ["ReLU", [{ inplace: true }], "there is no such argument as { inplace }"],
    ["Dropout", [0.5, true], "there is no such argument as true"],
    ["LeakyReLU", [0.1, true], "there is no such argument as true"],
    ["StochasticDepth", [0.1, "row", true], "there is no such argument as true"],
    ["ELU", [1, true], "there is no such argument as true"],
  ])("%s as PyTorch is called: %j", (name, args, message) => {
    expect(() => make(name, ...args)).toThrow(`${name}: ${message}`);
  });

  it.each<[string, unknown[], string]>([
    ["Conv2d", [3, 4, 3, { pading: 1 }], "there is no option pading; did you mean padding?"],
    ["Conv2d", [3, 4, 3, { padding: "some" }], 'padding must be "same" or "valid", got "some"'],
    ["Conv2d", [3, 4, 3, { padding: "same", stride: 2 }], 'padding "same" needs a stride of 1, got 2,2'],
    ["Conv2d", [3, 4, 3, { padding: [1, 2, 3] }], "padding must be whole and at least 0, one number or two"],
    ["Conv2d", [3, 4, [3]], "kernel size must be whole and at least 1, one number or two, got [3]"],
    ["Linear", [4, 2.5], "outFeatures must be a whole number of at least 1, got 2.5"],
    ["BatchNorm2d", [2, { momentum: 2 }], "momentum must be a number from 0 to 1, got 2"],
    ["MaxPool2d", [3, { ceil_mode: true }], "there is no option ceil_mode; did you mean ceilMode?"],
    ["Dropout", [1.5], "p must be a number from 0 to 1, got 1.5"],
    ["StochasticDepth", [1.5, "row"], "p must be a number from 0 to 1, got 1.5"],
    ["StochasticDepth", [0.5, "rows"], 'mode must be "row" or "batch", got "rows"'],
    ["CrossEntropyLoss", [{ reduction: "avg" }], 'reduction must be "mean", "sum" or "none", got "avg"'],
  ])("%s with what there is not: %j", (name, args, message) => {
    expect(() => make(name, ...args)).toThrow(`${name}: ${message}`);
  });
});

describe("losses", () => {
  const F = nn.functional;
  const [column, row] = [() => ones([3, 1]), () => ones([3])];

  it.each<[string, () => Tensor, string]>([
    ["bce of [3,1] and [3]", () => F.binaryCrossEntropy(column(), row()), "f32[3,1] and f32[3]"],
    [
      "bce of logits [3] and [3,1]",
      () => F.binaryCrossEntropyWithLogits(row(), column()),
      "f32[3] and f32[3,1]",
    ],
    [
      "a weight larger than the losses",
      () => F.binaryCrossEntropy(column(), column(), { weight: ones([5]) }),
      "weight must broadcast to the input's shape, got f32[5] for f32[3,1]",
    ],
    [
      "a posWeight larger than the losses",
      () => F.binaryCrossEntropyWithLogits(row(), row(), { posWeight: column() }),
      "posWeight must broadcast to the input's shape, got f32[3,1] for f32[3]",
    ],
    [
      "classes for other rows",
      () => F.crossEntropy(ones([3, 2]), tensor(Int32Array.of(0, 1))),
      "f32[3,2] and i32[2]",
    ],
  ])("refuse %s", (_what, f, message) => {
    expect(f).toThrow(message);
  });

  it("take weights that broadcast to the input", async () => {
    const losses = F.binaryCrossEntropyWithLogits(ones([3, 2]), ones([3, 2]), {
      posWeight: tensor([1, 2]),
      weight: tensor([[1], [0], [3]]),
      reduction: "none",
    });
    const one = Math.log1p(Math.exp(-1));
    const want = [1, 2, 0, 0, 3, 6].map((k) => Math.fround(k * one));
    expect([...(await losses.data())]).toEqual(want);
  });
});

describe("optimizers", () => {
  const params = () => [...new nn.Linear(2, 1).parameters()];
  const build = (name: "Adam" | "SGD", ...args: unknown[]) =>
    Reflect.construct(optim[name] as unknown as Make, args) as optim.SGD;

  it.each<[string, () => unknown, string]>([
    ["a learning rate by position", () => build("Adam", params(), 0.1), "options must be an object"],
    ["an unknown option", () => build("Adam", params(), { lrate: 1 }), "there is no option lrate"],
    [
      "an unknown option of a group",
      () => build("SGD", [{ params: params(), weight_decay: 1 }]),
      "there is no option weight_decay; did you mean weightDecay?",
    ],
    ["a rate that is no number", () => build("SGD", params(), { lr: Number.NaN }), "lr must be a number"],
    ["no parameters", () => build("SGD", []), "got no parameters"],
    ["a module", () => build("SGD", new nn.Linear(2, 1)), "takes Parameters, or groups { params, … }"],
    ["a tensor among them", () => build("SGD", [ones([1])]), "params must be Parameters, got Tensor f32[1]"],
    [
      "a group that is none",
      () => build("SGD", params()).addParamGroup(null as never),
      "a group must be { params: Parameters, … }, got null",
    ],
    [
      "a group without parameters",
      () => build("SGD", params()).addParamGroup({ lr: 1 } as never),
      "a group must be { params: Parameters, … }, got { lr }",
    ],
  ])("refuse %s", (_what, f, message) => {
    expect(f).toThrow(message);
  });

  it("refuse the state of another kind or of other parameters, and keep their own", () => {
    const sgd = build("SGD", params(), { lr: 0.5 });
    const load = (state: unknown) => () => sgd.loadStateDict(state as never);
    expect(load(build("Adam", params()).stateDict())).toThrow("SGD: the state is of Adam");
    expect(load(null)).toThrow("SGD: takes what stateDict() gave, { groups, params }, got null");
    expect(load(new nn.Linear(2, 1).stateDict())).toThrow("SGD: takes what stateDict() gave");
    const one = { step: 1, moments: { momentum: new Float32Array(2) } };
    expect(load({ groups: [{ lr: 1 }], params: [one] })).toThrow("1 groups and 1 parameters, not 1 and 2");
    const two = [one, { step: 1, moments: { momentum: new Float32Array(3) } }];
    expect(load({ groups: [{ lr: 1, momentum: 0.9 }], params: two })).toThrow(
      "SGD: moment momentum has 3 elements, not 1",
    );
    expect(sgd.paramGroups[0].lr).toBe(0.5);
  });

  it("go on as if never stopped from what another one's stateDict() gave", async () => {
    const [a, b] = [new nn.Linear(2, 1), new nn.Linear(2, 1)];
    b.loadStateDict(a.stateDict());
    const step = (l: nn.Linear, o: optim.Adam) => {
      o.zeroGrad();
      l.forward(tensor([[1, -2]]))
        .square()
        .sum()
        .backward();
      return o.step();
    };
    const first = new optim.Adam(a.parameters(), { lr: 0.1 });
    await step(a, first);
    b.loadStateDict(a.stateDict());
    const second = new optim.Adam(b.parameters());
    second.loadStateDict(first.stateDict());
    await step(a, first);
    await step(b, second);
    expect([...(await b.weight.data())]).toEqual([...(await a.weight.data())]);
  });
});
