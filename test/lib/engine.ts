// Helpers of the engine tests: the backend behind the session, its counters, and small networks.
import { type InitOptions, init, nn, type Tensor, tensor } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import type { GpuBackend, GpuStats } from "../../src/runtime/gpu_backend.ts";
import type { Plan } from "../../src/schedule/plan.ts";
import { testOptions } from "./test_options.ts";

export async function open(options: InitOptions = {}): Promise<void> {
  await init(testOptions(options));
}

export async function gpuBackend(): Promise<GpuBackend> {
  await runtime().queue.idle();
  return (await runtime().backend()) as GpuBackend;
}

export async function stats(): Promise<GpuStats> {
  return (await gpuBackend()).stats;
}

/** Plans that are made while `fn` runs. */
export async function plansOf(fn: () => Promise<unknown> | unknown): Promise<Plan[]> {
  const backend = await gpuBackend();
  const made: Plan[] = [];
  const original = backend.plan;
  backend.plan = (cut) => {
    const plan = original.call(backend, cut);
    made.push(plan);
    return plan;
  };
  try {
    await fn();
    await runtime().queue.idle();
  } finally {
    backend.plan = original;
  }
  return made;
}

/** Numbers that look random and are the same everywhere. */
export function wave(shape: readonly number[], phase = 0): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: n }, (_, i) => Math.sin(1.7 * i + phase)),
    shape,
  );
}

export type Net = nn.Module & { forward(x: Tensor): Tensor };

/** Convolution, batch norm, ReLU, pool, dropout, linear: a bit of everything. */
export function smallNet(dropout = 0.2): nn.Sequential {
  return new nn.Sequential(
    new nn.Conv2d(2, 8, 3, { padding: 1 }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.Conv2d(8, 8, 1, { bias: false }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Dropout(dropout),
    new nn.Linear(72, 3),
  );
}

export function batch(): { x: Tensor; y: Tensor } {
  return { x: wave([5, 2, 6, 6]), y: tensor(Int32Array.of(0, 1, 2, 0, 1)) };
}

/** All state of a module as host arrays by name. */
export async function snapshot(m: nn.Module): Promise<Map<string, number[]>> {
  const out = new Map<string, number[]>();
  for (const [name, t] of m.stateDict()) out.set(name, [...(await t.data())]);
  return out;
}

/** Collects garbage now (Node only). */
export async function collectGarbage(): Promise<void> {
  const v8 = await import("node:v8");
  const vm = await import("node:vm");
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc") as () => void;
  for (let i = 0; i < 3; i++) {
    await new Promise((r) => setTimeout(r, 1));
    gc();
  }
}
