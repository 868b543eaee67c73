// Finding a device and keeping it. Dawn's binding (npm `webgpu`) dies with the object that `create` returns, so that
// object and the adapter stay referenced here until `close`.

import { debugLevel, env, inNode } from "../core/env.ts";
import { DeviceError, DeviceLost, messageOf } from "../core/error.ts";
import type { DeviceTraits } from "../core/traits.ts";
import { multiprocessors } from "./multiprocessors.ts";

/** How a device is found; whatever is given is used as it is. */
export interface DeviceOptions {
  /** A GPU object: `navigator.gpu`, or what Dawn's `create` returned. */
  readonly gpu?: GPU;
  readonly adapter?: GPUAdapter;
  /** An opened device. Thaw then uses the limits and features it was opened with, and does not destroy it. */
  readonly device?: GPUDevice;
  /** Falsely small limits, for tests: `{ maxStorageBufferBindingSize: 1 << 20 }`. */
  readonly limits?: {
    readonly maxStorageBufferBindingSize?: number;
    readonly maxComputeWorkgroupsPerDimension?: number;
  };
  /** Flags for Dawn's `create`, such as `adapter=SwiftShader`; also from THAW_DAWN, separated by commas. */
  readonly dawn?: readonly string[];
  /** false hides `subgroups`, so that the kernels for devices without them run. */
  readonly subgroups?: boolean;
  /**
   * "f16": forward convolutions may round what they multiply to half precision (sums stay f32); values beyond 65,504
   * become infinite. Needs the adapter's `shader-f16`. Default "f32".
   */
  readonly precision?: "f32" | "f16";
}

/** What names an adapter in reports and checkpoints. */
export interface AdapterSummary {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly software: boolean;
}

/** One name of an adapter for people. */
export const adapterName = (a: AdapterSummary): string => a.description || a.device || a.vendor;

/** What `guard` looks for; a lack of memory is looked for where plans are made ready. */
const ERRORS: readonly GPUErrorFilter[] = ["validation", "internal"];

const WANTED: readonly GPUFeatureName[] = ["subgroups" as GPUFeatureName, "timestamp-query"];
const F16 = "shader-f16" as const;
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
] as const;

/** Dawn's flag for timestamps to the nanosecond: by itself it rounds them to 65 µs, longer than most dispatches. */
export const FINE_CLOCK = "disable-dawn-features=timestamp_quantization";

/** The GPU object of this host: the browser's, or Dawn's. */
export async function findGpu(dawn: readonly string[] = []): Promise<GPU> {
  const page = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (page) return page;
  if (!inNode()) throw new DeviceError(noWebGpu());
  const own = env("THAW_DAWN")?.split(",").filter(Boolean) ?? [];
  const flags = joinedFlags([...(debugLevel() >= 2 ? [FINE_CLOCK] : []), ...dawn, ...own]);
  const { create } = await import("webgpu").catch((error: unknown) => {
    throw new DeviceError(`no WebGPU here: the package "webgpu" could not be loaded (${messageOf(error)})`);
  });
  return orRefuse(`Dawn does not take the flags ${flags.join(", ")}`, async () => create(flags));
}

/** Flags as Dawn takes them: of two lists of features it would believe the last only, so they are made one. */
function joinedFlags(flags: readonly string[]): string[] {
  const lists = new Map<string, string[]>();
  const others: string[] = [];
  for (const flag of flags) {
    const [, key, value] = /^((?:en|dis)able-dawn-features)=(.*)$/.exec(flag) ?? [];
    if (key) lists.set(key, [...(lists.get(key) ?? []), value]);
    else others.push(flag);
  }
  return [...others, ...[...lists].map(([key, values]) => `${key}=${values.join(",")}`)];
}

/** What the host's WebGPU refuses in its own words, as one sentence. */
async function orRefuse<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    const said = messageOf(error)
      .split("\n")
      .filter((line) => line.trim() && !/^\s+at /.test(line));
    throw new DeviceError(
      `${what}: ${said
        .map((line) => line.trim())
        .join("; ")
        .replaceAll(":; ", ": ")}`,
    );
  }
}

export function summarize(info: GPUAdapterInfo): AdapterSummary {
  const fallback = (info as { isFallbackAdapter?: boolean }).isFallbackAdapter ?? false;
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  const software = fallback || /llvmpipe|lavapipe|swiftshader|software/i.test(text);
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    software,
  };
}

/** An opened device with the objects that must outlive it. */
export class Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  readonly traits: DeviceTraits;
  readonly bindingLimit: number;
  readonly features: ReadonlySet<string>;
  /** Rejects every later use once set. */
  lost: DeviceLost | null = null;
  #held: unknown[] | null;
  /** Opened by Thaw: closed by it, and used by nobody else. */
  readonly #owned: boolean;
  #error: Error | null = null;

  constructor(
    device: GPUDevice,
    info: GPUAdapterInfo,
    options: DeviceOptions,
    held: unknown[],
    owned: boolean,
  ) {
    this.device = device;
    this.adapter = summarize(info);
    this.features = new Set(device.features);
    this.#held = held;
    this.#owned = owned;
    const { limits } = device;
    this.bindingLimit = Math.min(
      limits.maxStorageBufferBindingSize,
      options.limits?.maxStorageBufferBindingSize ?? Number.POSITIVE_INFINITY,
    );
    const subgroupMin = (info as { subgroupMinSize?: number }).subgroupMinSize ?? 0;
    this.traits = {
      software: this.adapter.software && !asGpu(),
      subgroups: options.subgroups !== false && this.features.has("subgroups") && subgroupMin >= 8,
      f16: options.precision === "f16",
      maxWorkgroups: Math.min(
        limits.maxComputeWorkgroupsPerDimension,
        options.limits?.maxComputeWorkgroupsPerDimension ?? 65_535,
      ),
      maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
      workgroupStorage: limits.maxComputeWorkgroupStorageSize,
      multiprocessors: multiprocessors(info.vendor, `${info.device} ${info.description}`),
    };
    // A device of somebody else's has errors of somebody else's, too: there, see `guard`.
    if (owned)
      device.addEventListener?.("uncapturederror", (e) =>
        this.report((e as GPUUncapturedErrorEvent).error.message),
      );
    void device.lost.then((why) => {
      if (why.reason !== "destroyed" || this.#held)
        this.lost ??= new DeviceLost(`the GPU device was lost: ${why.message || why.reason}`);
    });
  }

  /** Keeps an error for the next check. */
  report(message: string): void {
    this.#error ??= new DeviceError(`the GPU refused work: ${message}`);
  }

  /** Runs calls of the device; where it is not Thaw's own, their errors are told from those of its owner. */
  guard<T>(calls: () => T): T {
    if (this.#owned) return calls();
    for (const kind of ERRORS) this.device.pushErrorScope(kind);
    try {
      return calls();
    } finally {
      for (const _ of ERRORS)
        this.device.popErrorScope().then(
          (error) => error && this.report(error.message),
          () => {}, // The device is lost, which `check` tells.
        );
    }
  }

  /** Throws what the device has reported since the last check. */
  check(): void {
    if (this.lost) throw this.lost;
    const error = this.#error;
    this.#error = null;
    if (error) throw error;
  }

  close(): void {
    if (!this.#held) return;
    this.#held = null;
    if (this.#owned) this.device.destroy();
  }
}

/** Opens a device with the adapter's own limits and the optional features that Thaw knows to use. */
export async function openDevice(options: DeviceOptions = {}): Promise<Gpu> {
  if (options.device) {
    if (options.precision === "f16" && !options.device.features.has(F16)) throw new DeviceError(noHalf());
    const info =
      (options.device as { adapterInfo?: GPUAdapterInfo }).adapterInfo ??
      ({ vendor: "", architecture: "", device: "", description: "" } as GPUAdapterInfo);
    return new Gpu(options.device, info, options, [], false);
  }
  const gpu = options.adapter ? null : (options.gpu ?? (await findGpu(options.dawn)));
  const adapter =
    options.adapter ??
    (await orRefuse("no GPU adapter can be had", async () =>
      gpu?.requestAdapter({ powerPreference: "high-performance" }),
    ));
  if (!adapter) throw new DeviceError(noAdapter());
  const requiredLimits = Object.fromEntries(WANTED_LIMITS.map((k) => [k, adapter.limits[k]]));
  const half = options.precision === "f16" ? [F16] : [];
  if (half.length > 0 && !adapter.features.has(F16)) throw new DeviceError(noHalf());
  const requiredFeatures = [...WANTED.filter((f) => adapter.features.has(f)), ...half];
  const device = await orRefuse("the adapter gives no device", () =>
    adapter.requestDevice({ label: "thaw", requiredFeatures, requiredLimits }),
  );
  return new Gpu(device, adapter.info, options, [gpu, adapter], true);
}

/** Whether kernels are chosen as on a GPU even in software, for tests: THAW_KERNELS=gpu. */
function asGpu(): boolean {
  const asked = env("THAW_KERNELS");
  if (asked && asked !== "gpu") throw new DeviceError(`THAW_KERNELS may only be "gpu", got "${asked}"`);
  return asked === "gpu";
}

const noHalf = () =>
  `init: precision "f16" needs the feature ${F16}, which is not there; leave precision out, or, for NVIDIA under Vulkan ` +
  'in Node, pass dawn: ["enable-dawn-features=vulkan_enable_f16_on_nvidia"]';

/** The sentence for a page without navigator.gpu, which browsers hide from pages that are not secure. */
function noWebGpu(): string {
  const { isSecureContext } = globalThis as { isSecureContext?: boolean };
  return isSecureContext === false
    ? "no WebGPU here: this page is not secure, so the browser hides it; serve the page over https or from localhost"
    : "no WebGPU here: this browser has no navigator.gpu; use a current Chrome, Edge, Firefox or Safari";
}

/** The sentence for a host without an adapter; `thaw doctor` says more. */
export function noAdapter(): string {
  const none = "no usable GPU adapter was found";
  if (!inNode())
    return `${none}: update the graphics driver, and check that the browser may use the GPU (hardware acceleration)`;
  const setup = import.meta.url.includes("/node_modules/")
    ? "node node_modules/thaw/scripts/setup.mjs --system"
    : "npm run setup -- --system";
  const how =
    process.platform === "linux"
      ? `install your GPU's Vulkan driver, or Mesa's software one with \`${setup}\``
      : "update the graphics driver";
  return `${none}: ${how} (run \`thaw doctor\` for details)`;
}
