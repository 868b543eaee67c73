// What the device can do at most, as measured in this process: how fast it multiplies and adds without loads, and how
// fast it copies. Profiles and benchmarks give shares of these.

import { sample } from "../core/timing.ts";
import type { DispatchCommand } from "./commands.ts";
import type { Gpu } from "./device.ts";
import { loneDispatch, openTools, type Tools } from "./lone_dispatch.ts";

export interface Ceilings {
  readonly gflops: number;
  readonly gbps: number;
}

/** A dispatch that belongs to no op. */
interface Loop {
  readonly shader: string;
  readonly params: Readonly<Record<string, number>>;
  readonly uniforms: Readonly<Record<string, number>>;
  readonly groups: number;
  /** Bytes of the storage that each variable is bound to. */
  readonly bind: Readonly<Record<string, number>>;
}

const SAMPLING = { sampleMs: 20, budgetMs: 600, least: 5, most: 40 };

/** The smallest time of one run in ms: a ceiling is what the device can do undisturbed. */
async function fastest(tools: Tools, loop: Loop): Promise<number> {
  const { buffers, commander } = tools;
  const { command, made } = await prepared(tools, loop);
  const run = (repeats: number) => {
    commander.run(new Array<DispatchCommand>(repeats).fill(command));
    return commander.drain();
  };
  try {
    return (await sample(run, SAMPLING)).min;
  } finally {
    for (const b of made) buffers.destroy(b);
  }
}

async function prepared(tools: Tools, { shader, params, uniforms, groups, bind }: Loop) {
  const storage = Object.entries(bind).map(([k, n]) => [k, tools.buffers.storage("ceiling", n)] as const);
  const ranges = storage.map(([k, buffer]) => [k, { buffer, offset: 0, size: buffer.size }] as const);
  const loop = { shader, params, uniforms, grid: [groups, 1, 1] } as const;
  const { command, sizes } = await loneDispatch(tools, shader, loop, Object.fromEntries(ranges));
  return { command, made: [sizes, ...storage.map(([, b]) => b)] };
}

/** Chains of multiply-adds in an invocation of the two loops. */
const CHAINS = 24;

async function multiplyAdd(tools: Tools, software: boolean, shader: string): Promise<number> {
  const [threads, rounds] = software ? [4096, 2048] : [2 ** 20, 4096];
  const WG = 64;
  const uniforms = { rounds, x: 0.5, b: 1 };
  const ms = await fastest(tools, {
    shader,
    params: { WG },
    uniforms,
    groups: threads / WG,
    bind: { y: threads * 4 },
  });
  return (2 * CHAINS * threads * rounds) / ms / 1e6;
}

async function copy(tools: Tools, WG: number, UNROLL: number): Promise<number> {
  // Larger than any cache, within the smallest binding that a device may have.
  const total = 2 ** 22;
  const ms = await fastest(tools, {
    shader: "ceiling_copy",
    params: { WG, UNROLL },
    uniforms: { total },
    groups: total / WG / UNROLL,
    bind: { x: total * 16, y: total * 16 },
  });
  return (2 * 16 * total) / ms / 1e6;
}

/** The best of several forms of each loop; takes a few seconds. */
export async function measureCeilings(gpu: Gpu, sources: ReadonlyMap<string, string>): Promise<Ceilings> {
  const tools = openTools(gpu, sources);
  const { software } = gpu.traits;
  const flops: number[] = [];
  for (const shader of ["ceiling_scalar", "ceiling_vec4"])
    flops.push(await multiplyAdd(tools, software, shader));
  const forms: readonly (readonly [number, number])[] = software
    ? [
        [8, 16],
        [64, 16],
      ]
    : [
        [64, 4],
        [256, 4],
      ];
  const bytes: number[] = [];
  for (const [wg, unroll] of forms) bytes.push(await copy(tools, wg, unroll));
  gpu.check();
  return { gflops: Math.max(...flops), gbps: Math.max(...bytes) };
}
