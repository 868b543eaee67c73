// The browser's bundle: one file that imports nothing, and that trains as it stands (so the ops registered themselves).
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Bundle, bundle } from "../../scripts/bundle.ts";
import * as source from "../../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-bundle-"));
let made: Bundle;
beforeAll(async () => {
  made = await bundle(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("imports nothing, statically or by a literal name, and names no Node module", () => {
  const code = readFileSync(made.file, "utf8");
  expect(code.match(/(?:^|[;}\s])(?:import|export)\b[^;()]*\bfrom\s*["'`][^"'`]*["'`]/)).toBeNull();
  expect(code.match(/\bimport\s*["'`]/)).toBeNull();
  // Other bundlers read through comments: `import(/* … */ "x")` imports x.
  expect(code.match(/\bimport\s*\((?:\s|\/\*.*?\*\/)*["'`]/)).toBeNull();
  expect(code.match(/["'`]node:\w/)).toBeNull();
});

it("carries the shaders and stays small", () => {
  expect(made.shaders).toBeGreaterThan(30);
  expect(readFileSync(made.file, "utf8")).toContain("@compute @workgroup_size");
  // Five families of networks, readers of eight kinds of file, exports; a change that adds much is to be seen.
  expect(made.gzipped).toBeLessThan(230_000);
});

/** Three losses of a small net on the float64 interpreter. */
async function train(thaw: typeof source): Promise<number[]> {
  const { nn, optim, tensor } = thaw;
  await thaw.init({ device: "cpu", seed: 3 });
  const net = new nn.Sequential(new nn.Conv2d(1, 2, 3), new nn.Flatten(), new nn.Linear(8, 2));
  const opt = new optim.SGD(net.parameters(), { lr: 0.1 });
  const x = tensor(
    Float32Array.from({ length: 32 }, (_, i) => Math.sin(i)),
    [2, 1, 4, 4],
  );
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) {
    const loss = nn.functional.crossEntropy(net.forward(x) as typeof x, tensor(Int32Array.of(0, 1)));
    opt.zeroGrad();
    loss.backward();
    await opt.step();
    losses.push(await loss.item());
  }
  await thaw.close();
  return losses;
}

it("trains as the sources do, and its messages name the classes", async () => {
  const url = pathToFileURL(made.file).href;
  const bundled = (await import(/* @vite-ignore */ url)) as typeof source;
  const losses = await train(bundled);
  expect(losses).toEqual(await train(source));
  expect(losses[2]).toBeLessThan(losses[0]);
  expect(() => new bundled.optim.Adam([], { lr: 1 })).toThrow("Adam: got no parameters");
});
