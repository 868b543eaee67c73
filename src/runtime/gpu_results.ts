// Where results lie on the device: small ones in the ring, others in their plan's own memory, where its next run would
// overwrite them. One that somebody may still ask for is saved to the host first, so GPU memory stays flat whatever the
// user holds.

import { type HostArray, hostArray, viewBytes } from "../core/dtype.ts";
import { numel, show, type TypeOf } from "../core/shape.ts";
import type { BufferStore, DeviceBuffer } from "../gpu/buffers.ts";
import type { Command } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { checkResult, type DeviceLocation, type Holder, hostCopy, type Result } from "../graph/leaf.ts";
import type { Prepared } from "./prepared.ts";
import { Ring } from "./ring.ts";

/** Where a result lies on the device. */
export interface GpuLocation extends DeviceLocation {
  readonly buffer: DeviceBuffer;
  readonly offset: number;
}

export class GpuResults {
  readonly #holder: Holder;
  readonly #gpu: Gpu;
  readonly #buffers: BufferStore;
  readonly #ring: Ring;

  constructor(holder: Holder, gpu: Gpu, buffers: BufferStore) {
    this.#holder = holder;
    this.#gpu = gpu;
    this.#buffers = buffers;
    this.#ring = new Ring(buffers);
  }

  /** Where a result lies on this device; null when only the host has it. Throws when neither does. */
  locate(result: Result): GpuLocation | null {
    const { location } = result;
    if (location?.kind === "device" && location.holder === this.#holder) return location as GpuLocation;
    if (hostCopy(result)) return null;
    checkResult(result, this.#holder);
    throw result.failure ?? new Error(`${show(result)} is used before it is computed`);
  }

  async read(result: Result): Promise<HostArray> {
    const at = this.locate(result);
    if (at) at.host ??= await this.download(at.buffer, at.offset, result);
    return (hostCopy(result) as HostArray).slice();
  }

  async download(buffer: DeviceBuffer, offset: number, { shape, dtype }: TypeOf): Promise<HostArray> {
    const n = numel(shape);
    if (n === 0) return hostArray(dtype, 0);
    const bytes = await this.#buffers.read(buffer, offset, dtype === "u8" ? n : n * 4);
    this.#gpu.check();
    return viewBytes(dtype, bytes, n);
  }

  /** Saves what the plan's last run left in its own memory and somebody may still read. */
  async save(p: Prepared): Promise<void> {
    for (const o of p.outputs) {
      const { held } = o;
      o.held = null;
      if (held?.needed) held.location = { kind: "host", data: await this.read(held) };
    }
  }

  /** Takes room in the ring for a run's small results: the copies that fill it, and their offsets. */
  async takeRing(p: Prepared): Promise<{ copies: Command[]; offsets: number[] }> {
    const small = p.outputs.filter((o) => o.ringed);
    const offsets = await this.#ring.take(small.length);
    const copies = small.map(
      (o, i): Command => ({
        kind: "copy",
        from: o.buffer,
        fromOffset: 0,
        to: this.#ring.buffer,
        toOffset: offsets[i],
        bytes: Math.ceil(o.bytes / 4) * 4,
      }),
    );
    return { copies, offsets };
  }

  /** The run has been submitted: its results lie where it leaves them. */
  settle(p: Prepared, results: readonly Result[], offsets: readonly number[]): void {
    let next = 0;
    p.outputs.forEach((o, i) => {
      const result = results[i];
      const offset = o.ringed ? offsets[next++] : 0;
      const buffer = o.ringed ? this.#ring.buffer : o.buffer;
      const location: GpuLocation = { kind: "device", holder: this.#holder, buffer, offset, host: null };
      result.location = location;
      if (o.ringed) this.#ring.hold(offset, result);
      else o.held = result;
    });
  }
}
