// The machine as measured in this process: how fast it multiplies and adds without loads, how fast it copies, and how
// fast a fixed kernel runs just now.

import { execFileSync } from "node:child_process";
import type { Operand } from "../src/graph/op.ts";
import { type AnyOp, type Call, type Dispatch, type Kernel, opNamed } from "../src/graph/op.ts";
import { prepareVerified } from "./kernels.ts";
import type { Prepared, Runner } from "./runner.ts";
import { sample } from "./timing.ts";

export interface Ceilings {
  readonly gflops: number;
  readonly gbps: number;
}

const operand = (...shape: number[]): Operand => ({
  shape,
  dtype: "f32",
  offset: 0,
  batchStride: shape.slice(1).reduce((a, b) => a * b, 1),
});

/** The smallest time of a dispatch that belongs to no op, in ms: a ceiling is what the device can do undisturbed. */
async function fastest(runner: Runner, d: Dispatch, inputs: Operand[], outputs: Operand[]): Promise<number> {
  const kernel: Kernel = { name: d.shader, dispatches: () => [d] };
  const op = { name: d.shader } as AnyOp;
  const call: Call = { inputs, outputs, attrs: {}, device: runner.gpu.traits, params: {} };
  const data = inputs.map((o) => new Float32Array(o.shape[0]));
  const prepared = await runner.prepare(op, kernel, call, data);
  try {
    const limits = { sampleMs: 20, budgetMs: 600, least: 5, most: 40 };
    return (await sample((n) => prepared.run(n), limits)).min;
  } finally {
    prepared.close();
  }
}

const CHAINS = 24;

async function multiplyAdd(runner: Runner, shader: string, WG: number): Promise<number> {
  const { software } = runner.gpu.traits;
  const [threads, rounds] = software ? [4096, 2048] : [2 ** 20, 4096];
  const d: Dispatch = {
    shader,
    params: { WG },
    bind: { y: { out: 0 } },
    uniforms: { rounds, x: 0.5, b: 1 },
    grid: [threads / WG, 1, 1],
  };
  const ms = await fastest(runner, d, [], [operand(threads)]);
  return (2 * CHAINS * threads * rounds) / ms / 1e6;
}

async function copy(runner: Runner, WG: number, UNROLL: number): Promise<number> {
  // Larger than any cache, within the smallest binding that a device may have.
  const total = 2 ** 22;
  const d: Dispatch = {
    shader: "ceiling_copy",
    params: { WG, UNROLL },
    bind: { x: { in: 0 }, y: { out: 0 } },
    uniforms: { total },
    grid: [total / WG / UNROLL, 1, 1],
  };
  const ms = await fastest(runner, d, [operand(total * 4)], [operand(total * 4)]);
  return (2 * 16 * total) / ms / 1e6;
}

/** The best of several forms of each loop. */
export async function measureCeilings(runner: Runner): Promise<Ceilings> {
  const flops: number[] = [];
  for (const shader of ["ceiling_scalar", "ceiling_vec4"]) flops.push(await multiplyAdd(runner, shader, 64));
  const bytes: number[] = [];
  for (const [wg, unroll] of runner.gpu.traits.software
    ? [
        [8, 16],
        [64, 16],
      ]
    : [
        [64, 4],
        [256, 4],
      ])
    bytes.push(await copy(runner, wg, unroll));
  return { gflops: Math.max(...flops), gbps: Math.max(...bytes) };
}

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
function calibrationCall(runner: Runner): Call {
  const [n, k, c, hw] = [8, 128, 512, 8];
  return {
    inputs: [operand(n, k, hw, hw), operand(k, c, 1, 1)],
    outputs: [operand(n, c, hw, hw)],
    attrs: { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1, size: [hw, hw] },
    device: runner.gpu.traits,
    params: {},
  };
}

/** Output channels of an invocation of each form of the yardstick. */
const CALIBRATIONS = { subgroup32: 32, plain8: 8 } as const;
export type CalibrationName = keyof typeof CALIBRATIONS;

/** The form that a device can run: figures in units of one are not those in units of the other. */
export const calibrationName = (runner: Runner): CalibrationName =>
  runner.gpu.traits.subgroups ? "subgroup32" : "plain8";

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

  static async open(runner: Runner): Promise<Calibration> {
    const op = opNamed("conv2dInput");
    const call = calibrationCall(runner);
    const name = calibrationName(runner);
    const kernel = calibrationKernel(name);
    const { prepared } = await prepareVerified(runner, op, kernel, call, "the calibration kernel");
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
