// What the harness asks of an engine: load a network with given weights, give its logits, take one step. Thaw's own is
// in this process; peers are processes that answer messages.

import type { What } from "./options.ts";

/** The same for every engine. */
export const ADAM = { lr: 1e-4, betas: [0.9, 0.999], eps: 1e-8 } as const;

export interface Job {
  readonly what: What;
  /** Safetensors file with torchvision's names, `bench.x` [N,3,H,W] and `bench.y` [N]. */
  readonly weights: string;
}

export interface StepResult {
  readonly ms: number;
  /** Null for a forward pass. */
  readonly loss: number | null;
  readonly dispatches?: number;
  readonly pipelines?: number;
  readonly newBuffers?: number;
  readonly gpuBytes?: number;
}

export interface Loaded {
  /** Elements of the parameters that train. */
  readonly trained: number;
  /** What it runs on, in its own words. */
  readonly adapter: string;
}

export interface Engine {
  readonly name: string;
  load(job: Job): Promise<Loaded>;
  /** In eval mode, whatever trains. */
  logits(): Promise<Float32Array>;
  /** One step with its result read back; `count` also counts what it asks of WebGPU. */
  step(count: boolean): Promise<StepResult>;
  close(): Promise<void>;
}
