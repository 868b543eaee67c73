// Decoding by sharp (libvips) in Node. sharp works in libuv's pool, and every conversion of an ordinary file happens
// inside libvips, so no worker thread of our own is needed: measured on two cores, four at a time, the event loop is
// late by 2 ms for MedNIST (1.1 ms a picture) and 5 ms for 500×375 photographs (2.0 ms) at the 99th percentile.
import { readFile } from "node:fs/promises";
import type { Sharp, SharpOptions } from "sharp";
import { DataError, messageOf, ThawError } from "../core/error.ts";
import type { DecodeOptions } from "./decode.ts";
import { type Picture, rgbFrom, rgbFromCmyk } from "./picture.ts";
import { jpegComponents, type PictureFormat, sniff } from "./sniff.ts";
import { Turns } from "./turns.ts";

type SharpModule = (input: Uint8Array, options: SharpOptions) => Sharp;

let loading: Promise<SharpModule> | undefined;

function loadSharp(): Promise<SharpModule> {
  loading ??= import("sharp").then(
    (module) => module.default,
    (error) => {
      throw new ThawError(
        `decoding pictures needs the package sharp, which did not load: npm install sharp (${firstLine(error)})`,
      );
    },
  );
  return loading;
}

type Limit = Required<Pick<DecodeOptions, "pixelLimit">>;

const firstLine = (error: unknown) => messageOf(error).split("\n")[0].trim();

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === "ENOENT"
        ? "there is no such file"
        : code === "EISDIR"
          ? "it is a folder"
          : code === "EACCES"
            ? "permission denied"
            : firstLine(error);
    throw new DataError(`${path} cannot be read: ${reason}`);
  }
}

/** sharp's text without the names of its loaders, and without what only a programmer could mend. */
function reasonOf(error: unknown, limit: number): string {
  const text = firstLine(error).replace(/^Input buffer has corrupt header: ?/, "");
  if (/exceeds pixel limit/.test(text)) return `it has more than ${limit} pixels`;
  const plain = text.replace(/^(VipsJpeg|vipspng|webp2vips|gifload_buffer|[a-z]+load_buffer|webp): ?/, "");
  if (/premature end|unexpected end/i.test(plain)) return `the file is cut short (${plain})`;
  return plain === "" ? "the file is damaged" : plain;
}

function refuse(bytes: Uint8Array, name: string): PictureFormat {
  const found = sniff(bytes);
  if ("problem" in found) throw new DataError(`${name} ${found.problem}`);
  return found.format;
}

/** CMYK is asked for raw, because libvips would convert it by an ICC profile, which Pillow does not. */
async function isCmyk(bytes: Uint8Array, format: PictureFormat, open: () => Sharp): Promise<boolean> {
  if (format === "jpeg") return jpegComponents(bytes) === 4;
  if (format !== "tiff") return false;
  const { space, depth } = await open().metadata();
  if (depth !== "uchar" && depth !== "ushort")
    throw new Error(`samples of type ${depth} have no defined range`);
  return space === "cmyk";
}

/**
 * libvips writes the messages of all threads into one buffer, so beside other decodes a failure may come with another
 * picture's reason, or with none: what fails is decoded once more alone, to be told by its own.
 */
const turns = new Turns();

/** `decode` of decode.ts for bytes already in memory; `name` is what messages call them. */
export async function decodeBytes(
  bytes: Uint8Array,
  name: string,
  { pixelLimit: limit }: Limit,
): Promise<Picture> {
  const format = refuse(bytes, name);
  const sharp = await loadSharp();
  const pixels = () => pixelsOf(bytes, format, sharp, limit);
  try {
    return await turns.beside(pixels).catch(() => turns.alone(pixels));
  } catch (error) {
    if (error instanceof ThawError) throw error;
    throw new DataError(`${name} (${format.toUpperCase()}) cannot be decoded: ${reasonOf(error, limit)}`);
  }
}

async function pixelsOf(
  bytes: Uint8Array,
  format: PictureFormat,
  sharp: SharpModule,
  limitInputPixels: number,
): Promise<Picture> {
  const open = () =>
    sharp(bytes, { failOn: "error", ignoreIcc: true, autoOrient: true, limitInputPixels, pages: 1 });
  const cmyk = await isCmyk(bytes, format, open);
  const pipeline = cmyk
    ? open().pipelineColourspace("cmyk").toColourspace("cmyk")
    : open().removeAlpha().toColourspace("srgb");
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true });
  if (cmyk && info.channels === 4) return rgbFromCmyk(data, info.height, info.width);
  return rgbFrom(data, info.height, info.width, info.channels);
}

/** `decode` of decode.ts for a file. */
export async function decodeFile(path: string, options: Limit): Promise<Picture> {
  return decodeBytes(await read(path), path, options);
}
