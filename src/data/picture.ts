// What the rest of Thaw knows of a picture and of a data set. Any source of pictures that has these few members can
// be trained on; the folder reader is only one of them. No file, decoder or thread is named here.
import { DataError } from "../core/error.ts";

/** A decoded picture: RGB bytes row by row (HWC, `data.length = height · width · 3`). Treat `data` as read-only. */
export interface Picture {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** A finite labelled source of pictures, addressed by number from 0 to `length - 1`. */
export interface Dataset {
  readonly length: number;
  /** Class names; `label` counts in them. */
  readonly classes: readonly string[];
  /** The class number of picture `i`. */
  label(i: number): number;
  /** Decodes picture `i`; rejects with a DataError that names the file when that one picture is unusable. */
  get(i: number): Promise<Picture>;
  /** What to call picture `i` in messages and tables, e.g. its file. */
  path?(i: number): string;
}

/** One labelled picture on its way into a batch. */
export interface Sample extends Picture {
  readonly label: number;
  /** Its number in the data set: with seed and epoch the key of its augmentation. */
  readonly index: number;
  readonly path: string;
  /** Its place in the order of the epoch, counting unreadable pictures too: where a resumed epoch goes on. */
  readonly position: number;
}

/** Pictures that could not be read, by number, with the reason. */
export type Unreadable = Map<number, DataError>;

/** The name of picture `i` for messages. */
export function nameOf(dataset: Dataset, i: number): string {
  return dataset.path?.(i) ?? `picture ${i}`;
}

/**
 * RGB from interleaved bytes of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA, e.g. a canvas' ImageData) channels,
 * as Pillow's `convert("RGB")` does it: grey is repeated, alpha is dropped without blending.
 * Three channels are returned as they are, without a copy. Throws DataError on any other layout.
 */
export function rgbFrom(
  data: Uint8Array | Uint8ClampedArray,
  height: number,
  width: number,
  channels: number,
): Picture {
  const n = height * width;
  if (![1, 2, 3, 4].includes(channels) || data.length !== n * channels) {
    throw new DataError(
      `a picture of ${height}×${width} with ${channels} channels cannot have ${data.length} bytes`,
    );
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
  if (channels === 3) return { data: bytes, height, width };
  const out = new Uint8Array(n * 3);
  const step = channels === 4 ? 1 : 0;
  for (let i = 0, j = 0; i < bytes.length; i += channels, j += 3) {
    out[j] = bytes[i];
    out[j + 1] = bytes[i + step];
    out[j + 2] = bytes[i + 2 * step];
  }
  return { data: out, height, width };
}

/** a · b / 255, rounded, as Pillow's MULDIV255. */
function mulDiv255(a: number, b: number): number {
  const t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

/** RGB from CMYK bytes (255 is full ink) by Pillow's `cmyk2rgb` in Convert.c: no colour management. */
export function rgbFromCmyk(data: Uint8Array, height: number, width: number): Picture {
  const out = new Uint8Array(height * width * 3);
  for (let i = 0, j = 0; j < out.length; i += 4, j += 3) {
    const light = 255 - data[i + 3];
    for (let c = 0; c < 3; c++) out[j + c] = Math.max(0, light - mulDiv255(data[i + c], light));
  }
  return { data: out, height, width };
}
