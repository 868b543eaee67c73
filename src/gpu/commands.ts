// Prepared commands: dispatches with their bind groups and buffer copies, encoded into few passes and paced submits.

import type { DeviceBuffer } from "./buffers.ts";
import type { Gpu } from "./device.ts";
import type { Pipeline } from "./pipelines.ts";

export interface DispatchCommand {
  readonly kind: "dispatch";
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number, number];
  /** Op and kernel, for profiles. */
  readonly label: string;
  /** Estimated device time in ms. */
  readonly cost: number;
}

export interface CopyCommand {
  readonly kind: "copy";
  readonly from: DeviceBuffer;
  readonly fromOffset: number;
  readonly to: DeviceBuffer;
  readonly toOffset: number;
  readonly bytes: number;
}

export type Command = DispatchCommand | CopyCommand;

export interface BoundRange {
  readonly buffer: DeviceBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Work of one submit at most, in estimated ms: a GPU shared with a screen must come up for air. */
const SUBMIT_MS = 300;

export class Commander {
  /** Bind groups made, dispatches encoded and submits made so far. */
  bindGroups = 0;
  dispatches = 0;
  submits = 0;
  readonly #gpu: Gpu;
  readonly #inFlight: Promise<unknown>[] = [];
  /** Measured over estimated time of past submits. */
  #pace = 1;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  bind(pipeline: Pipeline, ranges: Readonly<Record<string, BoundRange>>): GPUBindGroup {
    this.bindGroups++;
    return this.#gpu.device.createBindGroup({
      layout: pipeline.layout,
      entries: pipeline.bindings.map((b) => ({ binding: b.index, resource: ranges[b.name] })),
    });
  }

  /** Encodes and submits; a new submit begins when the estimated time of one would pass the cap. */
  run(commands: readonly Command[]): void {
    const { device } = this.#gpu;
    let start = 0;
    while (start < commands.length) {
      let end = start;
      let cost = 0;
      while (end < commands.length) {
        const c = commands[end];
        const next = c.kind === "dispatch" ? c.cost * this.#pace : 0;
        if (end > start && cost + next > SUBMIT_MS) break;
        cost += next;
        end++;
      }
      const encoder = device.createCommandEncoder();
      this.#encode(encoder, commands, start, end);
      device.queue.submit([encoder.finish()]);
      this.submits++;
      start = end;
    }
  }

  #encode(encoder: GPUCommandEncoder, commands: readonly Command[], start: number, end: number): void {
    let pass: GPUComputePassEncoder | null = null;
    let bound: Pipeline | null = null;
    for (let i = start; i < end; i++) {
      const c = commands[i];
      if (c.kind === "copy") {
        pass?.end();
        pass = null;
        encoder.copyBufferToBuffer(c.from, c.fromOffset, c.to, c.toOffset, c.bytes);
        continue;
      }
      if (!pass) {
        pass = encoder.beginComputePass();
        bound = null;
      }
      if (bound !== c.pipeline) pass.setPipeline(c.pipeline.pipeline);
      bound = c.pipeline;
      pass.setBindGroup(0, c.group);
      pass.dispatchWorkgroups(...c.grid);
      this.dispatches++;
    }
    pass?.end();
  }

  /** Marks the end of a run, whose estimated cost refines the pace. */
  mark(estimate: number): void {
    const began = performance.now();
    const alone = this.#inFlight.length === 0;
    const done = this.#gpu.device.queue.onSubmittedWorkDone().then(() => {
      this.#inFlight.shift();
      // Only a run that nothing was queued before measures itself.
      if (alone && estimate > 1)
        this.#pace =
          0.5 * this.#pace + 0.5 * Math.min(100, Math.max(0.01, (performance.now() - began) / estimate));
    });
    this.#inFlight.push(done.catch(() => {}));
  }

  /** Resolves when at most `runs` runs are unfinished. */
  async throttle(runs: number): Promise<void> {
    while (this.#inFlight.length > runs) await this.#inFlight[0];
    this.#gpu.check();
  }

  /** Resolves when the device has finished everything. */
  async drain(): Promise<void> {
    await this.#gpu.device.queue.onSubmittedWorkDone();
  }
}
