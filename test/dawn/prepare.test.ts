// Resize and crop on the device: bit-equal to the Pillow reference for pictures of all sorts of sizes in one call.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Generator } from "../../src/core/random.ts";
import { centerCropOffset, resizeShortSide } from "../../src/data/geometry.ts";
import type { Picture } from "../../src/data/picture.ts";
import { normalizePictures, type PrepareSpec, prepare, stackPictures } from "../../src/data/prepare.ts";
import { resizeReference } from "../../src/data/resize.ts";
import { close, init } from "../../src/index.ts";
import { plansOf } from "../lib/engine.ts";
import { testOptions } from "../lib/test_options.ts";

beforeAll(() => init(testOptions()));
afterAll(close);

function picture(height: number, width: number, seed: number): Picture {
  const random = new Generator(seed);
  return { height, width, data: Uint8Array.from({ length: height * width * 3 }, () => random.integer(256)) };
}

const spec = (resize: number, crop: number, interpolation: PrepareSpec["interpolation"]): PrepareSpec => ({
  resize,
  crop,
  interpolation,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
});

/** Pillow's resize, then torchvision's centre crop. */
function reference(p: Picture, s: PrepareSpec): Uint8Array {
  const { height, width } = resizeShortSide(p.height, p.width, s.resize);
  const resized = resizeReference(p.data, p.height, p.width, height, width, s.interpolation);
  const { top, left } = centerCropOffset(height, width, s.crop, s.crop);
  const out = new Uint8Array(s.crop * s.crop * 3);
  for (let y = 0; y < s.crop; y++) {
    for (let x = 0; x < s.crop; x++) {
      const [sy, sx] = [y + top, x + left];
      if (sy < 0 || sy >= height || sx < 0 || sx >= width) continue;
      for (let c = 0; c < 3; c++) out[(y * s.crop + x) * 3 + c] = resized[(sy * width + sx) * 3 + c];
    }
  }
  return out;
}

const SIZES = [
  [64, 64],
  [100, 75],
  [31, 97],
  [1, 1],
  [2, 300],
  [224, 224],
  [7, 5],
  [333, 222],
  [64, 65],
  [48, 200],
];

describe("prepare", () => {
  it.each([
    [64, 56, "bilinear"],
    [64, 64, "bicubic"],
    [37, 33, "bicubic"],
    [20, 32, "bilinear"],
    [40, 40, "nearest"],
    [40, 31, "box"],
  ] as const)("short side %i, crop %i, %s", async (resize, crop, filter) => {
    const pictures = SIZES.map(([h, w], i) => picture(h, w, i));
    const s = spec(resize, crop, filter);
    const got = await prepare(pictures, s);
    pictures.forEach((p, i) => {
      expect(Buffer.from(got[i]).equals(Buffer.from(reference(p, s))), `${p.height}×${p.width}`).toBe(true);
    });
  });

  it("leaves pictures of the right size as they are", async () => {
    const p = picture(32, 32, 1);
    expect((await prepare([p], spec(32, 32, "bilinear")))[0]).toBe(p.data);
  });

  it("finds its plan again for other pictures of like sizes", async () => {
    const s = spec(24, 24, "bilinear");
    await prepare([picture(50, 60, 1), picture(61, 50, 2)], s);
    expect(await plansOf(() => prepare([picture(55, 58, 3), picture(52, 63, 4)], s))).toEqual([]);
  });

  it("normalises as ToTensor and Normalize do", async () => {
    const s = spec(8, 8, "bilinear");
    const p = picture(8, 8, 5);
    const x = await normalizePictures(stackPictures([p.data], 8), s).data();
    for (let i = 0; i < x.length; i++) {
      const [c, at] = [Math.floor(i / 64), i % 64];
      const want = (p.data[at * 3 + c] / 255 - s.mean[c]) / s.std[c];
      expect(Math.abs(x[i] - want)).toBeLessThan(1e-6);
    }
  });

  it("refuses sizes that are no sizes", async () => {
    await expect(prepare([picture(3, 3, 1)], spec(0, 8, "bilinear"))).rejects.toThrow(
      /resize must be a whole number/,
    );
  });
});
