// Prepared commands: dispatches with their bind groups and buffer copies, encoded into few passes and paced submits.

import { messageOf } from "../core/error.ts";
import type { DeviceBuffer } from "./buffers.ts";
import type { Gpu } from "./device.ts";
import { atMost, stretches } from "./pacing.ts";
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

// Numbers of the WebGPU specification (GPUBufferUsage, GPUMapMode), so that no global is needed.
const MAP_READ = 1;
const COPY_SRC = 4;
const COPY_DST = 8;
const QUERY_RESOLVE = 512;

/** Commands of one set of timestamps: a query set holds at most 4096. */
const TIMED = 2048;

export class Commander {
  /** Bind groups made, dispatches encoded and submits made so far. */
  bindGroups = 0;
  dispatches = 0;
  submits = 0;
  readonly #gpu: Gpu;
  readonly #inFlight: Promise<unknown>[] = [];
  /** Measured over estimated time of past submits; null before the first. */
  #measured: number | null = null;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  bind(pipeline: Pipeline, ranges: Readonly<Record<string, BoundRange>>): GPUBindGroup {
    this.bindGroups++;
    const entries = pipeline.bindings.map((b) => ({ binding: b.index, resource: ranges[b.name] }));
    return this.#gpu.guard(() => this.#gpu.device.createBindGroup({ layout: pipeline.layout, entries }));
  }

  /** Encodes and submits, in submits of at most about 300 ms of estimated time. */
  run(commands: readonly Command[]): void {
    for (const [start, end] of this.#stretches(commands)) this.#submit(commands, start, end);
  }

  /** Stretches of commands for one submit each. */
  #stretches(commands: readonly Command[]): [number, number][] {
    return stretches(commands.map((c) => (c.kind === "dispatch" ? c.cost * this.#pace : 0)));
  }

  #submit(commands: readonly Command[], start: number, end: number): void {
    const { device } = this.#gpu;
    this.#gpu.guard(() => {
      const encoder = device.createCommandEncoder();
      this.#encode(encoder, commands, start, end);
      device.queue.submit([encoder.finish()]);
    });
    this.submits++;
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

  /** Whose clock times commands: the device's timestamps, or the host's where there are none. */
  get clock(): "device" | "host" {
    return this.#gpu.features.has("timestamp-query") ? "device" : "host";
  }

  /**
   * Runs commands in order, each once, with a clock around each: ms per command, 0 for copies. By the host's clock each
   * is submitted and waited for alone, and what waiting for nothing takes is subtracted.
   */
  async timed(commands: readonly Command[]): Promise<number[]> {
    if (this.clock === "host") return this.#timedByHost(commands);
    const out: number[] = [];
    for (const [start, end] of atMost(this.#stretches(commands), TIMED))
      out.push(...(await this.#timedPart(this.#gpu.device, commands.slice(start, end))));
    return out;
  }

  async #timedByHost(commands: readonly Command[]): Promise<number[]> {
    const wait = async (part: readonly Command[]) => {
      const began = performance.now();
      this.#submit(part, 0, part.length);
      await this.drain();
      return performance.now() - began;
    };
    await this.drain();
    const idle = Math.min(await wait([]), await wait([]), await wait([]));
    const out: number[] = [];
    for (const c of commands) {
      const ms = await wait([c]);
      out.push(c.kind === "copy" ? 0 : Math.max(0, ms - idle));
    }
    return out;
  }

  async #timedPart(device: GPUDevice, commands: readonly Command[]): Promise<number[]> {
    const ticks = await this.#withClock(device, commands.length, (encoder, querySet) => {
      commands.forEach((c, i) => {
        if (c.kind === "copy") {
          encoder.copyBufferToBuffer(c.from, c.fromOffset, c.to, c.toOffset, c.bytes);
          return;
        }
        const pass = encoder.beginComputePass({
          timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
        });
        pass.setPipeline(c.pipeline.pipeline);
        pass.setBindGroup(0, c.group);
        pass.dispatchWorkgroups(...c.grid);
        pass.end();
        this.dispatches++;
      });
    });
    this.submits++;
    return commands.map((c, i) => (c.kind === "copy" ? 0 : Number(ticks[2 * i + 1] - ticks[2 * i]) / 1e6));
  }

  /**
   * Runs dispatches as one pass with the device's clock around it: ms of all together. A clock of coarse steps tells
   * many short ones so, where it could not tell each. Null where the device has no timestamps.
   */
  async span(commands: readonly DispatchCommand[]): Promise<number | null> {
    if (this.clock === "host") return null;
    const { device } = this.#gpu;
    const [begin, end] = await this.#withClock(device, 1, (encoder, querySet) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      });
      for (const c of commands) {
        pass.setPipeline(c.pipeline.pipeline);
        pass.setBindGroup(0, c.group);
        pass.dispatchWorkgroups(...c.grid);
      }
      pass.end();
    });
    this.submits++;
    this.dispatches += commands.length;
    return Number(end - begin) / 1e6;
  }

  /** The ticks of `pairs` pairs of timestamps, written by what `encode` encodes. */
  async #withClock(
    device: GPUDevice,
    pairs: number,
    encode: (encoder: GPUCommandEncoder, querySet: GPUQuerySet) => void,
  ): Promise<BigUint64Array> {
    const bytes = 16 * pairs;
    const { querySet, resolved, staging } = this.#gpu.guard(() => {
      const querySet = device.createQuerySet({ type: "timestamp", count: 2 * pairs });
      const resolved = device.createBuffer({ size: bytes, usage: QUERY_RESOLVE | COPY_SRC });
      const staging = device.createBuffer({ size: bytes, usage: MAP_READ | COPY_DST });
      const encoder = device.createCommandEncoder();
      encode(encoder, querySet);
      encoder.resolveQuerySet(querySet, 0, 2 * pairs, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
      device.queue.submit([encoder.finish()]);
      return { querySet, resolved, staging };
    });
    await staging.mapAsync(MAP_READ);
    const ticks = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const o of [querySet, resolved, staging]) o.destroy();
    return ticks;
  }

  /** Marks the end of a run, whose estimated cost refines the pace. */
  mark(estimate: number): void {
    const began = performance.now();
    const alone = this.#inFlight.length === 0;
    const measure = () => {
      // Only a run that nothing was queued before measures itself.
      if (alone && estimate > 1) this.#refine((performance.now() - began) / estimate);
    };
    const done = this.#gpu.device.queue
      .onSubmittedWorkDone()
      .then(measure, (error: unknown) => this.#gpu.report(messageOf(error)))
      // Whatever became of it, it is not waited for again. (Nothing is returned here: that would be waited for, too.)
      .finally(() => {
        this.#inFlight.shift();
      });
    this.#inFlight.push(done);
  }

  get #pace(): number {
    return this.#measured ?? 1;
  }

  #refine(pace: number): void {
    const now = Math.min(100, Math.max(0.01, pace));
    this.#measured = this.#measured === null ? now : 0.5 * this.#measured + 0.5 * now;
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
