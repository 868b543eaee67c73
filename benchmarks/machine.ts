// The machine as measured in this process: how fast it multiplies and adds without loads, how fast it copies, and how
// fast a fixed kernel runs just now.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Gpu } from "../src/gpu/device.ts";
import type { Operand } from "../src/graph/op.ts";
import { type Call, type Dispatch, type Kernel, opNamed } from "../src/graph/op.ts";
import { type BenchDevices, benchDevices } from "../src/runtime/kernel_bench.ts";
import { type Prepared, prepareKernel, prepareVerified } from "./kernels.ts";
import { sample } from "./timing.ts";

export interface Ceilings {
  readonly gflops: number;
  readonly gbps: number;
}

const FOLDER = new URL("./shaders/", import.meta.url);

/** What kernels are run with: the engine's shaders and the benchmark's own. */
export function openBench(gpu: Gpu): Promise<BenchDevices> {
  const names = readdirSync(FOLDER).filter((f) => f.endsWith(".wgsl"));
  const text = (f: string) => readFileSync(new URL(f, FOLDER), "utf8");
  return benchDevices(
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

/** The smallest time of a dispatch that belongs to no op, in ms: a ceiling is what the device can do undisturbed. */
async function fastest(
  devices: BenchDevices,
  d: Dispatch,
  inputs: Operand[],
  outputs: Operand[],
): Promise<number> {
  const kernel: Kernel = { name: d.shader, dispatches: () => [d] };
  const call: Call = { inputs, outputs, attrs: {}, device: devices.gpu.traits, params: {} };
  const data = inputs.map((o) => new Float32Array(o.shape[0]));
  const prepared = await prepareKernel(devices, kernel, call, data);
  try {
    const limits = { sampleMs: 20, budgetMs: 600, least: 5, most: 40 };
    return (await sample((n) => prepared.run(n), limits)).min;
  } finally {
    prepared.close();
  }
}

const CHAINS = 24;

async function multiplyAdd(devices: BenchDevices, shader: string, WG: number): Promise<number> {
  const { software } = devices.gpu.traits;
  const [threads, rounds] = software ? [4096, 2048] : [2 ** 20, 4096];
  const d: Dispatch = {
    shader,
    params: { WG },
    bind: { y: { out: 0 } },
    uniforms: { rounds, x: 0.5, b: 1 },
    grid: [threads / WG, 1, 1],
  };
  const ms = await fastest(devices, d, [], [operand(threads)]);
  return (2 * CHAINS * threads * rounds) / ms / 1e6;
}

async function copy(devices: BenchDevices, WG: number, UNROLL: number): Promise<number> {
  // Larger than any cache, within the smallest binding that a device may have.
  const total = 2 ** 22;
  const d: Dispatch = {
    shader: "ceiling_copy",
    params: { WG, UNROLL },
    bind: { x: { in: 0 }, y: { out: 0 } },
    uniforms: { total },
    grid: [total / WG / UNROLL, 1, 1],
  };
  const ms = await fastest(devices, d, [operand(total * 4)], [operand(total * 4)]);
  return (2 * 16 * total) / ms / 1e6;
}

/** The best of several forms of each loop. */
export async function measureCeilings(devices: BenchDevices): Promise<Ceilings> {
  const flops: number[] = [];
  for (const shader of ["ceiling_scalar", "ceiling_vec4"]) flops.push(await multiplyAdd(devices, shader, 64));
  const bytes: number[] = [];
  for (const [wg, unroll] of devices.gpu.traits.software
    ? [
        [8, 16],
        [64, 16],
      ]
    : [
        [64, 4],
        [256, 4],
      ])
    bytes.push(await copy(devices, wg, unroll));
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
function calibrationCall(devices: BenchDevices): Call {
  const [n, k, c, hw] = [8, 128, 512, 8];
  return {
    inputs: [operand(n, k, hw, hw), operand(k, c, 1, 1)],
    outputs: [operand(n, c, hw, hw)],
    attrs: { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1, size: [hw, hw] },
    device: devices.gpu.traits,
    params: {},
  };
}

const calibrationKernel: Kernel = {
  name: "calibration",
  dispatches: () => [
    {
      shader: "calibration",
      bind: { g: { in: 0 }, w: { in: 1 }, y: { out: 0 } },
      uniforms: { k: 128, c: 512, hw4: 16 },
      grid: [2, 64, 8],
    },
  ],
};

/** A fixed amount of fixed work, to be run between steps: what tells a slow machine from a slow engine. */
export class Calibration {
  readonly samples: number[] = [];
  readonly #prepared: Prepared;

  constructor(prepared: Prepared) {
    this.#prepared = prepared;
  }

  static async open(devices: BenchDevices): Promise<Calibration> {
    const op = opNamed("conv2dInput");
    const call = calibrationCall(devices);
    const { prepared } = await prepareVerified(
      devices,
      op,
      calibrationKernel,
      call,
      "the calibration kernel",
    );
    return new Calibration(prepared);
  }

  async sample(): Promise<void> {
    const repeats = 4;
    const began = performance.now();
    await this.#prepared.run(repeats);
    this.samples.push((performance.now() - began) / repeats);
  }

  close(): void {
    this.#prepared.close();
  }
}
