// init, close and the seed: the session's beginning and end.

import { UsageError } from "../core/error.ts";
import { closeRuntime, type InitOptions, initRuntime, runtime } from "../runtime/context.ts";
import "../ops/index.ts";

/**
 * Opens the device: an existing one (`gpu`, `adapter`, `device`), `navigator.gpu`, or Dawn from npm `webgpu`; or the
 * float64 interpreter with `device: "cpu"`. Without it the first read opens the default. A former session is
 * closed: what lived on its device cannot be used any more. Throws UsageError for options that there are none of, which
 * leaves the former session as it is, and DeviceError when there is no usable adapter.
 */
export async function init(options: InitOptions = {}): Promise<void> {
  await initRuntime(options);
}

/** Waits for all work, destroys the device and lets go of it. Call it last, so that the process can exit. */
export async function close(): Promise<void> {
  await closeRuntime();
}

/** Seeds initial parameters and dropout from here on. */
export function manualSeed(seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new UsageError(`manualSeed: the seed must be a whole number of at least 0, got ${seed}`);
  const rt = runtime();
  rt.random.reset(seed);
  rt.reseed(seed);
}
