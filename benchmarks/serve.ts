// How an engine in a process of its own answers: one JSON line on standard output for every JSON line on standard
// input. {"do":"load",…} builds the network, {"do":"logits"} computes them, {"do":"step"} takes one step, {"do":"end"}
// ends. Between requests the process waits for input and does nothing. Also what peers in JavaScript need beside: Dawn
// where they look for WebGPU, and counts of what they ask of it.

import { createInterface } from "node:readline";

export type Verbs = Readonly<Record<string, (request: never) => unknown>>;

/** Answers until told to end; an error becomes an answer that names it. */
export async function serve(verbs: Verbs): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as { do: string };
    if (request.do === "end") return;
    let answer: unknown;
    try {
      answer = await verbs[request.do](request as never);
    } catch (error) {
      answer = { error: String((error as Error)?.message ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

/** Dawn as navigator.gpu, where libraries made for browsers look; what its adapter is called. */
export async function provideGpu(): Promise<string> {
  // Standard output carries answers only, and libraries greet on the console.
  console.log = console.info = console.error;
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  const gpu = create((process.env.THAW_DAWN ?? "").split(",").filter(Boolean));
  const value = { gpu, userAgent: "node", platform: process.platform, hardwareConcurrency: 2 };
  Object.defineProperty(globalThis, "navigator", { value, configurable: true });
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("no GPU adapter was found");
  return adapter.info.description || adapter.info.device || adapter.info.vendor;
}

const WATCHED = [
  ["GPUComputePassEncoder", "dispatchWorkgroups", "dispatches"],
  ["GPUDevice", "createComputePipeline", "pipelines"],
  ["GPUDevice", "createComputePipelineAsync", "pipelines"],
  ["GPUDevice", "createBuffer", "newBuffers"],
] as const;

type Method = (...args: unknown[]) => unknown;

/** Counts calls of WebGPU until `stop()` puts the prototypes back. */
export function countCalls(): { counts: Record<string, number>; stop: () => void } {
  const counts: Record<string, number> = { dispatches: 0, pipelines: 0, newBuffers: 0 };
  const undo = WATCHED.map(([type, method, key]) => {
    const { prototype } = (globalThis as unknown as Record<string, { prototype: Record<string, Method> }>)[
      type
    ];
    const original = prototype[method];
    prototype[method] = function (this: unknown, ...args) {
      counts[key]++;
      return original.apply(this, args);
    };
    return () => {
      prototype[method] = original;
    };
  });
  const stop = () => {
    for (const restore of undo) restore();
  };
  return { counts, stop };
}
