// Archives that are broken and files that are no weights at all: each is refused with a sentence of its own.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { UsageError } from "../../src/core/error.ts";
import * as weights from "../../src/weights/index.ts";
import {
  bytes,
  dict,
  floats,
  int,
  type Piece,
  pickle,
  storage,
  tensor,
  text,
  u32,
  zipFile,
} from "../fixtures/weights/assemble.ts";
import { failure, good, ONE } from "../fixtures/weights/failure.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-hostile-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("weights: broken archives", () => {
  const archive = zipFile(dict(text("w"), good), ONE);
  const packed = zipFile(
    dict(text("w"), tensor(storage("FloatStorage", "0", 1000), 0, [1000], [1])),
    { "0": new Uint8Array(4000) },
    9,
  );
  const patch = (file: Uint8Array, at: number, ...values: Piece[]): Uint8Array => {
    const out = file.slice();
    out.set(bytes(...values), at);
    return out;
  };
  /** Where the directory entry of a member begins. */
  const entryOf = (file: Uint8Array, name: string): number => Buffer.from(file).lastIndexOf(name) - 46;

  it("reads the untouched ones", async () => {
    expect((await weights.read(archive)).get("w")?.data).toEqual(Float32Array.of(1, 2, 3, 4));
    expect((await weights.read(packed)).get("w")?.data).toEqual(new Float32Array(1000));
  });

  it("notices a flipped bit, unless told not to look", async () => {
    const at = Buffer.from(archive).indexOf(Buffer.from(ONE["0"]));
    const flipped = patch(archive, at, 1);
    expect(await failure(flipped)).toMatch(/member a\/data\/0 is damaged \(its CRC-32 does not match\)/);
    expect((await weights.read(flipped, { verify: false })).get("w")?.data).toHaveLength(4);
  });

  it("refuses sizes that no member can have", async () => {
    const entry = entryOf(packed, "a/data/0");
    expect(await failure(patch(packed, entry + 24, u32(2 ** 31)))).toMatch(
      /claims 2147483648 bytes, more than \d+ bytes/,
    );
    expect(await failure(patch(packed, entry + 24, u32(4001)))).toMatch(
      /should unpack to 4001 bytes but gives 4000/,
    );
    expect(await failure(patch(packed, entry + 24, u32(3999)))).toMatch(
      /holds 3999 bytes where 1000 elements/,
    );
    const pickleEntry = entryOf(packed, "a/data.pkl");
    expect(await failure(patch(packed, pickleEntry + 24, u32(5)))).toMatch(
      /should unpack to 5 bytes but gives more/,
    );
    expect(await failure(patch(archive, entryOf(archive, "a/data/0") + 20, u32(2 ** 31)))).toMatch(
      /cut short/,
    );
  });

  it("refuses other methods, encryption, wrong places and wrong names", async () => {
    const entry = entryOf(archive, "a/data/0");
    expect(await failure(patch(archive, entry + 10, 12))).toMatch(/compressed by method 12/);
    expect(await failure(patch(archive, entry + 8, 1))).toMatch(/is encrypted/);
    expect(await failure(patch(archive, entry + 42, u32(1)))).toMatch(/not where the zip directory says/);
    expect(await failure(patch(archive, entry + 42, u32(2 ** 31)))).toMatch(/cut short/);
    expect(await failure(patch(archive, entry + 46, "b"))).toMatch(/calls itself a\/data\/0/);
    expect(await failure(patch(archive, entry, 0))).toMatch(/a directory entry is missing/);
    expect(await failure(patch(archive, Buffer.from(archive).indexOf("a/data/0"), "b"))).toMatch(
      /calls itself b\/data\/0/,
    );
  });

  it("refuses a directory that does not fit", async () => {
    const end = archive.length - 22;
    expect(await failure(patch(archive, end + 16, u32(2 ** 31)))).toMatch(/does not fit/);
    expect(await failure(patch(archive, end + 10, 255, 255))).toMatch(/damaged|does not fit/);
    expect(await failure(patch(archive, end + 8, 1, 0, 1, 0))).toMatch(/directory holds more than it says/);
    expect(await failure(archive.subarray(0, end + 10))).toMatch(/cut short or has something after it/);
    expect(await failure(bytes(archive, 0))).toMatch(/cut short or has something after it/);
  });

  it("refuses two members of one name", async () => {
    const two = zipFile(dict(text("w"), good), { ...ONE, "1": floats(5, 6, 7, 8) });
    const name = Buffer.from("a/data/1");
    for (let at = Buffer.from(two).indexOf(name); at >= 0; at = Buffer.from(two).indexOf(name, at))
      two[at + 7] = 0x30;
    expect(await failure(two)).toMatch(/two members called a\/data\/0/);
  });

  it.each(["barcode", "qrcode", "code", "constants", "data", "encode.v2"])(
    "reads an archive that was saved as %s.pt",
    async (name) => {
      const { zipSync, unzipSync } = await import("fflate");
      const files = Object.entries(unzipSync(archive)).map(([n, b]) => [n.replace(/^a\//, `${name}/`), b]);
      const tensors = await weights.read(zipSync(Object.fromEntries(files), { level: 0 }));
      expect([...tensors.keys()]).toEqual(["w"]);
    },
  );

  it("says what other zip archives are", async () => {
    const { zipSync } = await import("fflate");
    const one = new Uint8Array(1);
    expect(await failure(zipSync({ "a/code/x.py": one, "a/data.pkl": one }))).toMatch(
      /is a TorchScript archive/,
    );
    for (const names of [["code/x.py", "data.pkl"], ["a/constants.pkl", "a/data.pkl"], ["a/code/x.py"]]) {
      const files = Object.fromEntries(names.map((n) => [n, one]));
      expect(await failure(zipSync(files)), `${names}`).toMatch(/is a TorchScript archive/);
    }
    expect(await failure(zipSync({ "model.weights.h5": one }))).toMatch(/is a damaged HDF5 file/);
    expect(await failure(zipSync({ "photo.jpg": one }))).toMatch(
      /without data\.pkl.*first member is photo\.jpg/,
    );
    expect(await failure(zipSync({}))).toMatch(/without data\.pkl/);
    expect(await failure(zipSync({ "a/data.pkl": one, "b/data.pkl": one }))).toMatch(/holds 2 pickles/);
  });

  it("refuses a damaged tar archive and one of something else", async () => {
    const tar = new Uint8Array(readFileSync(new URL("../fixtures/weights/first.tar.pt", import.meta.url)));
    expect(await failure(patch(tar, 0, "x"))).toMatch(/checksum does not match/);
    const header = new Uint8Array(1024);
    header.set(bytes("photo.jpg", 0));
    header.set(bytes("0000000", 0), 100);
    header.set(bytes("00000000000", 0), 124);
    header.set(bytes("ustar", 0), 257);
    const sum = header.reduce((s, b) => s + b, 8 * 32);
    header.set(bytes(sum.toString(8).padStart(6, "0"), 0, " "), 148);
    expect(await failure(header)).toMatch(/is a tar archive but no PyTorch checkpoint/);
  });
});

describe("weights: paths", () => {
  it("takes a file: URL, as an object or as text", async () => {
    const path = join(folder, "a b.pt");
    writeFileSync(path, zipFile(dict(text("w"), good), ONE));
    for (const given of [pathToFileURL(path), String(pathToFileURL(path))])
      expect((await weights.read(given)).size).toBe(1);
    const out = new URL("a%20b.safetensors", pathToFileURL(`${folder}/`));
    await weights.write(out, await weights.read(path));
    await weights.write(String(out), await weights.read(join(folder, "a b.safetensors")));
    expect((await weights.read(out)).get("w")?.data).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  it("says of other URLs that their bytes are wanted", async () => {
    const refused = /https:\/\/x\.y\/z\.pt: URLs are not taken here; fetch the file and pass its bytes/;
    for (const given of ["https://x.y/z.pt", new URL("https://x.y/z.pt")]) {
      await expect(weights.read(given)).rejects.toThrow(refused);
      await expect(weights.read(given)).rejects.toThrow(UsageError);
    }
    await expect(weights.write("http://x/y.safetensors", {})).rejects.toThrow(
      /URLs are not taken here; writeSafetensors and writeTorch give the bytes/,
    );
    await expect(weights.read("file://elsewhere/x.pt")).rejects.toThrow(
      /file:\/\/elsewhere\/x\.pt is no path/,
    );
  });
});

describe("weights: files that are no weights", () => {
  const utf8 = (s: string) => new TextEncoder().encode(s);

  it.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /is empty \(0 bytes\)/],
    [
      "a text",
      utf8("hello\nworld\n"),
      /is a text file of 12 bytes, not weights; it begins with "hello\\nworld\\n"/,
    ],
    [
      "an HTML page",
      utf8("\n<!DOCTYPE html>\n<html><title>404"),
      /is an HTML page, not weights: the download/,
    ],
    ["an error of an object store", utf8('<?xml version="1.0"?><Error>'), /is an XML document/],
    ["JSON", utf8('{"error":"Repository not found"}'), /is a JSON text/],
    [
      "a Git LFS pointer",
      utf8("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46827520\n"),
      /is a Git LFS pointer standing for a file of 46827520 bytes; fetch that with "git lfs pull"/,
    ],
    ["a git-annex pointer", utf8("/annex/objects/SHA256E-s3--a.pt\n"), /is a git-annex pointer/],
    ["gzip", bytes(0x1f, 0x8b, 8, 0), /is compressed with gzip/],
    ["a PNG", bytes(0x89, "PNG\r\n", 0x1a, "\n"), /is a PNG picture/],
    ["HDF5", bytes(0x89, "HDF\r\n", 0x1a, "\n"), /is a damaged HDF5 file/],
    ["GGUF", bytes("GGUF", 3, 0), /is a GGUF file/],
    ["zeros", new Uint8Array(5000), /begins with zeros \(5000 bytes\)/],
    ["noise", bytes(9, 9, 9, 200, 201), /is no format that Thaw reads .*bytes 09 09 09 c8 c9/],
    [
      "a pickle with something after it",
      bytes(pickle(int(3)), 1, 2),
      /2 bytes follow its first value, a number/,
    ],
    [
      "a stream of another version",
      bytes(pickle(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19), pickle(int(9))),
      /version 9; Thaw reads 1001/,
    ],
    ["half a header", bytes(0x80, 2), /its pickle is cut short: 1 more bytes/],
  ])("says so of %s", async (_what, input, message) => {
    expect(await failure(input)).toMatch(message);
  });

  it("names paths that cannot be read", async () => {
    mkdirSync(join(folder, "dir"));
    writeFileSync(join(folder, "empty.pt"), "");
    const sentence = (path: string) =>
      weights.read(join(folder, path)).catch((e: Error) => `${e.name} ${e.message}`);
    expect(await sentence("none.pt")).toBe(`DataError weights: ${join(folder, "none.pt")}: no such file`);
    expect(await sentence("dir")).toMatch(/dir: is a folder/);
    expect(await sentence("empty.pt")).toMatch(/empty\.pt: is empty/);
    await expect(weights.read("/dev/null")).rejects.toThrow(/not a regular file/);
    await expect(weights.read(3 as unknown as string)).rejects.toThrow(UsageError);
  });
});
