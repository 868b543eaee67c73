// Decoding of picture files to RGB bytes: the door to decode.node.ts, which is loaded on first use so that a browser
// bundle carries neither sharp nor Node's file system. A page decodes by its browser (drawn.ts).
import { inNode } from "../core/env.ts";
import { UsageError } from "../core/error.ts";
import { decodeDrawn } from "./drawn.ts";
import type { Picture } from "./picture.ts";

export interface DecodeOptions {
  /** Pictures with more pixels are refused; by default 178,956,970, where Pillow refuses too. */
  readonly pixelLimit?: number;
  /** What messages call a picture that is given as bytes. */
  readonly name?: string;
}

/** Twice Pillow's MAX_IMAGE_PIXELS: where Pillow raises DecompressionBombError. */
const PIXEL_LIMIT = 178_956_970;

/**
 * Decodes a picture file, or the bytes of one, to RGB: JPEG, PNG, WebP, GIF and TIFF (first frame), AVIF. A page has
 * no files by path, and decodes bytes and Blobs by its browser, in the formats that this knows.
 *
 * In Node the pixels are those of Pillow's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")`: EXIF orientation
 * applied, grey repeated, palettes looked up, alpha dropped without blending, CMYK inverted, ICC profiles ignored.
 * Bit-equal to Pillow 9.4 on every file of the test fixtures and on 4,720 real JPEG and PNG files (libjpeg-turbo 2.1.5
 * there, mozjpeg here). Two deliberate differences: 16-bit grey keeps its high byte (Pillow clips at 255, so nearly all
 * turns white), and transparent pixels of a GIF are black (Pillow shows the palette entry behind them).
 *
 * Throws DataError, one sentence that names the file and the reason, for a file that is missing, empty, no picture,
 * cut short, damaged, or larger than `pixelLimit`; ThawError where sharp is not installed; UsageError for a path in a
 * page.
 */
export async function decode(
  source: string | Uint8Array | Blob,
  options: DecodeOptions = {},
): Promise<Picture> {
  const { name = "the picture", pixelLimit = PIXEL_LIMIT } = options;
  if (!inNode()) {
    if (typeof source === "string")
      throw new UsageError(
        `${source}: there are no paths in a page; fetch the picture and give the Blob or its bytes, or give an <img>, a canvas, an ImageBitmap or ImageData`,
      );
    const file = source instanceof Blob ? source : new Blob([source as BlobPart]);
    return decodeDrawn(file, name, pixelLimit);
  }
  const { decodeBytes, decodeFile } = await import("./decode.node.ts");
  if (typeof source === "string") return decodeFile(source, { pixelLimit });
  const bytes = source instanceof Blob ? new Uint8Array(await source.arrayBuffer()) : source;
  return decodeBytes(bytes, name, { pixelLimit });
}
