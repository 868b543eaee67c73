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

  it("makes thin pictures, of which the crop keeps next to nothing", async () => {
    for (const [h, w] of [
      [2, 30_000],
      [30_000, 3],
    ]) {
      const p = picture(h, w, 1);
      const s = spec(24, 20, "bilinear");
      expect(Buffer.from((await prepare([p], s))[0]).equals(Buffer.from(reference(p, s)))).toBe(true);
    }
    // Resized whole, this one would be 33 thousand million pixels wide.
    const line = { height: 2, width: 3_000_000, data: new Uint8Array(18_000_000).fill(200) };
    const [made] = await prepare([line], spec(22_000, 32, "bilinear"));
    expect(made.every((v) => v === 200)).toBe(true);
  });

  it("leaves pictures of the right size as they are", async () => {
    const p = picture(32, 32, 1);
    expect((await prepare([p], spec(32, 32, "bilinear")))[0]).toBe(p.data);
  });

  it("finds its plan again for other pictures of like sizes", async () => {
    const s = spec(24, 24, "bilinear");
    await prepare([picture(56, 62, 1), picture(61, 57, 2)], s);
    expect(await plansOf(() => prepare([picture(55, 58, 3), picture(58, 60, 4)], s))).toEqual([]);
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

  it("puts blue first where the input wants that", async () => {
    const s = spec(8, 8, "bilinear");
    const bytes = stackPictures([picture(8, 8, 5).data, picture(8, 8, 6).data], 8);
    const [rgb, bgr] = await Promise.all(
      [s, { ...s, order: "bgr" as const }].map((v) => normalizePictures(bytes, v).data()),
    );
    for (let n = 0; n < 2; n++)
      for (let c = 0; c < 3; c++) {
        const plane = (of: Float32Array, k: number) => of.slice((3 * n + k) * 64, (3 * n + k + 1) * 64);
        expect(plane(bgr as Float32Array, c)).toEqual(plane(rgb as Float32Array, 2 - c));
      }
  });

  it("refuses sizes that are no sizes", async () => {
    await expect(prepare([picture(3, 3, 1)], spec(0, 8, "bilinear"))).rejects.toThrow(
      /resize must be a whole number/,
    );
  });
});

// A photograph of 12 megapixels has more rows than one axis of a grid has workgroups, one of 50 does not fit a binding of
// 128 MiB: the same happens to small ones under falsely small limits.
describe("pictures beyond the device's limits", () => {
  const big = picture(1200, 900, 1);
  const tall = picture(2500, 400, 2);
  const small = picture(50, 70, 3);

  async function expectEqual(pictures: readonly Picture[], s: PrepareSpec): Promise<void> {
    const got = await prepare(pictures, s);
    pictures.forEach((p, i) => {
      expect(Buffer.from(got[i]).equals(Buffer.from(reference(p, s))), `${p.height}×${p.width}`).toBe(true);
    });
  }

  it("more pixels between the passes than workgroups along x", async () => {
    await init(testOptions({ limits: { maxComputeWorkgroupsPerDimension: 300 } }));
    await expectEqual([big, tall, small], spec(64, 56, "bilinear"));
    await expectEqual([big], spec(300, 280, "bicubic"));
  });

  it.each([
    ["more bytes than a binding holds", 2 ** 20, [64, 56]],
    ["an odd limit, and a crop that does not divide into bands", 400_000, [45, 43]],
    ["a crop beyond the picture, all in bands", 300_000, [30, 64]],
    ["a crop of which a single row reads too much", 2 ** 20, [8, 8]],
    ["a crop that itself does not fit", 2 ** 17, [400, 390]],
  ] as const)("%s", async (_, limit, [resize, crop]) => {
    await init(testOptions({ limits: { maxStorageBufferBindingSize: limit } }));
    await expectEqual([small, big, small, tall], spec(resize, crop, "bilinear"));
    await expectEqual([big], spec(resize, crop, "bicubic"));
  });
});
