// What the harness asks of an engine: load a network with given weights, give its logits, take one step. Thaw's own is
// in this process; peers are processes that answer messages.

import { ThawError } from "../src/core/error.ts";
import type { What } from "./options.ts";

/** A peer that gave no answer: it failed, or took longer than it may. */
export class PeerFailed extends ThawError {
  override name = "PeerFailed";
  /** How long was waited, where that was the reason. */
  readonly limitMs: number | null;

  constructor(message: string, limitMs: number | null = null) {
    super(message);
    this.limitMs = limitMs;
  }
}

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
  /** Processor time of the engine's process, which other programs do not lengthen much. */
  readonly cpuMs?: number;
  readonly newBindGroups?: number;
  readonly submits?: number;
  /** Of a counted forward pass: what was computed. */
  readonly logits?: ArrayLike<number>;
}

export interface Loaded {
  /** Elements of the parameters that train. */
  readonly trained: number;
  /** What it runs on, in its own words. */
  readonly adapter: string;
}

export interface Engine {
  readonly name: string;
  /** Steps that it does not take, and why. */
  readonly leftOut?: Readonly<Partial<Record<What, string>>>;
  /** How far its results may be from Thaw's, where its arithmetic is coarser than f32. */
  readonly tolerance?: number;
  load(job: Job): Promise<Loaded>;
  /** In eval mode, whatever trains. */
  logits(): Promise<Float32Array>;
  /** One step with its result read back; `count` also counts what it asks of WebGPU. */
  step(count: boolean): Promise<StepResult>;
  close(): Promise<void>;
}
