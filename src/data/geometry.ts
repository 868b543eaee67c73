// The sizes and offsets that torchvision's Resize and CenterCrop come to: whole-number rules, no pixels.
import { UsageError } from "../core/error.ts";

/** A half rounds to the even neighbour, as Python's `round`. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Height and width after torchvision's `Resize(size)` with one number: the short side becomes `size`, the long one
 * `int(size · long / short)`, truncated (`_compute_resized_output_size`, torchvision 0.14).
 * Throws UsageError when `size` is no positive whole number.
 */
export function resizeShortSide(h: number, w: number, size: number): { height: number; width: number } {
  if (!Number.isInteger(size) || size < 1) {
    throw new UsageError(`resize: the short side must be a whole number of at least 1, not ${size}`);
  }
  const long = Math.trunc((size * Math.max(h, w)) / Math.min(h, w));
  return w <= h ? { height: long, width: size } : { height: size, width: long };
}

/**
 * Where torchvision's `CenterCrop((th, tw))` lies in a picture of h × w: `int(round((h - th) / 2))`, a half to the
 * even side. Negative where the crop is larger than the picture: torchvision then pads with black, the smaller half
 * before (`(th - h) // 2`).
 */
export function centerCropOffset(
  h: number,
  w: number,
  th: number,
  tw: number,
): { top: number; left: number } {
  const along = (size: number, crop: number) =>
    crop > size ? 0 - Math.floor((crop - size) / 2) : roundHalfEven((size - crop) / 2);
  return { top: along(h, th), left: along(w, tw) };
}
