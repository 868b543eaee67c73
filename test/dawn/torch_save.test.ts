// torchvision's models written by torch.save, in its zip form and the one before, load strictly and give torchvision's
// logits. Needs /usr/bin/python3 with torchvision; not run without. By default EfficientNet-B0; with THAW_TEST=all
// every one.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, nn, noGrad, tensor, weights } from "../../src/index.ts";
import { offBy } from "../lib/real_data.ts";
import { testOptions } from "../lib/test_options.ts";

const PYTHON = "/usr/bin/python3";
const here = spawnSync(PYTHON, ["-c", "import torchvision"]).status === 0;
const names =
  process.env.THAW_TEST === "all"
    ? models.list().filter((name) => name !== "densenet_mini")
    : ["efficientnet_b0"];

describe.skipIf(!here)("torch.save", () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-torch-save-"));
  beforeAll(() => init(testOptions()));
  afterAll(async () => {
    await close();
    rmSync(folder, { recursive: true });
  });

  it.each(names)("%s", { timeout: 600_000 }, async (name) => {
    const script = fileURLToPath(new URL("../fixtures/torchvision/save.py", import.meta.url));
    const text = execFileSync(PYTHON, [script, folder, name], { encoding: "utf8", maxBuffer: 1 << 26 });
    const want = (JSON.parse(text) as Record<string, number[]>)[name];
    const x = tensor(
      Float32Array.from({ length: 2 * 3 * 64 * 64 }, (_, i) => ((i * 7919) % 257) / 128 - 1),
      [2, 3, 64, 64],
    );
    for (const form of ["zip", "legacy"]) {
      const path = join(folder, `${name}.${form}.pth`);
      const model = models.create(name, { weights: await weights.read(path) }).eval();
      const counters = [...model.namedState()].flatMap(([, t]) => (t instanceof nn.Counter ? [t.value] : []));
      expect(new Set(counters)).toEqual(new Set(counters.length > 0 ? [1] : []));
      const logits = await noGrad(() => model.forward(x)).data();
      expect(offBy(logits, want), form).toBeLessThan(1e-4);
      rmSync(path);
    }
  });
});
