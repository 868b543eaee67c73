// The ring of small results (losses, counts): each run copies them here in its own command buffer, so that a loop that
// reads its losses later neither waits nor makes buffers. A slot that comes round again while its result is still
// wanted is saved to the host first, with all its neighbours in one readback.

import { viewBytes } from "../core/dtype.ts";
import { numel } from "../core/shape.ts";
import type { BufferStore, DeviceBuffer } from "../gpu/buffers.ts";
import type { Result } from "../graph/leaf.ts";

/** Largest result that goes through the ring, in bytes. */
export const RING_SLOT = 256;

/** Results that one run can leave in the ring; those beyond keep memory of their own, as large ones do. */
export const RING_SLOTS = 256;

export class Ring {
  readonly buffer: DeviceBuffer;
  readonly #buffers: BufferStore;
  readonly #held = new Array<Result | null>(RING_SLOTS).fill(null);
  #next = 0;

  constructor(buffers: BufferStore) {
    this.#buffers = buffers;
    this.buffer = buffers.storage("results", RING_SLOTS * RING_SLOT);
  }

  /** Byte offsets for `count` results of one run, at most RING_SLOTS; saves to the host what they overwrite and somebody may still read. */
  async take(count: number): Promise<number[]> {
    const slots = Array.from({ length: count }, (_, i) => (this.#next + i) % RING_SLOTS);
    this.#next = (this.#next + count) % RING_SLOTS;
    if (slots.some((s) => this.#held[s]?.needed)) await this.#save();
    return slots.map((s) => s * RING_SLOT);
  }

  hold(offset: number, result: Result): void {
    this.#held[offset / RING_SLOT] = result;
  }

  async #save(): Promise<void> {
    const bytes = await this.#buffers.read(this.buffer, 0, RING_SLOTS * RING_SLOT);
    this.#held.forEach((h, i) => {
      if (h?.needed) {
        const n = numel(h.shape);
        const own = bytes.slice(i * RING_SLOT, i * RING_SLOT + n * 4);
        h.location = { kind: "host", data: viewBytes(h.dtype, own, n) };
      }
      this.#held[i] = null;
    });
  }
}
