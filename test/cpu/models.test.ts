// Models as functions: which head they have when weights are given, and the options that they refuse.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn } from "../../src/index.ts";
import { candidates } from "../../src/models/guess.ts";
import { exportState, type StateEntry } from "../../src/nn/index.ts";
import { runtime } from "../../src/runtime/context.ts";

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(close);

const mini = models.densenet_mini;
const names = (m: nn.Module) => [...m.stateDict().keys()].filter((k) => !k.endsWith("num_batches_tracked"));

/** Names of what two models have in common, values and all. */
async function shared(a: nn.Module, b: nn.Module): Promise<string[]> {
  const [x, y] = [await exportState(a), await exportState(b)];
  return names(a).filter((k) => `${x.get(k)?.data}` === `${y.get(k)?.data}`);
}

/** Weights of `classes` with no two values alike, so that what is shared was loaded. */
async function file(classes: number): Promise<{ from: nn.Module; weights: Map<string, StateEntry> }> {
  const from = mini({ numClasses: classes });
  const weights = await exportState(from);
  let i = 0;
  for (const { data } of weights.values())
    if (data instanceof Float32Array) for (let k = 0; k < data.length; k++) data[k] = ++i / 2 ** 18;
  from.loadStateDict(weights);
  return { from, weights };
}

describe("under skipInit", () => {
  it.each(models.list())("%s draws nothing", (name) => {
    const { generator } = runtime();
    const { position } = generator;
    nn.init.skipInit(() => models.create(name));
    expect(generator.position).toBe(position);
  });
});

it.each(models.list())("%s is looked for where a file has its names", (name) => {
  expect(candidates(nn.init.skipInit(() => models.create(name)).stateDict())).toContain(name);
});

describe("weights", () => {
  it("with a head of as many classes are loaded whole, with or without numClasses", async () => {
    const three = await file(3);
    const model = mini({ numClasses: 3, weights: three.weights });
    expect(await shared(model, three.from)).toEqual(names(model));
    const thousand = await file(1000);
    for (const options of [{}, { numClasses: 1000 }]) {
      const whole = mini({ ...options, weights: thousand.weights });
      expect(await shared(whole, thousand.from)).toEqual(names(whole));
    }
  });

  it("with a head of another number leave a fresh one, where numClasses asks for it", async () => {
    const { from, weights } = await file(3);
    for (const numClasses of [5, 1000]) {
      const model = mini({ numClasses, weights });
      expect(model.classifier.stateDict().get("weight")?.shape[0]).toBe(numClasses);
      expect(await shared(model, from)).toEqual(names(model).filter((k) => !k.startsWith("classifier.")));
    }
    expect(() => mini({ weights })).toThrow(
      /wrong shape classifier.weight \(has \[3,\d+\], the model wants \[1000,/,
    );
  });

  it("without a head leave a fresh one, where numClasses asks for it", async () => {
    const { from, weights } = await file(3);
    const trunk = new Map([...weights].filter(([k]) => !k.startsWith("classifier.")));
    const model = mini({ numClasses: 3, weights: Object.fromEntries(trunk) });
    expect(await shared(model, from)).toEqual(names(model).filter((k) => !k.startsWith("classifier.")));
    expect(() => mini({ weights: trunk })).toThrow("missing classifier.weight, classifier.bias");
  });

  it("of another trunk, or with half of a head, are refused", async () => {
    const { weights } = await file(3);
    const without = (name: string) => new Map([...weights].filter(([k]) => k !== name));
    expect(() => mini({ numClasses: 5, weights: without("features.norm5.bias") })).toThrow(
      "missing features.norm5.bias",
    );
    expect(() => mini({ numClasses: 3, weights: without("classifier.bias") })).toThrow(
      "missing classifier.bias",
    );
  });
});

it("refuses options that there are not, numbers out of range, and weights that are no state dict", () => {
  const call = (options: unknown) => () => mini(options as models.ModelOptions);
  expect(call({ numclasses: 3 })).toThrow(
    "densenet_mini: there is no option numclasses; did you mean numClasses?",
  );
  expect(call(10)).toThrow("densenet_mini: options must be an object such as { numClasses: … }, got 10");
  expect(call({ numClasses: 0 })).toThrow("numClasses must be a whole number of at least 1, got 0");
  expect(call({ dropRate: 3 })).toThrow("dropRate must be a number from 0 to 1, got 3");
  const sentence = "densenet_mini: weights must be a state dict; pass await weights.read(file)";
  expect(call({ weights: "DEFAULT" })).toThrow(sentence);
  expect(call({ weights: Promise.resolve(new Map()) })).toThrow(sentence);
});
