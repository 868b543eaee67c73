// Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A value depends on (seed, stream, counter) alone, so the host, the GPU (`dropout.wgsl`) and
// the NumPy twin in test/fixtures agree bit for bit, whatever the order in which values are drawn.

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];

/** Encrypts the counter (c0, c1) under the key (k0, k1): two independent uniform 32-bit words. */
export function threefry(k0: number, k1: number, c0: number, c1: number): [number, number] {
  const ks = [k0 >>> 0, k1 >>> 0, (0x1bd11bda ^ k0 ^ k1) >>> 0];
  let x0 = (c0 + ks[0]) >>> 0;
  let x1 = (c1 + ks[1]) >>> 0;
  for (let round = 0; round < 20; round++) {
    const r = ROTATIONS[round % 8];
    x0 = (x0 + x1) >>> 0;
    x1 = (((x1 << r) | (x1 >>> (32 - r))) ^ x0) >>> 0;
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x0 = (x0 + ks[s % 3]) >>> 0;
      x1 = (x1 + ks[(s + 1) % 3] + s) >>> 0;
    }
  }
  return [x0, x1];
}

/** A seed as the two key words; seeds are whole numbers from 0 to 2⁵³-1. */
export function seedWords(seed: number): [number, number] {
  return [seed >>> 0, Math.floor(seed / 0x1_0000_0000) >>> 0];
}

/**
 * A stream of random numbers: word `i` is `threefry(seed, [i >> 1, stream])[i & 1]`.
 * Two generators of one seed and stream give the same numbers on every machine.
 */
export class Generator {
  readonly seed: number;
  readonly stream: number;
  /** How many words have been drawn; setting it continues the stream there. */
  position = 0;
  readonly #key: [number, number];
  #block = -1;
  #words: [number, number] = [0, 0];

  constructor(seed: number, stream = 0) {
    this.seed = seed;
    this.stream = stream >>> 0;
    this.#key = seedWords(seed);
  }

  /** A uniform 32-bit word. */
  word(): number {
    const i = this.position++;
    const block = Math.floor(i / 2);
    if (block !== this.#block) {
      this.#words = threefry(this.#key[0], this.#key[1], block >>> 0, this.stream);
      this.#block = block;
    }
    return this.#words[i % 2];
  }

  /** Uniform in [0, 1) with 24 bits, exact in f32. */
  uniform(): number {
    return (this.word() >>> 8) / 0x100_0000;
  }

  /** Uniform whole number in 0…n-1, from 53 random bits. */
  integer(n: number): number {
    const hi = this.word() >>> 5;
    const lo = this.word() >>> 6;
    return Math.floor(((hi * 0x400_0000 + lo) / 0x20_0000_0000_0000) * n);
  }

  /** Standard normal by Box and Muller's method in float64. */
  normal(): number {
    const u = (this.word() + 1) / 0x1_0000_0000;
    const v = this.word() / 0x1_0000_0000;
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  }

  /** Shuffles in place (Fisher and Yates) and returns the array. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  }
}
