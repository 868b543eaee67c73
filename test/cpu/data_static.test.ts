// What a browser bundle of src/data loads at once must name neither Node nor sharp: those come by `await import`.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

/** Modules that a file imports statically, type-only imports left out (they are erased). */
function staticImports(file: string): string[] {
  const text = readFileSync(file, "utf8");
  const found = text.matchAll(/^(?:import|export)\s(?!type\s)[^;]*?\sfrom\s+"([^"]+)"|^import\s+"([^"]+)"/gm);
  return [...found].map((m) => m[1] ?? m[2]);
}

it("src/data/index.ts loads no Node module before it is used", () => {
  const index = resolve(dirname(fileURLToPath(import.meta.url)), "../../src/data/index.ts");
  const seen = new Set([index]);
  for (const file of seen) {
    for (const name of staticImports(file)) {
      expect(name, `${file} imports ${name}`).toMatch(/^\.\.?\/.*(?<!\.node)\.ts$/);
      seen.add(resolve(dirname(file), name));
    }
  }
  expect(seen.size).toBeGreaterThan(12);
});
