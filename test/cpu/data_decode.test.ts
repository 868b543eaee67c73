// Decoding against Pillow's pixels (test/fixtures/images/make.py), and what becomes of files that are no pictures.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataError } from "../../src/core/error.ts";
import { decode } from "../../src/data/decode.ts";
import { rgbFrom } from "../../src/data/picture.ts";
import expected from "../fixtures/images/expected.json" with { type: "json" };

const here = dirname(fileURLToPath(import.meta.url));
const images = resolve(here, "../fixtures/images");
const data = process.env.THAW_DATA ?? resolve(here, "../../../shared/data");

describe("decode gives Pillow's pixels", () => {
  it.each(Object.entries(expected))("%s", async (name, want) => {
    const got = await decode(join(images, name));
    expect([got.height, got.width]).toEqual([want.height, want.width]);
    expect(Buffer.from(got.data).toString("base64")).toBe(want.rgb);
  });

  it("from bytes as from the file", async () => {
    const path = join(images, "rgb420.jpg");
    expect(await decode(readFileSync(path))).toEqual(await decode(path));
  });
});

// Debian's Pillow, where there is one: the real pictures of ../shared/data, some of every folder.
const PILLOW = `
import sys, hashlib
from PIL import Image, ImageOps
for f in sys.stdin.read().split("\\n"):
    print(hashlib.sha256(ImageOps.exif_transpose(Image.open(f)).convert("RGB").tobytes()).hexdigest())
`;

function hasPillow(): boolean {
  try {
    execFileSync("/usr/bin/python3", ["-c", "import PIL"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const missing = !existsSync(join(data, "mednist")) ? `no ${data}` : !hasPillow() ? "no Pillow" : "";

describe("real pictures", () => {
  const title = "are bit-equal to this machine's Pillow";
  it.skipIf(missing)(missing ? `${title} (not run: ${missing})` : title, async () => {
    const { createHash } = await import("node:crypto");
    const { pictureFiles } = await import("../../src/data/image_folder.ts");
    const folders =
      "mednist cats-dogs-lab malaria-colour chest-xray covid-xray cifar10 imagenet-samples/originals";
    const files: string[] = [];
    for (const folder of folders.split(" ")) {
      const all = await pictureFiles(join(data, folder));
      files.push(
        ...all.filter((_, i) => i % Math.ceil(all.length / 12) === 0).map((f) => join(data, folder, f)),
      );
    }
    expect(files.length).toBeGreaterThan(60);
    const out = execFileSync("/usr/bin/python3", ["-c", PILLOW], {
      input: files.join("\n"),
      encoding: "utf8",
    });
    const hashes = out.trim().split("\n");
    for (const [i, file] of files.entries()) {
      const got = createHash("sha256")
        .update((await decode(file)).data)
        .digest("hex");
      expect.soft(got, file).toBe(hashes[i]);
    }
  });
});

describe("files that are no pictures are named, with the reason", () => {
  let dir = "";
  const put = (name: string, bytes: Uint8Array | string) => {
    writeFileSync(join(dir, name), bytes);
    return join(dir, name);
  };
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "thaw-decode-"));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  async function refusal(path: string, options = {}): Promise<string> {
    const error = await decode(path, options).then(
      () => expect.fail(`${path} was decoded`),
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(DataError);
    const text = (error as DataError).message;
    expect(text.startsWith(path), text).toBe(true);
    expect(text).not.toMatch(/\n/);
    return text.slice(path.length + 1);
  }

  it.each([
    ["empty.jpg", "", "is empty (zero bytes)"],
    ["text.jpg", "not a picture at all\n", "is text, not a picture"],
    ["page.jpg", "<!DOCTYPE html><html></html>", "is a web page (HTML), not a picture"],
    ["drawing.png", '<svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing, not a raster picture"],
    ["old.jpg", "BM\x36\0\0\0\0\0\0\0", "is a BMP, which cannot be decoded: convert it to PNG"],
    [
      "pointer.png",
      "version https://git-lfs.github.com/spec/v1\n",
      "is a Git LFS pointer: fetch the real file first",
    ],
    ["paper.png", "%PDF-1.7\n\0", "is a PDF, not a picture"],
    ["zeros.png", "\0".repeat(500), "is filled with zeros, not a picture"],
    [
      "junk.jpg",
      "\x01\x02\x03\0\x01",
      "is not a picture that can be decoded (JPEG, PNG, WebP, GIF, TIFF, AVIF)",
    ],
  ])("%s", async (name, content, reason) => {
    expect(await refusal(put(name, content))).toBe(reason);
  });

  it("a missing file and a folder", async () => {
    expect(await refusal(join(dir, "none.jpg"))).toBe("cannot be read: there is no such file");
    expect(await refusal(dir)).toBe("cannot be read: it is a folder");
  });

  it.each([
    "rgb420.jpg",
    "progressive.jpg",
    "rgba.png",
    "lossy.webp",
    "lossless.webp",
    "palette.gif",
    "rgb.tif",
  ])("%s cut short", async (name) => {
    const whole = readFileSync(join(images, name));
    const text = await refusal(put(`half-${name}`, whole.subarray(0, Math.floor(whole.length * 0.6))));
    expect(text).toMatch(/^\((JPEG|PNG|WEBP|GIF|TIFF)\) cannot be decoded: ./);
  });

  it("a JPEG without its last bytes, as Pillow", async () => {
    const whole = readFileSync(join(images, "rgb420.jpg"));
    const text = await refusal(put("tail.jpg", whole.subarray(0, whole.length - 12)));
    expect(text).toBe("(JPEG) cannot be decoded: the file is cut short (premature end of JPEG image)");
  });

  it("by their own reason, whatever is decoded beside them", async () => {
    const names = ["rgb420.jpg", "progressive.jpg", "rgba.png", "lossy.webp", "palette.gif"];
    const half = (name: string) => {
      const whole = readFileSync(join(images, name));
      return whole.subarray(0, Math.floor(whole.length * 0.6));
    };
    const reason = (name: string) =>
      decode(half(name), { name }).then(
        () => expect.fail(`${name} was decoded`),
        (e: Error) => e.message,
      );
    const alone: string[] = [];
    for (const name of names) alone.push(await reason(name));
    expect(new Set(alone).size).toBe(names.length);
    for (let round = 0; round < 10; round++) {
      const many = Array.from({ length: 40 }, (_, i) => i % names.length);
      const good = many.map((i) => decode(readFileSync(join(images, names[i]))));
      const told = await Promise.all(many.map((i) => reason(names[i])));
      expect(told).toEqual(many.map((i) => alone[i]));
      await Promise.all(good);
    }
  });

  it("a PNG with a wrong checksum in its pixels", async () => {
    const bytes = Buffer.from(readFileSync(join(images, "rgba.png")));
    bytes[bytes.length - 13] ^= 1;
    expect(await refusal(put("crc.png", bytes))).toMatch(/^\(PNG\) cannot be decoded: .*read error/);
  });

  it("more pixels than the limit", async () => {
    const text = await refusal(join(images, "rgb.png"), { pixelLimit: 100 });
    expect(text).toBe("(PNG) cannot be decoded: it has more than 100 pixels");
    const huge = Buffer.from(readFileSync(join(images, "rgb.png")));
    huge.writeUInt32BE(20_000, 16);
    huge.writeUInt32BE(20_000, 20);
    huge.writeUInt32BE(crc32(huge.subarray(12, 29)), 29);
    expect(await refusal(put("huge.png", huge))).toBe(
      "(PNG) cannot be decoded: it has more than 178956970 pixels",
    );
  });

  it("floating-point TIFF, whose range nobody knows", async () => {
    expect(await refusal(join(images, "float.tif"))).toMatch(/samples of type float have no defined range/);
  });
});

describe("rgbFrom", () => {
  it("repeats grey and drops alpha without blending", () => {
    const one = (bytes: number[], channels: number) => [
      ...rgbFrom(Uint8Array.from(bytes), 1, 2, channels).data,
    ];
    expect(one([7, 9], 1)).toEqual([7, 7, 7, 9, 9, 9]);
    expect(one([7, 0, 9, 255], 2)).toEqual([7, 7, 7, 9, 9, 9]);
    expect(one([1, 2, 3, 0, 4, 5, 6, 128], 4)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(() => one([1, 2, 3], 3)).toThrow(/1×2 with 3 channels cannot have 3 bytes/);
  });
});
