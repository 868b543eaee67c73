// Loading state dicts: names as files of all ages have them, and the report of what does not fit.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn, tensor } from "../../src/index.ts";
import { exportState, type StateEntry } from "../../src/nn/index.ts";

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(close);

type Dict = Map<string, StateEntry>;

const renamed = (dict: Dict, f: (name: string) => string): Dict =>
  new Map([...dict].map(([name, entry]) => [f(name), entry]));

const values = async (m: nn.Module) => [...(await exportState(m))].map(([k, v]) => [k, v.shape, [...v.data]]);

describe("names", () => {
  // torchvision's own densenet files of 2017 are of this kind.
  const legacy = (name: string) => name.replace(/(denselayer\d+\.(?:norm|relu|conv))([12])\./, "$1.$2.");

  it.each<[string, (name: string) => string]>([
    ["torchvision's old ones, norm.1 for norm1", legacy],
    ["those of a model inside DataParallel", (name) => `module.${name}`],
    ["those of a training checkpoint", (name) => `state_dict/${name}`],
    ["all of these at once", (name) => `model_state_dict/module.${legacy(name)}`],
  ])("%s", async (_what, f) => {
    const [from, to] = [models.densenet_mini({ numClasses: 3 }), models.densenet_mini({ numClasses: 3 })];
    const dict = renamed(await exportState(from), f);
    if (f("denselayer1.norm1.bias") !== f("denselayer1.norm1.bias").replace("norm.1", "norm1"))
      expect([...dict.keys()].some((k) => k.endsWith("denseblock2.denselayer1.norm.1.running_var"))).toBe(
        true,
      );
    const report = to.loadStateDict(dict);
    expect(report.loaded.length).toBe(dict.size);
    expect(await values(to)).toEqual(await values(from));
  });

  it("those of an AveragedModel, whose count of averages is left out", async () => {
    const [from, to] = [models.densenet_mini({ numClasses: 3 }), models.densenet_mini({ numClasses: 3 })];
    const dict = renamed(await exportState(from), (name) => `module.${name}`);
    dict.set("n_averaged", { shape: [], dtype: "i64", data: BigInt64Array.of(5n) });
    to.loadStateDict(dict);
    expect(await values(to)).toEqual(await values(from));
  });

  it("two that mean one tensor are refused by both", async () => {
    const model = models.densenet_mini({ numClasses: 3 });
    const dict: Dict = new Map(await exportState(model));
    const name = "features.denseblock1.denselayer1.norm1.weight";
    dict.set(legacy(name), dict.get(name) as StateEntry);
    expect(() => model.loadStateDict(dict)).toThrow(
      /two tensors for .*norm1\.weight: .*norm1\.weight and .*norm\.1\.weight/,
    );
    expect(() => model.loadStateDict(dict, { except: "classifier" as never })).toThrow(
      /except must be a list of names/,
    );
  });

  it("a transition's norm and conv are not the dense layers'", () => {
    const model = models.densenet_mini();
    const name = "features.transition1.norm.weight";
    expect(model.renameKey(name)).toBe(name);
    expect(model.renameKey("features.denseblock1.denselayer10.conv.2.weight")).toBe(
      "features.denseblock1.denselayer10.conv2.weight",
    );
  });
});

describe("what does not fit", () => {
  const model = () => new nn.Sequential(new nn.Linear(2, 3), new nn.BatchNorm2d(3));
  const entry = (...shape: number[]): StateEntry => ({
    shape,
    dtype: "f32",
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });

  it("is named: missing, unexpected, of another shape; and nothing is loaded", async () => {
    const m = model();
    const before = await values(m);
    const dict = await exportState(m);
    dict.delete("1.running_mean");
    const given: Dict = new Map([...dict, ["0.weight", entry(4, 2)], ["2.weight", entry(1)]]);
    expect(() => m.loadStateDict(given, { source: "a.pth" })).toThrow(
      "a.pth does not fit the model: missing 1.running_mean; unexpected 2.weight; wrong shape 0.weight (has [4,2], the model wants [3,2])",
    );
    expect(await values(m)).toEqual(before);
  });

  it("is reported and left out where that is allowed", async () => {
    const m = model();
    const given: Dict = new Map([
      ["0.weight", { ...entry(3, 2), data: new Float32Array(6).fill(7) }],
      ["extra", entry(1)],
    ]);
    const report = m.loadStateDict(given, { strict: false, except: ["1"] });
    expect(report).toEqual({
      loaded: ["0.weight"],
      missing: ["0.bias"],
      unexpected: ["extra"],
      misshaped: [],
      excepted: ["1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"],
    });
    expect((await values(m))[0][2]).toEqual([7, 7, 7, 7, 7, 7]);
  });

  it("of another shape is refused without strict too, as in PyTorch, and only reported by a dry run", async () => {
    const m = model();
    const before = await values(m);
    const given: Dict = new Map([
      ["0.weight", { ...entry(3, 2), data: new Float32Array(6).fill(7) }],
      ["0.bias", entry(5)],
    ]);
    expect(() => m.loadStateDict(given, { strict: false })).toThrow(
      "state dict does not fit the model: wrong shape 0.bias (has [5], the model wants [3])",
    );
    expect(await values(m)).toEqual(before);
    const { misshaped } = m.loadStateDict(given, { strict: false, dryRun: true });
    expect(misshaped).toEqual([{ name: "0.bias", expected: [3], found: [5] }]);
  });

  it("a file without batch norm's counter is from before PyTorch 0.4.1 and fits", async () => {
    const m = model();
    const dict = await exportState(m);
    dict.delete("1.num_batches_tracked");
    expect(m.loadStateDict(dict).missing).toEqual([]);
  });
});

describe("what is given", () => {
  const linear = () => new nn.Linear(2, 1);

  it("may be a plain object, and another model's stateDict(), counters and all", async () => {
    const [from, to] = [new nn.BatchNorm2d(1), new nn.BatchNorm2d(1)];
    for (let i = 0; i < 3; i++) from.forward(tensor(Float32Array.of(1, 4, i, 2), [4, 1, 1, 1]));
    to.loadStateDict(from.stateDict());
    expect(to.numBatchesTracked?.value).toBe(3);
    expect(await values(to)).toEqual(await values(from));
    const l = linear();
    l.loadStateDict({ weight: tensor([[5, 6]]), bias: { shape: [1], dtype: "f64", data: [7] } });
    expect((await values(l)).map((v) => v[2])).toEqual([[5, 6], [7]]);
  });

  it("becomes f32, whatever a tensor of host data holds", async () => {
    const l = linear();
    l.loadStateDict({ weight: tensor(Int32Array.of(-3, 4), [1, 2]), bias: tensor(Uint8Array.of(200)) });
    expect((await values(l)).map((v) => v[2])).toEqual([[-3, 4], [200]]);
  });

  it("is refused by name where it is another type on the device, and nothing is loaded", async () => {
    const l = linear();
    const before = await values(l);
    const bias = tensor([[1, 3]]).argmax(1);
    expect(() => l.loadStateDict({ weight: tensor([[5, 6]]), bias })).toThrow(
      "loadStateDict: bias is i32[1] on the device; only f32 tensors are copied there, read it first",
    );
    expect(await values(l)).toEqual(before);
  });

  it("is refused where it is no state dict", () => {
    expect(() => linear().loadStateDict(linear() as never)).toThrow(
      "loadStateDict: takes a Map or an object of name → tensor, got Linear",
    );
    expect(() => linear().loadStateDict({ weight: 3 as never })).toThrow(
      "loadStateDict: weight must be a Tensor or { shape, dtype, data }, got number",
    );
  });
});
