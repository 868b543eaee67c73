// The first full step of a process that finds nothing compiled: what a user waits for once.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { coldGoal, type Goal } from "./goals.ts";
import type { Case } from "./options.ts";
import { Peer } from "./peer.ts";
import { type Report, round } from "./report.ts";

/** Times it in a process whose caches (Mesa's of shaders, and Thaw's own) are an empty folder. */
export async function coldFirstStep(c: Case, file: string, report: Report): Promise<Goal> {
  report.phase("timing a first full step with nothing compiled");
  const cache = await mkdtemp(join(tmpdir(), "thaw-cold-"));
  const thaw = new Peer({
    name: "thaw, cold",
    command: process.execPath,
    args: [fileURLToPath(new URL("./thaw_child.ts", import.meta.url))],
    env: { XDG_CACHE_HOME: cache, MESA_SHADER_CACHE_DIR: cache },
  });
  try {
    await thaw.load({ what: c.what, weights: file });
    const { ms, cpuMs = 0, pipelines } = await thaw.step(true);
    const shape = [c.batch, 3, c.size, c.size];
    report.line({
      kind: "cold",
      engine: "thaw",
      what: c.what,
      shape,
      ms: round(ms),
      cpuMs: round(cpuMs),
      pipelines,
    });
    report.text(`  ${round(ms)} ms (${round(cpuMs)} ms of processor time) for ${pipelines} pipelines`);
    return coldGoal(ms);
  } finally {
    await thaw.close();
    await rm(cache, { recursive: true, force: true });
  }
}
