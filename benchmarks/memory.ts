// What a large step needs beside weights and optimizer state: Thaw's plan, made and not run, beside what PyTorch keeps.

import { models, planBytes } from "../src/index.ts";
import { type Goal, memoryGoal } from "./goals.ts";
import type { Peer } from "./peer.ts";
import { type Report, round } from "./report.ts";
import { planAlone, trainingStep } from "./thaw.ts";

const BATCH = 32;
const SIZE = 224;
/** PyTorch's tensors grow with the batch and nothing else, so a few pictures tell; more would take gigabytes. */
const FEW = 4;

/** Says both, and what that means for the goal. */
export async function compareMemory(torch: Peer | undefined, report: Report): Promise<Goal> {
  report.phase(`planning a full step at ${BATCH}×3×${SIZE}×${SIZE}`);
  const plan = await planAlone(() => trainingStep(models.densenet121().train(), BATCH, SIZE));
  const bytes = planBytes(plan);
  const answer = await torch?.ask("kept", { batch: torch.name.includes("cuda") ? BATCH : FEW, size: SIZE });
  await torch?.close();
  const kept = answer === undefined ? null : BATCH * (answer.bytesPerPicture as number);
  const shape = [BATCH, 3, SIZE, SIZE];
  const line = { kind: "memory", what: "all", shape, planBytes: bytes };
  report.line({ ...line, torchBytes: kept, torch: torch?.name ?? null });
  const mib = (n: number) => `${round(n / 2 ** 20)} MiB`;
  const beside = kept === null ? "" : `, PyTorch keeps ${mib(kept)}`;
  report.text(`  Thaw's plan holds ${mib(bytes)}${beside}`);
  return memoryGoal(bytes, kept);
}
