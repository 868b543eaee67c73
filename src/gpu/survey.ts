// Which adapters this host offers, for reports: names, limits and features, without opening a device.

import { type AdapterSummary, findGpu, summarize } from "./device.ts";

export interface AdapterReport {
  readonly adapter: AdapterSummary;
  /** How it was asked for: it is the first one that was given for that. */
  readonly asked: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly string[];
}

/** Limits that decide what Thaw can do. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
] as const;

const QUESTIONS: readonly (readonly [string, GPURequestAdapterOptions])[] = [
  ["default", {}],
  ["high-performance", { powerPreference: "high-performance" }],
  ["low-power", { powerPreference: "low-power" }],
  ["fallback", { forceFallbackAdapter: true }],
];

/** The adapters found, the default one first; none where there is no driver. Throws DeviceError without any WebGPU. */
export async function surveyAdapters(): Promise<AdapterReport[]> {
  const gpu = await findGpu();
  const found = new Map<string, AdapterReport & { asked: string[] }>();
  for (const [how, question] of QUESTIONS) {
    const adapter = await gpu.requestAdapter(question).catch(() => null);
    if (!adapter) continue;
    const summary = summarize(adapter.info);
    const key = JSON.stringify(summary);
    const known = found.get(key);
    if (known) {
      known.asked.push(how);
      continue;
    }
    const limits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
    found.set(key, { adapter: summary, asked: [how], limits, features: [...adapter.features].sort() });
  }
  return [...found.values()];
}
