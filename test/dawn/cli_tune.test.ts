// thaw tune as a process: it measures each call of the model once, keeps that for later commands, lists and forgets it.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { scratch, thaw } from "../lib/cli.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
beforeAll(async () => {
  folder = await scratch();
});
afterAll(() => folder.remove());

const tune = (...args: string[]) =>
  thaw(["tune", ...args], { env: { THAW_CACHE: join(folder.path, "cache"), THAW_TUNE: "" } });
const SMALL = ["densenet_mini", "--image-size", "32", "--batch", "2", "--train", "none"];

test("measures a model, keeps it, finds it again, lists it, forgets it", { timeout: 300_000 }, async () => {
  const first = await tune(...SMALL, "--json");
  expect(first.code, first.err).toBe(0);
  const lines = first.lines();
  const calls = lines.filter((l) => l["event"] === "call");
  expect(calls.length).toBeGreaterThan(20);
  for (const c of calls) {
    expect(c).toMatchObject({ step: "forward", wrong: 0 });
    expect(c["measured"]).toBeGreaterThan(1);
    const [own, best] = [c["own"], c["best"]] as { ms: number }[];
    expect(own.ms).toBeGreaterThan(0);
    expect(best.ms).toBeLessThanOrEqual(own.ms);
  }
  const [step, done] = lines.slice(-2) as [Record<string, number>, Record<string, string>];
  expect(step).toMatchObject({ event: "step", step: "forward" });
  expect(step["rounds"]).toBeGreaterThanOrEqual(9);
  for (const key of ["heuristicMs", "tunedMs", "ratio"]) expect(step[key], key).toBeGreaterThan(0);
  expect(done).toMatchObject({ event: "done", model: "densenet_mini", calls: calls.length });
  expect(first.err).toMatch(/^forward 0\/\d+ {2}conv2d/m);
  const stored = JSON.parse(await readFile(done["where"], "utf8")) as { calls: Record<string, object> };
  expect(Object.keys(stored.calls).sort()).toEqual([...new Set(calls.map((c) => c["key"]))].sort());

  const again = await tune(...SMALL);
  expect(again.code, again.err).toBe(0);
  expect(again.err).not.toMatch(/forward \d/);
  expect(again.out).toMatch(/call.* of the forward keeps? the heuristic's choice/);
  expect(again.out).toMatch(/^forward: [\d.]+ ms by the heuristics, [\d.]+ ms tuned/m);
  expect(JSON.parse(await readFile(done["where"], "utf8"))).toEqual(stored);

  const listed = await tune("--list");
  expect(listed.out.split("\n").filter((l) => l.startsWith("conv2d("))).not.toEqual([]);
  expect(listed.out).toContain(`${calls.length} calls measured on`);

  const cleared = await tune("--clear", "--json");
  expect(cleared.lines()).toEqual([{ event: "cleared", adapter: expect.any(String) }]);
  expect(await readdir(join(folder.path, "cache/tuning"))).toEqual([]);
});

test("stopped by Ctrl-C it keeps what it has measured", { timeout: 300_000 }, async () => {
  let sent = false;
  const watch = (text: string) => {
    if (sent || !/forward 0\//.test(text)) return null;
    sent = true;
    return "SIGINT" as const;
  };
  const r = await thaw(["tune", ...SMALL], {
    env: { THAW_CACHE: join(folder.path, "stopped") },
    watch,
  });
  expect(r.code).toBe(1);
  expect(r.err).toMatch(/^thaw: interrupted$/m);
  const [file] = await readdir(join(folder.path, "stopped/tuning"));
  const { calls } = JSON.parse(await readFile(join(folder.path, "stopped/tuning", file), "utf8")) as {
    calls: object;
  };
  expect(Object.keys(calls).length).toBeGreaterThan(0);
});
