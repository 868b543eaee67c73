// Noise for the drawer: hashed whole numbers, because a picture needs thousands of values and only has to look noisy.

/** A well mixed 32-bit hash of a 32-bit number (lowbias32 by Ettinger, public domain). */
function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Uniform in [0, 1), decided by the seed and two whole numbers. */
export function hashed(seed: number, x: number, y: number): number {
  return mix(seed ^ Math.imul(x, 0x9e3779b1) ^ mix(y + 0x85ebca6b)) / 0x1_0000_0000;
}

/** Noise around 0 in (-1, 1), of variance 1/6: the difference of two uniform numbers. */
export function grain(seed: number, i: number): number {
  const h = mix(seed ^ Math.imul(i, 0x9e3779b1));
  return ((h & 0xffff) - (h >>> 16)) / 0x1_0000;
}

const smooth = (t: number) => t * t * (3 - 2 * t);

/** Smooth noise in [0, 1] with about one hill or dale in each unit square. */
export function hills(seed: number, u: number, v: number): number {
  const [x, y] = [Math.floor(u), Math.floor(v)];
  const [a, b] = [smooth(u - x), smooth(v - y)];
  const top = hashed(seed, x, y) * (1 - a) + hashed(seed, x + 1, y) * a;
  const bottom = hashed(seed, x, y + 1) * (1 - a) + hashed(seed, x + 1, y + 1) * a;
  return top * (1 - b) + bottom * b;
}
