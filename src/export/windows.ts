// Geometry of convolutions and pools as files say it: the padding behind the last window that stands for PyTorch's
// ceil mode, and average pools whose windows no stride describes, as matrices.

import type { Attrs } from "../graph/node.ts";

/** Attributes of conv2d, maxPool2d and avgPool2d as graph nodes have them; padding is [top, bottom, left, right]. */
export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
}

/** The window of a pool's attributes. */
export const windowOf = (attrs: Attrs): Window => attrs as unknown as Window;

/**
 * Rows and columns that the last window reaches beyond the padded input, at least 0: what ceil mode adds. `x` and `y`
 * are shapes [N, C, H, W].
 */
export function overhang(w: Window, x: readonly number[], y: readonly number[]): [number, number] {
  const along = (axis: 0 | 1) => {
    const span = w.dilation[axis] * (w.kernel[axis] - 1) + 1;
    const end = (y[2 + axis] - 1) * w.stride[axis] + span;
    return Math.max(0, end - x[2 + axis] - w.padding[2 * axis] - w.padding[2 * axis + 1]);
  };
  return [along(0), along(1)];
}

/** The window's size where adaptive windows over `size` elements lie side by side; null where they do not. */
export const tileSize = (size: number, out: number): number | null => (size % out === 0 ? size / out : null);

/** Adaptive averaging of `size` elements to `out` as a matrix [out, size], row-major. */
export function averaging(size: number, out: number): number[] {
  const m = new Array<number>(out * size).fill(0);
  for (let o = 0; o < out; o++) {
    const from = Math.floor((o * size) / out);
    const to = Math.ceil(((o + 1) * size) / out);
    m.fill(1 / (to - from), o * size + from, o * size + to);
  }
  return m;
}
