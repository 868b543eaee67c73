// Keys of random nodes: every run of a trace gets a fresh key from (seed, step), every random node in it a stream
// number of its own. So two dropouts on one tensor differ, a replayed plan draws anew, and a resumed run continues.

import { seedWords, threefry } from "../core/random.ts";
import { readScalars, Scalars } from "../graph/leaf.ts";
import type { Value } from "../graph/node.ts";

export class RandomKeys {
  seed: number;
  /** Keys given out so far: part of a checkpoint. */
  step = 0;
  #stream = 0;
  #scalars: Scalars | null = null;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** The key leaf of the running trace and the next stream number. */
  next(): { key: Value; stream: number } {
    this.#scalars ??= new Scalars("random key", "u32", 2, () => this.#draw());
    return { key: readScalars(this.#scalars), stream: this.#stream++ };
  }

  #draw(): readonly number[] {
    const [k0, k1] = seedWords(this.seed);
    const at = this.step++;
    return threefry(k0, k1, at >>> 0, 0x7468_6177);
  }

  nextTrace(): void {
    this.#stream = 0;
    this.#scalars = null;
  }

  /** Starts over with another seed. */
  reset(seed: number): void {
    this.seed = seed;
    this.step = 0;
    this.nextTrace();
  }
}
