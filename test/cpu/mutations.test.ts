// The list behind `npm run mutate` fits the sources of today: every pattern occurs once, and its tests exist.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { MUTATIONS, misfit } from "../../scripts/mutations.ts";

const at = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

it("there are at least ten, each with a name of its own", () => {
  expect(MUTATIONS.length).toBeGreaterThanOrEqual(10);
  expect(new Set(MUTATIONS.map((m) => m.name)).size).toBe(MUTATIONS.length);
});

it.each(MUTATIONS.map((m) => [m.name, m] as const))("%s can be applied, and its tests exist", (_name, m) => {
  expect(misfit(m, readFileSync(at(m.file), "utf8"))).toBeNull();
  expect(m.tests.filter((t) => !existsSync(at(t)))).toEqual([]);
});

it("a pattern that is gone, or is there twice, is an error that says so", () => {
  const m = { ...MUTATIONS[0], name: "x", file: "f.ts", from: "a + b", to: "a - b" };
  expect(misfit(m, "return a + b;")).toBeNull();
  expect(misfit(m, "return b + a;")).toMatch(/^x: its pattern must occur once in f\.ts, found 0 times/);
  expect(misfit(m, "a + b; a + b")).toMatch(/found 2 times/);
  expect(misfit({ ...m, to: m.from }, "a + b")).toMatch(/changes nothing/);
});
