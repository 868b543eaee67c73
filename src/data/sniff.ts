// What kind of file some bytes are, by their first bytes. Names lie (text renamed .jpg, SVG called .png), and sharp
// would happily render an SVG or a PDF; so the bytes decide, and what is no raster picture is refused by name.

/** Kinds of file that are decoded. */
export type PictureFormat = "jpeg" | "png" | "webp" | "gif" | "tiff" | "avif";

/** Either a format, or in one phrase why these bytes are no picture ("is empty"). */
export type Sniffed = { readonly format: PictureFormat } | { readonly problem: string };

const ascii = (bytes: Uint8Array, from: number, to: number) =>
  String.fromCharCode(...bytes.subarray(from, to));

/** Recognises JPEG, PNG, WebP, GIF, TIFF and AVIF; anything else comes back as a phrase for the user. */
export function sniff(bytes: Uint8Array): Sniffed {
  if (bytes.length === 0) return { problem: "is empty (zero bytes)" };
  const head = ascii(bytes, 0, 12);
  if (head.startsWith("\xff\xd8\xff")) return { format: "jpeg" };
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return { format: "png" };
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") return { format: "webp" };
  if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) return { format: "gif" };
  if (/^(II[*+]\0|MM\0[*+])/.test(head)) return { format: "tiff" };
  if (head.slice(4, 8) === "ftyp") {
    const brands = ascii(bytes, 8, 32);
    if (/avi[fs]/.test(brands)) return { format: "avif" };
    return { problem: "is an HEIC or video file, which cannot be decoded: convert it to JPEG or PNG" };
  }
  return { problem: describe(bytes, head) };
}

/** Says what an unusable file looks like, as precisely as its first bytes allow. */
function describe(bytes: Uint8Array, head: string): string {
  if (head.startsWith("BM")) return "is a BMP, which cannot be decoded: convert it to PNG";
  if (/^P[1-6][\s#]/.test(head))
    return "is a PNM (PBM, PGM, PPM), which cannot be decoded: convert it to PNG";
  if (head.startsWith("%PDF")) return "is a PDF, not a picture";
  if (head.startsWith("PK\x03\x04")) return "is a zip archive, not a picture";
  if (ascii(bytes, 128, 132) === "DICM") return "is a DICOM file, which cannot be decoded: convert it to PNG";
  if (bytes.subarray(0, 64).every((b) => b === 0)) return "is filled with zeros, not a picture";
  const text = ascii(bytes, 0, 256);
  if (text.startsWith("version https://git-lfs")) return "is a Git LFS pointer: fetch the real file first";
  if (/^\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg/is.test(text))
    return "is an SVG drawing, not a raster picture";
  if (/^\s*<(!doctype html|html)/i.test(text)) return "is a web page (HTML), not a picture";
  if (/^[\t\n\r\x20-\x7e\x80-\xff]*$/.test(text)) return "is text, not a picture";
  return "is not a picture that can be decoded (JPEG, PNG, WebP, GIF, TIFF, AVIF)";
}

/** The number of colour components that a JPEG's frame header declares (4 is CMYK), or 0 when none is found. */
export function jpegComponents(bytes: Uint8Array): number {
  let p = 2;
  while (p + 9 < bytes.length) {
    if (bytes[p] !== 0xff) return 0;
    const marker = bytes[p + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return bytes[p + 9];
    const bare = marker === 0xff || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    p += marker === 0xff ? 1 : bare ? 2 : 2 + ((bytes[p + 2] << 8) | bytes[p + 3]);
  }
  return 0;
}
