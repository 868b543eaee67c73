// The runtime in use. One at a time: `init` opens it, `close` ends it; without `init` the first read opens the default
// GPU.

import { buildRules, type RewriteOptions } from "../schedule/rewrites/index.ts";
import { CpuBackend } from "./cpu_backend.ts";
import { openGpu } from "./gpu_backend.ts";
import type { GpuInit } from "./gpu_init.ts";
import { checkInitOptions, defaultTune } from "./options.ts";
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
  checkInitOptions(options);
  const { device, seed = 0, rewrites, tune = defaultTune(), ...rest } = options;
  const open =
    device === "cpu" ? async () => new CpuBackend() : () => openGpu({ ...rest, device, rewrites, tune });
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

/** Opening and closing happen one after another, in the order in which they were asked for. */
let lifecycle: Promise<unknown> = Promise.resolve();

function inOrder<T>(job: () => Promise<T>): Promise<T> {
  const done = lifecycle.then(job);
  lifecycle = done.catch(() => {});
  return done;
}

/** Closes the runtime in use, and whatever is opened by use while that happens. */
async function closeCurrent(): Promise<void> {
  while (current) {
    const old = current;
    current = null;
    await old.close();
  }
}

/**
 * Opens a runtime; a former one is closed, unless the options are wrong. Throws UsageError for wrong options,
 * DeviceError when there is no usable adapter.
 */
export async function initRuntime(options: InitOptions = {}): Promise<Runtime> {
  const made = make(options);
  return inOrder(async () => {
    await closeCurrent();
    current = made;
    try {
      await made.backend();
    } catch (error) {
      if (current === made) current = null;
      throw error;
    }
    return made;
  });
}

/** Drains, destroys the device and drops every reference, so that a process can exit. */
export function closeRuntime(): Promise<void> {
  return inOrder(closeCurrent);
}
