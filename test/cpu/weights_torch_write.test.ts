// .pth files: what the writer writes, Thaw's own reader reads again, and torch.load with weights_only=True (Debian's
// PyTorch, where it is installed) reads bit for bit; the zip archive is judged by Python's zipfile and unzip's rules.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UsageError } from "../../src/core/error.ts";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import * as weights from "../../src/weights/index.ts";
import { pickleStateDict } from "../../src/weights/pickle_write.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-pth-"));
afterAll(() => rmSync(folder, { recursive: true }));

const has = (code: string) => spawnSync("/usr/bin/python3", ["-c", code]).status === 0;
const python = has("import zipfile");
const torch = has("import torch");
const noTorch = torch ? "" : " (not run: no PyTorch in /usr/bin/python3)";

/** One array of every dtype that torch has, with a scalar, an empty array, and awkward names. */
function everything(): weights.Weights {
  const entries: Array<[string, weights.WeightDType, number[], weights.WeightData]> = [
    ["conv.weight", "f32", [2, 2, 1, 1], Float32Array.of(1.5, -0, Number.NaN, Number.NEGATIVE_INFINITY)],
    ["f64", "f64", [], Float64Array.of(Math.PI)],
    ["f16", "f16", [3], Uint16Array.of(0x3c00, 0x7e01, 0x8000)],
    ["bf16", "bf16", [1], Uint16Array.of(0x3f80)],
    ["bn.num_batches_tracked", "i64", [], BigInt64Array.of(2n ** 63n - 1n)],
    ["i32", "i32", [1], Int32Array.of(-5)],
    ["i16", "i16", [3], Int16Array.of(-1, 2, -32768)],
    ["i8", "i8", [1], Int8Array.of(-128)],
    ["u8", "u8", [3], Uint8Array.of(1, 2, 255)],
    ["bool", "bool", [2, 1], Uint8Array.of(1, 0)],
    ["no elements", "f32", [0, 7], new Float32Array(0)],
    ["a long one", "f32", [2, 500], Float32Array.from({ length: 1000 }, (_, i) => i)],
    ['quo"te/\\ü\u{1f984}', "f32", [1], Float32Array.of(3)],
  ];
  return new Map(entries.map(([name, dtype, shape, data]) => [name, { shape, dtype, data }]));
}

const raw = (e: weights.WeightEntry) =>
  Buffer.from(e.data.buffer, e.data.byteOffset, e.data.byteLength).toString("hex");
const facts = (w: weights.Weights) => [...w].map(([name, e]) => [name, e.dtype, e.shape, raw(e)]);

const LOAD = `
import json, sys, torch
names = {torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64",
    torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool"}
d = torch.load(sys.argv[1], weights_only=True)
def raw(t):
    assert t.is_contiguous()
    return bytes(t.storage().untyped())[t.storage_offset() * t.element_size():][:t.numel() * t.element_size()].hex()
print(json.dumps([type(d).__name__, [[k, names[t.dtype], list(t.shape), raw(t)] for k, t in d.items()],
    len({t.storage().data_ptr() for t in d.values() if t.numel()})]))
`;

describe("weights: writing .pth", () => {
  it("reads again what it wrote, in order, and writes the same bytes again", async () => {
    const all = everything();
    const bytes = weights.writeTorch(all);
    const read = await weights.readCheckpoint(bytes);
    expect(read.format).toBe("pytorch-zip");
    expect(facts(read.tensors)).toEqual(facts(all));
    expect(Buffer.compare(weights.writeTorch(read.tensors), bytes)).toBe(0);
  });

  it("takes any name, shape and count that fits, above 2³¹ too", () => {
    const one = (shape: number[], count: number) => {
      const [tensor] = [{ name: "x", storage: "FloatStorage", key: "0", shape, count }];
      return Buffer.from(pickleStateDict([tensor])).toString("latin1");
    };
    // BININT1, BININT (four bytes), LONG1 of eight bytes: what pickletools calls 255, 2³¹-1 and 2³¹.
    expect(one([255], 255)).toContain("K\xff");
    expect(one([2 ** 31 - 1], 2 ** 31 - 1)).toContain("J\xff\xff\xff\x7f");
    expect(one([2 ** 31], 2 ** 31)).toContain("\x8a\x08\x00\x00\x00\x80\x00\x00\x00\x00");
  });

  it.skipIf(!python)(
    "is a zip archive with right checksums, its members at multiples of 64 bytes",
    async () => {
      const path = join(folder, "zip.pt");
      await weights.write(path, everything());
      const code = `
import sys, zipfile, struct
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
b = open(sys.argv[1], "rb").read()
for i in z.infolist():
    n, e = struct.unpack("<HH", b[i.header_offset + 26:i.header_offset + 30])
    at = i.header_offset + 30 + n + e
    assert at % 64 == 0, (i.filename, at)
    assert b[at:at + i.file_size] == z.read(i), i.filename
print(",".join(n for n in z.namelist() if "data/" not in n))
`;
      const out = execFileSync("/usr/bin/python3", ["-c", code, path], { encoding: "utf8" });
      expect(out.trim()).toBe("archive/data.pkl,archive/byteorder,archive/version");
    },
  );

  it.skipIf(!torch)(`loads in PyTorch with weights_only=True, bit for bit${noTorch}`, async () => {
    const path = join(folder, "all.pth");
    const all = everything();
    await weights.write(path, all);
    const out = execFileSync("/usr/bin/python3", ["-c", LOAD, path], { encoding: "utf8" });
    const [type, tensors, storages] = JSON.parse(out);
    expect(type).toBe("OrderedDict");
    expect(tensors).toEqual(facts(all));
    expect(storages).toBe(all.size - 1);
  });

  it("writes tied weights once, and reads them tied", async () => {
    const shared = { shape: [1000], dtype: "f32" as const, data: new Float32Array(1000).fill(0.1) };
    const bits = Uint16Array.of(0x3f80);
    const dict = { a: shared, b: shared, c: { ...shared, data: shared.data.slice() } };
    expect(weights.writeTorch(dict).length).toBeLessThan(2 * 4000 + 2000);
    const half = weights.writeTorch(dict, { dtype: "f16" });
    expect(half.length).toBeLessThan(2 * 2000 + 2000);
    const read = await weights.read(half);
    const at = (name: string) => read.get(name)?.data.byteOffset;
    expect(at("a")).toBe(at("b"));
    expect(at("c")).not.toBe(at("b"));
    expect(Buffer.compare(weights.writeTorch(read), half)).toBe(0);
    const types = {
      h: { shape: [1], dtype: "f16", data: bits },
      b: { shape: [1], dtype: "bf16", data: bits },
    };
    expect([...(await weights.read(weights.writeTorch(types))).values()].map((e) => e.dtype)).toEqual([
      "f16",
      "bf16",
    ]);
  });

  it("refuses what PyTorch's files cannot hold", async () => {
    const u16 = { shape: [1], dtype: "u16", data: Uint16Array.of(1) };
    expect(() => weights.writeTorch({ x: u16 })).toThrow(/"x" is u16, which PyTorch's files cannot hold/);
    const path = join(folder, "meta.pth");
    await expect(weights.write(path, {}, { metadata: { a: "b" } })).rejects.toThrow(/hold no metadata/);
    await expect(weights.write(path, {}, { dtyp: "f16" } as object)).rejects.toThrow(/did you mean dtype/);
  });
});

describe("weights: the dtype that is asked for", () => {
  const values = [1 / 3, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, -65519.9, 2 ** -25, 3 * 2 ** -26, -0];
  const f32 = { shape: [8], data: Float32Array.from(values) };

  it.each(["safetensors", "pt"])("rounds real numbers to nearest even, and only those (.%s)", async (ext) => {
    const path = join(folder, `half.${ext}`);
    const f64 = { shape: [2], data: Float64Array.of(1 + 2 ** -11 + 2 ** -40, Number.POSITIVE_INFINITY) };
    const i64 = { shape: [], data: BigInt64Array.of(70000n) };
    const bf16 = { shape: [1], dtype: "bf16", data: Uint16Array.of(0x3f81) };
    await weights.write(path, { f32, f64, i64, bf16 }, { dtype: "f16" });
    const read = await weights.read(path);
    const bits = [...values].map((v) => floatToHalf(Math.fround(v)));
    expect(bits.slice(1, 3).map(halfToFloat)).toEqual([1, 1 + 2 ** -9]);
    expect(read.get("f32")).toEqual({ shape: [8], dtype: "f16", data: Uint16Array.from(bits) });
    // By way of float32 this would be a tie, and fall to 1.
    expect([...(read.get("f64")?.data ?? [])].map((b) => halfToFloat(Number(b)))).toEqual([
      1 + 2 ** -10,
      Number.POSITIVE_INFINITY,
    ]);
    expect(read.get("i64")?.data).toEqual(i64.data);
    expect(read.get("bf16")?.data).toEqual(Uint16Array.of(floatToHalf(1 + 2 ** -7)));
    await weights.write(path, read, { dtype: "f32" });
    const wide = await weights.read(path);
    expect(wide.get("f32")?.data).toEqual(Float32Array.from(bits, halfToFloat));
    expect(wide.get("i64")?.dtype).toBe("i64");
  });

  it("refuses a finite number that would become infinite, and another dtype", () => {
    const big = { shape: [1], data: Float32Array.of(65520) };
    expect(() => weights.writeSafetensors({ "bn.running_var": big }, { dtype: "f16" })).toThrow(
      /"bn.running_var" holds 65520, which is too large for f16/,
    );
    expect(() => weights.writeTorch({}, { dtype: "f64" as "f32" })).toThrow(UsageError);
  });
});
