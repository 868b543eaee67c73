// Buffers: persistent ones by owner, slots that plans share, and staging for readback. Every creation is counted, so
// that tests can prove that a warm step makes none.

import { bufferBytes, mib } from "../core/bytes.ts";
import { OutOfMemory } from "../core/error.ts";
import type { Gpu } from "./device.ts";

// Numbers of the WebGPU specification (GPUBufferUsage, GPUMapMode), so that no global is needed.
const MAP_READ = 1;
const COPY_SRC = 4;
const COPY_DST = 8;
const UNIFORM = 64;
const STORAGE = 128;

export type { Gpu } from "./device.ts";
/** A buffer on the device; opaque outside of this folder. */
export type DeviceBuffer = GPUBuffer;

export class BufferStore {
  /** Buffers made so far, and their bytes, those destroyed since included. */
  count = 0;
  made = 0;
  /** Bytes of all buffers alive. */
  bytes = 0;
  readonly #gpu: Gpu;
  /** Not held here: a compiled step that nobody can reach takes its buffers along. */
  readonly #alive = new WeakMap<DeviceBuffer, WeakRef<DeviceBuffer>>();
  readonly #all = new Set<WeakRef<DeviceBuffer>>();
  readonly #collected = new FinalizationRegistry<{ ref: WeakRef<DeviceBuffer>; size: number }>(
    ({ ref, size }) => {
      if (this.#all.delete(ref)) this.bytes -= size;
    },
  );
  readonly #staging: DeviceBuffer[] = [];
  /** Slots of all plans, largest first. */
  readonly #slots: DeviceBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  #make(label: string, bytes: number, usage: number): DeviceBuffer {
    const size = bufferBytes(bytes);
    const limit = this.#gpu.device.limits.maxBufferSize;
    if (size > limit)
      throw new OutOfMemory(
        `${label} needs ${mib(size)}, but a buffer of this device holds at most ${mib(limit)}`,
      );
    this.count++;
    this.made += size;
    this.bytes += size;
    const buffer = this.#gpu.guard(() => this.#gpu.device.createBuffer({ label, size, usage }));
    const ref = new WeakRef(buffer);
    this.#alive.set(buffer, ref);
    this.#all.add(ref);
    this.#collected.register(buffer, { ref, size });
    return buffer;
  }

  /** Zeroed storage. */
  storage(label: string, bytes: number): DeviceBuffer {
    return this.#make(label, bytes, STORAGE | COPY_SRC | COPY_DST);
  }

  uniform(label: string, bytes: number): DeviceBuffer {
    return this.#make(label, bytes, UNIFORM | COPY_DST);
  }

  destroy(buffer: DeviceBuffer): void {
    const ref = this.#alive.get(buffer);
    if (!ref || !this.#all.delete(ref)) return;
    this.bytes -= buffer.size;
    buffer.destroy();
  }

  /** Destroys all: a device that is not Thaw's own outlives it. */
  close(): void {
    for (const ref of this.#all) {
      const buffer = ref.deref();
      if (buffer) this.destroy(buffer);
    }
  }

  /**
   * Buffers for a plan's slots, shared with every other plan of the device: plans run one after another. Each slot
   * takes the smallest free buffer that holds it; `made` are those that had to be made.
   */
  slots(sizes: readonly number[]): { slots: DeviceBuffer[]; made: DeviceBuffer[] } {
    const free = [...this.#slots];
    const made: DeviceBuffer[] = [];
    const order = sizes.map((_, i) => i).sort((a, b) => sizes[b] - sizes[a]);
    const out = new Array<DeviceBuffer>(sizes.length);
    for (const i of order) {
      let best = -1;
      free.forEach((b, k) => {
        if (b.size >= sizes[i] && (best < 0 || b.size < free[best].size)) best = k;
      });
      if (best >= 0) out[i] = free.splice(best, 1)[0];
      else {
        out[i] = this.storage("slot", sizes[i]);
        this.#slots.push(out[i]);
        made.push(out[i]);
      }
    }
    return { slots: out, made };
  }

  /** Takes slots out of the pool again: the device had no memory for them. */
  dropSlots(slots: readonly DeviceBuffer[]): void {
    for (const b of slots) {
      this.#slots.splice(this.#slots.indexOf(b), 1);
      this.destroy(b);
    }
  }

  /** Bytes held in slots. */
  get slotBytes(): number {
    return this.#slots.reduce((n, b) => n + b.size, 0);
  }

  write(buffer: DeviceBuffer, offset: number, data: ArrayBufferView): void {
    let bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (bytes.length % 4 !== 0) {
      // Writes are whole words: pictures of odd size are padded.
      const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
      whole.set(bytes);
      bytes = whole;
    }
    this.#gpu.guard(() => this.#gpu.device.queue.writeBuffer(buffer, offset, bytes));
  }

  /** A copy of a range's bytes on the host. */
  async read(buffer: DeviceBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    const size = Math.ceil(bytes / 4) * 4;
    const { device } = this.#gpu;
    const at = this.#staging.findIndex((b) => b.size >= size && b.size <= Math.max(65_536, 4 * size));
    const staging =
      at >= 0
        ? this.#staging.splice(at, 1)[0]
        : this.#make("readback", Math.max(size, 4096), MAP_READ | COPY_DST);
    this.#gpu.guard(() => {
      const encoder = device.createCommandEncoder({ label: "readback" });
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
      device.queue.submit([encoder.finish()]);
    });
    try {
      await staging.mapAsync(MAP_READ, 0, size);
    } catch (error) {
      this.#gpu.check();
      throw error;
    }
    const copy = staging.getMappedRange(0, size).slice(0, bytes);
    staging.unmap();
    if (this.#staging.length < 8) this.#staging.push(staging);
    else this.destroy(staging);
    return copy;
  }
}
