// State dicts with the names of timm and Hugging Face fit torchvision's architectures, every name and shape; those that
// only look like them are refused.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { numel } from "../../src/core/shape.ts";
import { guessArchitecture } from "../../src/models/guess.ts";
import { create } from "../../src/models/index.ts";
import { init } from "../../src/nn/index.ts";

const text = readFileSync(new URL("../fixtures/foreign_names/names.json", import.meta.url), "utf8");
const files = JSON.parse(text) as Record<string, Record<string, number[]>>;

const dictOf = (names: Record<string, number[]>) =>
  new Map(
    Object.entries(names).map(([name, shape]) => [
      name,
      { shape, dtype: "f32", data: { length: numel(shape) } },
    ]),
  );

const build = (name: string) => init.skipInit(() => create(name));

describe("names of timm and Hugging Face", () => {
  it.each(Object.entries(files))("fit %s", (name, names) => {
    const net = build(name);
    // Strict: a name too many, a name missing, or a shape that differs throws.
    const { loaded } = net.loadStateDict(dictOf(names), { dryRun: true });
    expect(loaded.length).toBe(Object.keys(names).length);
    expect(guessArchitecture(dictOf(names))).toMatchObject({ model: name, unexpected: 0 });
  });

  it("are those of the same layers", () => {
    const one = (arch: string, name: string) =>
      build(arch).renameKey(name, new Set(Object.keys(files[arch])));
    expect(one("mobilenet_v2", "blocks.2.1.conv_pwl.weight")).toBe("features.5.conv.2.weight");
    expect(one("mobilenet_v2", "blocks.0.0.bn2.running_mean")).toBe("features.1.conv.2.running_mean");
    expect(one("mobilenet_v2", "blocks.6.0.bn3.bias")).toBe("features.17.conv.3.bias");
    expect(one("efficientnet_b0", "blocks.0.0.se.conv_expand.bias")).toBe("features.1.0.block.1.fc2.bias");
    expect(one("efficientnet_b1", "blocks.5.4.se.conv_reduce.weight")).toBe(
      "features.6.4.block.2.fc1.weight",
    );
    expect(one("efficientnet_b0", "bn2.weight")).toBe("features.8.1.weight");
    const layer = "resnet.encoder.stages.2.layers.0";
    expect(one("resnet50", `${layer}.layer.1.normalization.bias`)).toBe("layer3.0.bn2.bias");
    expect(one("resnet50", `${layer}.shortcut.convolution.weight`)).toBe("layer3.0.downsample.0.weight");
    expect(one("resnet18", "classifier.1.bias")).toBe("fc.bias");
  });

  it("take a backbone without head, and a head of other classes", () => {
    const backbone = Object.entries(files["resnet18"])
      .filter(([name]) => name.startsWith("resnet."))
      .map(([name, shape]) => [name.slice("resnet.".length), shape]);
    const dict = dictOf(Object.fromEntries(backbone));
    const { missing, unexpected } = build("resnet18").loadStateDict(dict, { strict: false, dryRun: true });
    expect([missing, unexpected]).toEqual([["fc.weight", "fc.bias"], []]);
  });

  it("leave torchvision's own names alone: a head that is one layer has the name of timm's", () => {
    const net = build("mobilenet_v2");
    expect(net.renameKey("classifier.weight", new Set(["features.0.0.weight", "classifier.weight"]))).toBe(
      "classifier.weight",
    );
  });

  it("do not fit networks that pad as TensorFlow does", () => {
    const google = dictOf({ "mobilenet_v2.conv_stem.first_conv.convolution.weight": [32, 3, 3, 3] });
    expect(() => build("mobilenet_v2").loadStateDict(google, { dryRun: true })).toThrow(
      /unexpected mobilenet_v2\.conv_stem\.first_conv/,
    );
  });
});
