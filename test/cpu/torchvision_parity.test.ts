// Parity with torchvision in float64 on both sides, where no decision hangs on rounding: on ordinary weights logits, loss,
// all gradients and running statistics within 1e-6 (results are read as f32; the fixture's tables are f32). By default
// MobileNetV2 and EfficientNet-B0, whose float32 gradients are the least certain; all others with THAW_TEST=all.
import { afterAll, beforeAll, describe, it } from "vitest";
import { close, init } from "../../src/index.ts";
import { compare, parity } from "../lib/torchvision_fixture.ts";

const USUAL = ["efficientnet_b0", "mobilenet_v2"];
const { present, missing, cases } = parity(USUAL, () => false);

beforeAll(() => init({ device: "cpu" }));
afterAll(close);

describe.each(present)("%s", (name) => {
  it.each(cases(name))("%s", (_, c) => compare(name, c, 1e-6, 0));
});

for (const file of missing) it.skip(`${file} has not been made (test/fixtures/torchvision/make.py)`);
