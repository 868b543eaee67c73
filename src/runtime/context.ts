// The runtime in use. One at a time: `init` opens it, `close` ends it; without `init` the first read opens the default
// GPU.

import { ThawError, UsageError } from "../core/error.ts";
import { buildRules, type RewriteOptions } from "../schedule/rewrites/index.ts";
import { CpuBackend } from "./cpu_backend.ts";
import { type GpuInit, openGpu } from "./gpu_backend.ts";
import { Runtime } from "./runtime.ts";

export interface InitOptions extends Omit<GpuInit, "rewrites" | "device"> {
  /** An opened GPUDevice to use, or "cpu" for the float64 interpreter (no GPU, slow, exact). */
  readonly device?: GpuInit["device"] | "cpu";
  /** Seed of initial parameters and dropout; a whole number of at least 0. Default 0. */
  readonly seed?: number;
  /** Switches rewrites off by name, or all of them with `false`. */
  readonly rewrites?: RewriteOptions;
}

let current: Runtime | null = null;

function make(options: InitOptions): Runtime {
  const { device, seed = 0, rewrites, ...rest } = options;
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new UsageError(`init: seed must be a whole number of at least 0, got ${seed}`);
  const open = device === "cpu" ? async () => new CpuBackend() : () => openGpu({ ...rest, device, rewrites });
  return new Runtime({
    open,
    seed,
    rules: buildRules(rewrites),
    bindingLimit: options.limits?.maxStorageBufferBindingSize,
  });
}

/** The runtime, made with default options when there is none yet. */
export function runtime(): Runtime {
  current ??= make({});
  return current;
}

/** Opens a runtime; a former one is closed. Throws DeviceError when there is no usable adapter. */
export async function initRuntime(options: InitOptions = {}): Promise<Runtime> {
  await closeRuntime();
  const made = make(options);
  current = made;
  try {
    await made.backend();
  } catch (error) {
    current = null;
    throw error;
  }
  return made;
}

/** Drains, destroys the device and drops every reference, so that a process can exit. */
export async function closeRuntime(): Promise<void> {
  const old = current;
  current = null;
  await old?.close();
}

/** The runtime if one is open. */
export function openRuntime(): Runtime {
  if (!current) throw new ThawError("no runtime is open; call init() first");
  return current;
}
