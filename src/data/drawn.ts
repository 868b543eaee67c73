// Pictures that a page has already, or lets its browser decode, to pixels: they are drawn on a canvas. What the browser
// does is not Pillow's arithmetic: JPEG pixels may differ by a few steps, and those under transparency are lost.

import { DataError, messageOf, UsageError } from "../core/error.ts";
import { type Picture, rgbFrom } from "./picture.ts";

/** An <img>, a canvas, an OffscreenCanvas or an ImageBitmap: what `drawImage` takes. */
export interface Drawable {
  readonly width: number;
  readonly height: number;
}

const inPage = () => typeof OffscreenCanvas === "function";

/** Whether it is something that this page can draw. Pixels that lie in memory are not. */
export function isDrawable(x: unknown): x is Drawable {
  if (!inPage() || typeof x !== "object" || x === null) return false;
  return "width" in x && "height" in x && !("data" in x);
}

/** Its pixels at its own size. Throws DataError when it has none yet, or none that the page may read. */
export function drawn(x: Drawable): Picture {
  const { naturalWidth: w = x.width, naturalHeight: h = x.height } = x as Partial<HTMLImageElement>;
  if (!(w > 0 && h > 0))
    throw new DataError("the picture has no pixels: wait until it is loaded, as by image.decode()");
  const context = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
  if (!context) throw new DataError(`this browser makes no canvas of ${w}×${h}`);
  try {
    context.drawImage(x as CanvasImageSource, 0, 0);
    return rgbFrom(context.getImageData(0, 0, w, h).data, h, w, 4);
  } catch (error) {
    if (error instanceof TypeError)
      throw new UsageError(`the picture is nothing that can be drawn (${error.message})`);
    throw new DataError(
      `the page may not read the picture's pixels (${messageOf(error)}): serve it from this origin, or with CORS`,
    );
  }
}

/** Decodes a picture file as this browser does: EXIF orientation applied, ICC profiles ignored. */
export async function decodeDrawn(file: Blob, name: string, pixelLimit: number): Promise<Picture> {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new DataError(`${name} cannot be decoded by this browser`);
  });
  try {
    if (bitmap.width * bitmap.height > pixelLimit)
      throw new DataError(`${name} cannot be decoded: it has more than ${pixelLimit} pixels`);
    return drawn(bitmap);
  } finally {
    bitmap.close();
  }
}
