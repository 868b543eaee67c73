// Decoding of picture files to RGB bytes: the door to decode.node.ts, which is loaded on first use so that a browser
// bundle carries neither sharp nor Node's file system.
import { ThawError } from "../core/error.ts";
import type { Picture } from "./picture.ts";

export interface DecodeOptions {
  /** Pictures with more pixels are refused; by default 178,956,970, where Pillow refuses too. */
  readonly pixelLimit?: number;
  /** What messages call a picture that is given as bytes. */
  readonly name?: string;
}

async function node(): Promise<typeof import("./decode.node.ts")> {
  if (typeof process !== "object" || !process.versions?.node) {
    throw new ThawError(
      "picture files are decoded in Node only: here, draw the picture and pass its pixels to rgbFrom",
    );
  }
  return import("./decode.node.ts");
}

/**
 * Decodes a picture file, or the bytes of one, to RGB: JPEG, PNG, WebP, GIF and TIFF (first frame), AVIF.
 *
 * The pixels are those of Pillow's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")`: EXIF orientation applied,
 * grey repeated, palettes looked up, alpha dropped without blending, CMYK inverted, ICC profiles ignored. Bit-equal
 * to Pillow 9.4 on every file of the test fixtures and on 4,720 real JPEG and PNG files (libjpeg-turbo 2.1.5 there,
 * mozjpeg here). Two deliberate differences: 16-bit grey keeps its high byte (Pillow clips at 255, so nearly all
 * turns white), and transparent pixels of a GIF are black (Pillow shows the palette entry behind them).
 *
 * Throws DataError, one sentence that names the file and the reason, for a file that is missing, empty, no picture,
 * cut short, damaged, or larger than `pixelLimit`; ThawError where sharp is not installed.
 */
export async function decode(source: string | Uint8Array, options: DecodeOptions = {}): Promise<Picture> {
  const { decodeBytes, decodeFile } = await node();
  if (typeof source === "string") return decodeFile(source, options);
  return decodeBytes(source, options.name ?? "the picture", options);
}
