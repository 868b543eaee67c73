// The machine beside its ceilings (src/gpu/ceilings.ts): how fast a fixed kernel runs just now, how busy it is, and which
// commit runs.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Gpu } from "../src/gpu/device.ts";
import type { Tools } from "../src/gpu/lone_dispatch.ts";
import type { Operand } from "../src/graph/op.ts";
import { type Call, type Kernel, opNamed } from "../src/graph/op.ts";
import { benchTools } from "../src/runtime/kernel_bench.ts";
import { type Prepared, prepareVerified } from "./kernels.ts";

const FOLDER = new URL("./shaders/", import.meta.url);

/** What kernels are run with: the engine's shaders and the benchmark's own. */
export function openBench(gpu: Gpu): Promise<Tools> {
  const names = readdirSync(FOLDER).filter((f) => f.endsWith(".wgsl"));
  const text = (f: string) => readFileSync(new URL(f, FOLDER), "utf8");
  return benchTools(
    gpu,
    names.map((f) => [f.slice(0, -5), text(f)] as const),
  );
}

const operand = (...shape: number[]): Operand => ({
  shape,
  dtype: "f32",
  offset: 0,
  batchStride: shape.slice(1).reduce((a, b) => a * b, 1),
});

/** The commit that runs, with a plus sign when files have been changed since. */
export function commitName(folder: URL): string {
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
    return `${git("rev-parse", "--short=12", "HEAD")}${changed ? "+" : ""}`;
  } catch {
    return "unknown";
  }
}

/** What to say where other programs were using the cores when the run began; null on a quiet machine. */
export function busyNote(load: number, cores: number): string | null {
  if (load < cores / 2) return null;
  return `this machine is busy (load ${load} on ${cores} cores): every time is longer than it need be, and the share of a ceiling or a ratio to an engine that runs elsewhere than Thaw (on the CPU) is not to be relied on`;
}

/** The yardstick's call: input gradient of the 1×1 convolution 512→128 at 8×8, batch 8. */
function calibrationCall(devices: Tools): Call {
  const [n, k, c, hw] = [8, 128, 512, 8];
  return {
    inputs: [operand(n, k, hw, hw), operand(k, c, 1, 1)],
    outputs: [operand(n, c, hw, hw)],
    attrs: { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1, size: [hw, hw] },
    device: devices.gpu.traits,
    params: {},
  };
}

/** Output channels of an invocation of each form of the yardstick. */
const CALIBRATIONS = { subgroup32: 32, plain8: 8 } as const;
export type CalibrationName = keyof typeof CALIBRATIONS;

/** The form that a device can run: figures in units of one are not those in units of the other. */
export const calibrationName = (devices: Tools): CalibrationName =>
  devices.gpu.traits.subgroups ? "subgroup32" : "plain8";

const calibrationKernel = (name: CalibrationName): Kernel => ({
  name: "calibration",
  dispatches: () => [
    {
      shader: name === "plain8" ? "calibration_plain" : "calibration",
      bind: { g: { in: 0 }, w: { in: 1 }, y: { out: 0 } },
      uniforms: { k: 128, c: 512, hw4: 16 },
      grid: [2, 512 / CALIBRATIONS[name], 8],
    },
  ],
});

/** A fixed amount of fixed work, to be run between steps: what tells a slow machine from a slow engine. */
export class Calibration {
  readonly samples: number[] = [];
  readonly name: CalibrationName;
  readonly #prepared: Prepared;

  constructor(name: CalibrationName, prepared: Prepared) {
    this.name = name;
    this.#prepared = prepared;
  }

  static async open(devices: Tools): Promise<Calibration> {
    const op = opNamed("conv2dInput");
    const call = calibrationCall(devices);
    const name = calibrationName(devices);
    const kernel = calibrationKernel(name);
    const { prepared } = await prepareVerified(devices, op, kernel, call, "the calibration kernel");
    return new Calibration(name, prepared);
  }

  async sample(): Promise<void> {
    const repeats = 8;
    const began = performance.now();
    await this.#prepared.run(repeats);
    this.samples.push((performance.now() - began) / repeats);
  }

  close(): void {
    this.#prepared.close();
  }
}
