// Seeded bytes for pictures in tests.

/** Uniform bytes from a linear congruential generator (Numerical Recipes). */
export function fillUniform(length: number, seed: number): Uint8Array {
  const out = new Uint8Array(length);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 25;
  }
  return out;
}
