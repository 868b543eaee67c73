// The memory of one training step beside PyTorch's: what Thaw's plan says that it needs, which is what it allocates
// (test/dawn/plan_memory.test.ts), and what PyTorch keeps on the CPU, counted by memory.py. Thaw runs nothing.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { profiledStep } from "../../src/cli/profile_step.ts";
import { mib } from "../../src/core/bytes.ts";
import { close, init } from "../../src/index.ts";
import { planBytes, planMemory, showMemory } from "../../src/schedule/memory.ts";
import { rootBytes } from "../../src/schedule/plan.ts";
import { planOf } from "../../src/tensor/compile.ts";
import { findTorch } from "../peer_setup.ts";

const HELP = `node benchmarks/against_torch/memory.ts [--model M] [--batch N] [--size N] [--json]

Plans a training step with everything trainable and Adam, and counts the same step in PyTorch (a python3 with torch and
torchvision): the storages that autograd saves, and the most that is allocated at once. Weights are not counted on
either side, gradients of parameters are. PyTorch needs about the memory that it is found to need. Exits with 1 when Thaw
needs more than a third.

  --model M   of torchvision's (default densenet121)
  --batch N   default 32
  --size N    height and width of the input (default 224)
  --json      one JSON object
`;

const SHARE = 1 / 3;

interface Counted {
  readonly engine: string;
  readonly saved: number;
  readonly tensors: number;
  readonly peak: number;
  readonly gradients: number;
}

async function torch(model: string, batch: number, size: number): Promise<Counted> {
  const script = fileURLToPath(new URL("memory.py", import.meta.url));
  const args = [script, "--model", model, "--batch", String(batch), "--size", String(size)];
  const found = await findTorch();
  if (!found) throw new Error("no python here has torch and torchvision");
  const { stdout } = await promisify(execFile)(found.python, args);
  return JSON.parse(stdout) as Counted;
}

async function thaw(model: string, batch: number, size: number) {
  await init();
  const { fn, args } = profiledStep(model, { batch, "image-size": size }, true);
  const plan = await planOf(fn, ...args);
  await close();
  const gradients = plan.states.reduce((n, r) => n + (r.label.endsWith(".grad") ? rootBytes(r) : 0), 0);
  return { plan, bytes: planBytes(plan), gradients };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "densenet121" },
      batch: { type: "string", default: "32" },
      size: { type: "string", default: "224" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [batch, size] = [Number(values.batch), Number(values.size)];
  const { plan, bytes, gradients } = await thaw(values.model, batch, size);
  const theirs = await torch(values.model, batch, size);
  const ours = bytes + gradients;
  const [ofPeak, ofSaved] = [ours / theirs.peak, bytes / theirs.saved];
  if (values.json) {
    const line = { batch, size, plan: planMemory(plan), planBytes: bytes, gradients, torch: theirs };
    process.stdout.write(`${JSON.stringify({ ...line, ofPeak, ofSaved })}\n`);
  } else {
    process.stdout.write(
      [
        `${values.model}, ${batch}×3×${size}×${size}, everything trains`,
        `Thaw's plan: ${showMemory(plan)}`,
        `  and gradients of the parameters, ${mib(gradients)}: ${mib(ours)}`,
        `${theirs.engine}: ${mib(theirs.saved)} saved for backward in ${theirs.tensors} tensors`,
        `  ${mib(theirs.peak)} allocated at the peak, gradients of the parameters among it`,
        `Thaw needs ${ofPeak.toFixed(3)} of that peak; without gradients of parameters, ${ofSaved.toFixed(3)} of what is saved`,
        "",
      ].join("\n"),
    );
  }
  return Math.max(ofPeak, ofSaved) <= SHARE ? 0 : 1;
}

process.exitCode = await main();
