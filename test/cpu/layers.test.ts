// The floors of ARCHITECTURE.md: a file imports from its own folder or a lower floor, and only src/gpu names a
// WebGPU type.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const src = resolve(dirname(fileURLToPath(import.meta.url)), "../../src");

const FLOORS: Record<string, number> = {
  core: 0,
  graph: 1,
  gpu: 1,
  ops: 2,
  autograd: 3,
  schedule: 3,
  runtime: 4,
  tensor: 5,
  nn: 6,
  optim: 6,
  weights: 7,
  data: 7,
  models: 8,
  train: 9,
  export: 9,
  cli: 10,
  "index.ts": 10,
};

function files(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) =>
    e.isDirectory() ? files(join(dir, e.name)) : e.name.endsWith(".ts") ? [join(dir, e.name)] : [],
  );
}

/** Imports of a source text: static, dynamic and re-exports with a relative path. */
function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g)].map((m) => m[1]);
}

const room = (file: string) => relative(src, file).split("/")[0];

describe("floors", () => {
  const all = files(src);

  it("finds the source tree", () => {
    expect(all.length).toBeGreaterThan(5);
  });

  it.each(all.map((f) => [relative(src, f), f]))("%s imports downward only", (_name, file) => {
    const own = room(file);
    expect(FLOORS, `src/${own} has no floor`).toHaveProperty([own]);
    for (const path of importsOf(readFileSync(file, "utf8"))) {
      const target = resolve(dirname(file), path);
      if (relative(src, target).startsWith("..")) {
        expect.soft(path, `${relative(src, file)} imports outside src`).toMatch(/package\.json|weights\//);
        continue;
      }
      const other = room(target);
      const fine = other === own || FLOORS[other] < FLOORS[own];
      expect(
        fine,
        `${relative(src, file)} imports ${path} (floor ${FLOORS[other]} from ${FLOORS[own]})`,
      ).toBe(true);
    }
  });

  it("only src/gpu names a WebGPU type", () => {
    for (const file of all.filter((f) => room(f) !== "gpu")) {
      const code = readFileSync(file, "utf8").replace(/\/\/.*$|\/\*[\s\S]*?\*\//gm, "");
      expect(code.match(/\bGPU[A-Z]\w*/), relative(src, file)).toBeNull();
    }
  });
});
