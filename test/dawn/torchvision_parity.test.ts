// Parity with torchvision of every architecture on the device: logits, loss, all gradients and running statistics within
// max(3e-4, 10 × PyTorch float32's own distance) of PyTorch's float64. Where decisions hang on rounding (MobileNetV2 in
// train mode) that distance is 3e-3; test/cpu/torchvision_parity.test.ts has the same without rounding. By default one of
// each family at 64×64 in train mode; all others, eval mode and the odd picture size with THAW_TEST=all.
import { afterAll, beforeAll, describe, it } from "vitest";
import { close, init } from "../../src/index.ts";
import { testOptions } from "../lib/test_options.ts";
import { ARCHITECTURES, CASES, compare, labelOf } from "../lib/torchvision_fixture.ts";

const all = process.env.THAW_TEST === "all";
const USUAL = ["efficientnet_b0", "mobilenet_v2", "resnet18", "squeezenet1_1", "vgg11_bn"];

beforeAll(() => init(testOptions()));
afterAll(close);

describe.each(ARCHITECTURES.filter((name) => all || USUAL.includes(name)))("%s", (name) => {
  const own = CASES.filter((c) => all || (c.train && c.shape[0] === 2));
  it.each(own.map((c) => [labelOf(c), c] as const))("%s", (_, c) => compare(name, c, 3e-4, 10));
});
