// Sequential: what is at a position, what a slice holds, and under which names, whatever the layers are called.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, compile, init, nn, tensor } from "../../src/index.ts";

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(close);

const kinds = (s: nn.Sequential) => [...s].map((m) => m.constructor.name).join(" ");
const names = (s: nn.Sequential) => [...s.namedChildren()].map(([n]) => n).join(" ");
const five = () =>
  new nn.Sequential(
    new nn.Linear(2, 3),
    new nn.ReLU(),
    new nn.Linear(3, 3),
    new nn.Tanh(),
    new nn.Linear(3, 1),
  );

describe("slice", () => {
  it.each([
    [1, 3, "1 2", "ReLU Linear"],
    [2, 4, "2 3", "Linear Tanh"],
    [-3, -1, "2 3", "Linear Tanh"],
    [-2, undefined, "3 4", "Tanh Linear"],
    [1, undefined, "1 2 3 4", "ReLU Linear Tanh Linear"],
    [0, 2, "0 1", "Linear ReLU"],
    [3, 99, "3 4", "Tanh Linear"],
    [5, 9, "", ""],
  ])("(%s, %s) keeps layers and names", (from, to, wanted, classes) => {
    const s = five();
    const part = s.slice(from, to);
    expect([names(part), kinds(part), part.length]).toEqual([
      wanted,
      classes,
      classes ? classes.split(" ").length : 0,
    ]);
    if (part.length > 0) expect(part[0]).toBe(s[Number(wanted[0])]);
  });

  it("computes what those layers compute, and has their state under their names", async () => {
    const s = five();
    const [x, part] = [tensor([[1, -2, 3]]), s.slice(1, 3)];
    const want = await s[2].forward(s[1].forward(x)).data();
    expect(await part.forward(x).data()).toEqual(want);
    expect([...part.stateDict().keys()]).toEqual(["2.weight", "2.bias"]);
    expect(part.slice(-1)[0]).toBe(s[2]);
  });

  it("refuses ends that are not whole", () => {
    expect(() => five().slice(0.5, 2)).toThrow(
      "Sequential: the ends of a slice must be whole numbers, got 0.5 and 2",
    );
  });
});

describe("names that are numbers", () => {
  it("are names, and positions are positions", () => {
    const s = new nn.Sequential({ "1": new nn.ReLU(), "2": new nn.Tanh(), last: new nn.Sigmoid() });
    expect([names(s), kinds(s), s.length]).toEqual(["1 2 last", "ReLU Tanh Sigmoid", 3]);
    expect([s[0], s[1], s[-1]].map((m) => m.constructor.name)).toEqual(["ReLU", "Tanh", "Sigmoid"]);
    s[1] = new nn.GELU();
    expect([names(s), kinds(s)]).toEqual(["1 2 last", "ReLU GELU Sigmoid"]);
  });

  it("a layer replaced in a slice is seen by a compiled step", async () => {
    const part = five().slice(3, 4);
    const step = compile((x) => part.forward(x as never));
    const x = tensor([[-1, 2]]);
    expect([...(await step(x).data())][1]).toBeCloseTo(Math.tanh(2), 6);
    part[0] = new nn.ReLU();
    expect([...(await step(x).data())]).toEqual([0, 2]);
  });
});

it("refuses what is not a layer", () => {
  const wrong = (() => 1) as unknown as nn.ReLU;
  expect(() => new nn.Sequential(new nn.ReLU(), wrong)).toThrow(
    "Sequential: layer 1 must be a Module, got function",
  );
  const s = five();
  expect(() => {
    s[0] = 3 as unknown as nn.ReLU;
  }).toThrow("Sequential: layer 0 must be a Module, got number");
  expect(() => s[5]).toThrow("Sequential: there is no layer 5 among 5");
});
