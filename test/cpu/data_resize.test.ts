// The plain resize against Pillow's own results (test/fixtures/resize/make.py), its table as the kernel reads it,
// and torchvision's rules of size.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Generator } from "../../src/core/random.ts";
import { centerCropOffset, resizeShortSide } from "../../src/data/geometry.ts";
import { type ResizeBox, type ResizeFilter, resampleCoeffs, resizeReference } from "../../src/data/resize.ts";
import expected from "../fixtures/resize/expected.json" with { type: "json" };

const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 12);

/** The twin of `picture` in make.py. */
function picture(kind: string, h: number, w: number): Uint8Array {
  const random = new Generator(h * 1000 + w);
  const bytes = Uint8Array.from({ length: h * w * 3 }, () => random.word() >>> 24);
  return kind === "noise" ? bytes : bytes.map((b) => (b < 128 ? 0 : 255));
}

type Row = [ResizeFilter, number, number, number, number, string, string, number[]?];

describe("resizeReference", () => {
  it.each(["nearest", "box", "bilinear", "bicubic"])("%s is bit-equal to Pillow 9.4", (name) => {
    const rows = (expected.resizes as unknown as Row[]).filter((r) => r[0] === name);
    expect(rows.length).toBeGreaterThan(40);
    for (const [filter, h, w, outH, outW, kind, hash, box] of rows) {
      const options = box ? { box: box as unknown as ResizeBox } : {};
      const out = resizeReference(picture(kind, h, w), h, w, outH, outW, filter, options);
      expect.soft(sha(out), `${filter} ${kind} ${h}×${w} to ${outH}×${outW} box ${box}`).toBe(hash);
    }
  });

  it("treats one channel as one of three", () => {
    const grey = picture("noise", 11, 21).subarray(0, 11 * 21);
    const rgb = Uint8Array.from({ length: grey.length * 3 }, (_, i) => grey[Math.floor(i / 3)]);
    const small = resizeReference(grey, 11, 21, 5, 9, "bicubic", { channels: 1 });
    const three = resizeReference(rgb, 11, 21, 5, 9, "bicubic");
    expect(three).toEqual(Uint8Array.from({ length: 135 }, (_, i) => small[Math.floor(i / 3)]));
  });

  it("refuses bytes that are not the picture, sizes of nothing and unknown filters", () => {
    expect(() => resizeReference(new Uint8Array(10), 2, 2, 1, 1, "box")).toThrow(/10 bytes are not 2×2/);
    expect(() => resampleCoeffs(4, 0, "box")).toThrow(/at least 1, not 4 to 0/);
    expect(() => resampleCoeffs(4, 1.5, "box")).toThrow(/whole numbers/);
    expect(() => resampleCoeffs(4, 2, "lanczos" as ResizeFilter)).toThrow(/unknown filter lanczos/);
    expect(() => resampleCoeffs(4, 2, "box", 3, 5)).toThrow(/does not lie within 4/);
  });
});

describe("resampleCoeffs", () => {
  it("lays out rows of ksize weights inside the axis, zero beyond their count", () => {
    const { ksize, bounds, weights } = resampleCoeffs(7, 4, "bilinear");
    expect([ksize, weights.length]).toEqual([5, 20]);
    // Centres 0.875, 2.625 … reach 1.75 to both sides; rounded, and cut at the ends.
    expect([...bounds]).toEqual([0, 3, 1, 3, 3, 3, 4, 3]);
    for (let o = 0; o < 4; o++) {
      const [xmin, count] = [bounds[2 * o], bounds[2 * o + 1]];
      expect(xmin).toBeGreaterThanOrEqual(0);
      expect(xmin + count).toBeLessThanOrEqual(7);
      expect([...weights.subarray(o * ksize + count, (o + 1) * ksize)].every((w) => w === 0)).toBe(true);
    }
  });

  it("gives any rows of the whole table", () => {
    for (const filter of ["nearest", "box", "bilinear", "bicubic"] as const) {
      const whole = resampleCoeffs(37, 23, filter);
      const part = resampleCoeffs(37, 23, filter, 0, 37, [5, 19]);
      expect(part.bounds).toEqual(whole.bounds.slice(10, 38));
      expect(part.weights).toEqual(whole.weights.slice(5 * whole.ksize, 19 * whole.ksize));
    }
  });

  it("keeps every partial sum within 32 bits and every row near one", () => {
    let largest = 0;
    for (const filter of ["nearest", "box", "bilinear", "bicubic"] as const) {
      for (let inSize = 1; inSize <= 130; inSize += filter === "bicubic" ? 1 : 7) {
        for (let outSize = 1; outSize <= 130; outSize++) {
          const { ksize, weights } = resampleCoeffs(inSize, outSize, filter);
          for (let o = 0; o < outSize; o++) {
            const row = weights.subarray(o * ksize, (o + 1) * ksize);
            const sum = row.reduce((a, b) => a + b, 0);
            const positive = row.reduce((a, b) => a + Math.max(0, b), 0);
            if (Math.abs(sum - 2 ** 22) > ksize / 2)
              expect.fail(`${filter} ${inSize} to ${outSize}: sum ${sum}`);
            largest = Math.max(largest, positive);
          }
        }
      }
    }
    expect(largest * 255 + 2 ** 21).toBeLessThan(2 ** 31);
    expect(largest / 2 ** 22).toBeCloseTo(1.1344, 3); // as the proof in resize.ts says
  });

  it("copies when nothing changes, so that a pass may be skipped", () => {
    const data = picture("extreme", 6, 6);
    for (const f of ["nearest", "box", "bilinear", "bicubic"] as const) {
      expect(resizeReference(data, 6, 6, 6, 6, f)).toEqual(data);
    }
  });
});

describe("torchvision's sizes", () => {
  it("Resize(size) scales the short side and truncates the long one", () => {
    for (const [h, w, size, height, width] of expected.shortSides) {
      expect.soft(resizeShortSide(h, w, size), `${h}×${w} to ${size}`).toEqual({ height, width });
    }
    expect(() => resizeShortSide(4, 4, 0)).toThrow(/at least 1, not 0/);
  });

  it("CenterCrop rounds halves to even and pads what is too small", () => {
    for (const [h, w, th, tw, top, left] of expected.centers) {
      expect.soft(centerCropOffset(h, w, th, tw), `${h}×${w} to ${th}×${tw}`).toEqual({ top, left });
    }
  });
});
