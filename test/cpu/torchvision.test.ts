// Every architecture against torchvision's: published parameter counts, names and shapes of the state dict in order,
// and how parameters begin, as distributions. And what freezing and heads mean to each family.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn, train } from "../../src/index.ts";

interface Known {
  readonly parameters: number;
  readonly names: string;
  /** Of each parameter its elements, mean, standard deviation, largest magnitude. */
  readonly start?: Record<string, [number, number, number, number]>;
}

const file = new URL("../fixtures/torchvision/names.json", import.meta.url);
const known = JSON.parse(readFileSync(file, "utf8")) as Record<string, Known>;

beforeAll(() => init({ device: "cpu", seed: 5 }));
afterAll(close);

/** "mobilenet_v2@0.5" is of half the width. */
function blank(spec: string): models.Classifier {
  const [name, widthMult] = spec.split("@");
  const options = widthMult === undefined ? {} : { widthMult: Number(widthMult) };
  return nn.init.skipInit(() => models.create(name, options));
}

describe("names, shapes and numbers of parameters are torchvision's", () => {
  it("of all of torchvision's architectures", () => {
    const own = models.list().filter((name) => name !== "densenet_mini" && !name.startsWith("keras."));
    expect(own.sort()).toEqual(
      Object.keys(known)
        .filter((n) => !n.includes("@"))
        .sort(),
    );
  });
  it.each(Object.entries(known))("%s", (spec, { parameters, names }) => {
    const model = blank(spec);
    expect(model.parameters().reduce((n, p) => n + p.numel, 0)).toBe(parameters);
    const lines = [...model.stateDict()].map(([name, t]) => `${name} [${t.shape.join(",")}]\n`);
    expect(createHash("sha256").update(lines.join("")).digest("hex")).toBe(names);
  });
});

/** Mean, standard deviation, largest magnitude. */
function statistics(v: ArrayLike<number>): [number, number, number] {
  let sum = 0;
  let most = 0;
  for (let i = 0; i < v.length; i++) {
    sum += v[i];
    most = Math.max(most, Math.abs(v[i]));
  }
  const mean = sum / v.length;
  let squares = 0;
  for (let i = 0; i < v.length; i++) squares += (v[i] - mean) ** 2;
  return [mean, Math.sqrt(squares / v.length), most];
}

describe("parameters begin as torchvision's", () => {
  // VGG's are 133 million: half a minute of drawing.
  const all = process.env.THAW_TEST === "all";
  const drawn = Object.entries(known).filter(
    ([name, { start }]) => start && (all || !name.startsWith("vgg")),
  );
  it.each(drawn)("%s", async (name, { start = {} }) => {
    const model = models.create(name);
    const own = [...model.namedParameters()];
    expect(own.map(([n]) => n)).toEqual(Object.keys(start));
    for (const [parameter, p] of own) {
      const [count, mean, std, most] = start[parameter];
      const got = statistics(await p.data());
      expect(p.numel, parameter).toBe(count);
      if (std === 0) {
        expect(got, parameter).toEqual([mean, 0, most]);
        continue;
      }
      // Both are samples: six of the standard deviations of their difference.
      expect(Math.abs(got[0] - mean), `mean of ${parameter}`).toBeLessThan(6 * std * Math.sqrt(2 / count));
      expect(Math.abs(got[1] / std - 1), `spread of ${parameter}`).toBeLessThan(6 / Math.sqrt(count));
      // Uniform numbers end at √3 standard deviations, a thousand normal ones do not.
      if (count < 1000) continue;
      const uniform = (largest: number, spread: number) => largest / spread < 2;
      expect(uniform(got[2], got[1]), `kind of ${parameter}`).toBe(uniform(most, std));
    }
  });
});

/** Names of what trains under a policy. */
function open(model: models.Classifier, policy: train.FreezePolicy): string[] {
  return [...train.applyPolicy(model, policy).trainable];
}

const FAMILIES = [
  // Name, blocks, what the last block is called, the last layer.
  ["resnet18", 8, "layer4", "fc", ""],
  ["vgg11", 5, "features.16 features.18", "classifier.6", "classifier.0 classifier.3"],
  [
    "vgg11_bn",
    5,
    "features.22 features.23 features.25 features.26",
    "classifier.6",
    "classifier.0 classifier.3",
  ],
  ["squeezenet1_0", 9, "features.12", "classifier.1", ""],
  ["squeezenet1_1", 9, "features.12", "classifier.1", ""],
  ["mobilenet_v2", 19, "features.18", "classifier.1", ""],
  ["efficientnet_b0", 9, "features.8", "classifier.1", ""],
] as const;

const under = (names: readonly string[], prefixes: string) =>
  names.filter((n) => prefixes.split(" ").some((p) => p !== "" && n.startsWith(`${p}.`)));

describe.each(FAMILIES)("%s", (name, blocks, lastBlock, last, dense) => {
  const all = () => [...blank(name).namedParameters()].map(([n]) => n);

  it("freeze all leaves the last layer, trunk the whole classifier, and blocks count from the end", () => {
    const model = blank(name);
    expect([...model.trunk.namedChildren()].length).toBe(blocks);
    const inLast = under(all(), last);
    expect(inLast.length).toBe(2);
    const head = under(all(), `${last} ${dense}`);
    expect(open(model, { freeze: ["all"] })).toEqual(inLast);
    expect(open(model, { freeze: ["trunk"] }).sort()).toEqual(head.sort());
    expect(open(model, { freeze: ["features"] }).sort()).toEqual(head.sort());
    const one = under(all(), lastBlock);
    expect(one.length).toBeGreaterThan(1);
    expect(open(model, { freeze: ["trunk"], unfrozenBlocks: 1 }).sort()).toEqual([...one, ...head].sort());
    expect(open(model, { freeze: ["trunk"], unfrozenBlocks: blocks }).sort()).toEqual(all().sort());
    expect(() => open(model, { freeze: ["trunk"], unfrozenBlocks: blocks + 1 })).toThrow(
      `has ${blocks} blocks`,
    );
  });

  it("the trunk's blocks are the network's own layers, once each and in order", () => {
    const model = blank(name);
    const below = model.trunk.parameters();
    const names = [...model.namedParameters()].filter(([, p]) => below.includes(p)).map(([n]) => n);
    expect(names).toEqual(all().filter((n) => !n.startsWith(`${model.headName}.`)));
    expect(below.length).toBe(names.length);
  });

  it("a linear head replaces the last layer only, mlp the whole classifier; freeze all leaves what is fresh", () => {
    const model = blank(name);
    const before = new Map(model.namedParameters());
    train.replaceHead(model, "linear", 7);
    const same = [...model.namedParameters()].filter(([n, p]) => before.get(n) === p).map(([n]) => n);
    expect(same).toEqual(all().filter((n) => !n.startsWith(`${last}.`)));
    expect(model.stateDict().get(`${last}.weight`)?.shape[0]).toBe(7);
    expect(open(model, { freeze: ["all"] })).toEqual(under(all(), last));
    expect(outputs(model)).toEqual([1, 7]);
    nn.init.skipInit(() => train.replaceHead(model, "mlp:16,dropout:0.5", 3));
    expect(outputs(model)).toEqual([1, 3]);
    const fresh = [...model.head.namedParameters()].map(([n]) => `${model.headName}.${n}`);
    expect(fresh.length).toBe(4);
    expect(open(model, { freeze: ["all"] })).toEqual(fresh);
    expect(open(model, { freeze: ["trunk"] })).toEqual(fresh);
  });
});

/** Batch and channels of what the last layer gives. */
const outputs = (model: models.Classifier) => train.summary(model, 64).layers.at(-1)?.outputShape.slice(0, 2);

describe("weights of another number of classes", () => {
  it("keep the dense layers below the last one of VGG's classifier", () => {
    const from = nn.init.skipInit(() => models.vgg11({ numClasses: 4 }));
    const { bias } = from.classifier.children[0] as nn.Linear;
    nn.init.constant(bias as nn.Parameter, 0.25);
    const dict = new Map([...from.stateDict()]);
    const model = models.vgg11({ numClasses: 9, weights: dict });
    const weight = model.stateDict().get("classifier.6.weight");
    expect(weight?.shape).toEqual([9, 4096]);
    expect(models.freshName(model)).toBe("classifier.6");
    expect(() => models.vgg11({ weights: dict })).toThrow(/wrong shape classifier\.6\.weight/);
  });
});

it("options of one architecture are refused by another, and numbers out of range by all", () => {
  expect(() => models.create("resnet18", { widthMult: 2 })).toThrow("resnet18: there is no option widthMult");
  expect(() => models.mobilenet_v2({ widthMult: 0 })).toThrow("widthMult must be a number above 0, got 0");
  for (const name of ["vgg16", "squeezenet1_1", "mobilenet_v2", "efficientnet_b0"])
    expect(() => models.create(name, { dropout: 2 })).toThrow(
      `${name}: dropout must be a number from 0 to 1`,
    );
  expect(() => models.efficientnet_b1({ stochasticDepthProb: -1 })).toThrow("stochasticDepthProb must be");
  const wrong = { zeroInitResidual: "yes" } as unknown as models.ResNetOptions;
  expect(() => models.resnet18(wrong)).toThrow("zeroInitResidual must be");
});

it("zeroInitResidual begins with residual branches of 0", async () => {
  const model = models.resnet18({ zeroInitResidual: true, numClasses: 2 });
  const weights = [...model.namedParameters()].filter(([n]) => /layer\d\.\d\.bn\d\.weight$/.test(n));
  for (const [name, p] of weights)
    expect((await p.data())[0], name).toBe(name.endsWith("bn2.weight") ? 0 : 1);
});
