// Safetensors: what the writer writes is judged by a small reader in Python (where there is one) and by hand-made
// bytes; the reader must refuse every way of breaking the format with a sentence of its own.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DataError, UsageError } from "../../src/core/error.ts";
import * as weights from "../../src/weights/index.ts";
import { bytes, u64 } from "../fixtures/weights/assemble.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** One array of every dtype, with a scalar, an empty array and awkward names among them. */
function everything(): weights.Weights {
  const entries: Array<[string, weights.WeightDType, number[], weights.WeightData]> = [
    ["f32", "f32", [2, 2], Float32Array.of(1.5, -0, Number.NaN, Number.NEGATIVE_INFINITY)],
    ["f64", "f64", [], Float64Array.of(Math.PI)],
    ["f16", "f16", [3], Uint16Array.of(0x3c00, 0x7e01, 0x8000)],
    ["bf16", "bf16", [1], Uint16Array.of(0x3f80)],
    ["i64", "i64", [2], BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
    ["u64", "u64", [1], BigUint64Array.of(2n ** 64n - 1n)],
    ["i32", "i32", [1], Int32Array.of(-5)],
    ["u32", "u32", [1], Uint32Array.of(4294967295)],
    ["i16", "i16", [3], Int16Array.of(-1, 2, -32768)],
    ["u16", "u16", [1], Uint16Array.of(65535)],
    ["i8", "i8", [1], Int8Array.of(-128)],
    ["u8", "u8", [3], Uint8Array.of(1, 2, 255)],
    ["bool", "bool", [2, 1], Uint8Array.of(1, 0)],
    ["no elements", "f32", [0, 7], new Float32Array(0)],
    ["12", "u8", [1], Uint8Array.of(12)],
    ['quo"te/\\ü\u2028\u{1f984}', "f32", [1], Float32Array.of(3)],
    ["__proto__", "f32", [1], Float32Array.of(4)],
  ];
  return new Map(entries.map(([name, dtype, shape, data]) => [name, { shape, dtype, data }]));
}

const raw = (e: weights.WeightEntry) =>
  Buffer.from(e.data.buffer, e.data.byteOffset, e.data.byteLength).toString("hex");
const facts = (w: weights.Weights) =>
  [...w].map(([name, e]) => [name, e.dtype, e.shape, raw(e), e.data.constructor.name]).sort();

/** Reads the format with json and struct alone; fails where an offset is not aligned to its element. */
const PYTHON = `
import json, struct, sys
b = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", b[:8])
assert n % 8 == 0, n
head = json.loads(b[8:8 + n].decode("utf-8"))
size = dict(F64=8, I64=8, U64=8, F32=4, I32=4, U32=4, F16=2, BF16=2, I16=2, U16=2, I8=1, U8=1, BOOL=1)
out = {"__metadata__": head.pop("__metadata__", None)}
at = 0
for name, e in head.items():
    begin, end = e["data_offsets"]
    assert begin == at and begin % size[e["dtype"]] == 0, (name, begin, at)
    at = end
    out[name] = [e["dtype"].lower(), e["shape"], b[8 + n + begin:8 + n + end].hex()]
assert at == len(b) - 8 - n
print(json.dumps(out))
`;
const python = ["/usr/bin/python3", "python3", "python"].find(
  (p) => spawnSync(p, ["--version"]).status === 0,
);

describe("weights: writing safetensors", () => {
  it("comes back as it went in, every dtype", () => {
    const dict = everything();
    const file = weights.readSafetensors(weights.writeSafetensors(dict, { metadata: { b: "2", a: "ü\n" } }));
    expect(facts(file.tensors)).toEqual(facts(dict));
    expect([...file.metadata]).toEqual([
      ["a", "ü\n"],
      ["b", "2"],
    ]);
  });

  it.skipIf(!python)(`agrees with a reader in Python${python ? "" : " (not run: no python)"}`, async () => {
    const path = join(folder, "python.safetensors");
    await weights.write(path, everything(), { metadata: { made: "here" } });
    const got = JSON.parse(execFileSync(python as string, ["-c", PYTHON, path], { encoding: "utf8" }));
    const wanted = Object.fromEntries(
      [...everything()].map(([name, e]) => [name, [e.dtype, e.shape, raw(e)]]),
    );
    expect(Object.entries(got).sort()).toEqual(
      Object.entries({ ...wanted, ["__metadata__"]: { made: "here" } }).sort(),
    );
  });

  it("is deterministic: the order of the names given does not matter", () => {
    const backwards = new Map([...everything()].reverse());
    expect(Buffer.compare(weights.writeSafetensors(everything()), weights.writeSafetensors(backwards))).toBe(
      0,
    );
  });

  it("sorts by element type, widest first, then by name in code points", () => {
    const f = { shape: [1], data: Float32Array.of(1) };
    const written = weights.writeSafetensors({
      "\u{1f984}": f,
      "\uffee": f,
      b: f,
      ab: f,
      z: { shape: [], data: BigInt64Array.of(1n) },
    });
    const { tensors } = weights.readSafetensors(written);
    expect([...tensors.keys()]).toEqual(["z", "ab", "b", "\uffee", "\u{1f984}"]);
  });

  it("writes part of a larger buffer and infers dtypes", () => {
    const large = Float32Array.of(9, 1, 2, 9);
    const { tensors } = weights.readSafetensors(
      weights.writeSafetensors({ x: { shape: [2], data: large.subarray(1, 3) } }),
    );
    expect(tensors.get("x")).toEqual({ shape: [2], dtype: "f32", data: Float32Array.of(1, 2) });
  });

  it.each<[string, weights.WriteDict, RegExp]>([
    ["a short array", { x: { shape: [3], data: new Float32Array(2) } }, /"x" has 2 elements.*shape \[3\]/],
    ["a negative extent", { x: { shape: [-1], data: new Float32Array(1) } }, /do not fit its shape \[-1\]/],
    [
      "bits without dtype",
      { x: { shape: [1], data: new Uint16Array(1) } },
      /needs a dtype.*f16, bf16 or u16/,
    ],
    [
      "the wrong array",
      { x: { shape: [1], data: new Float32Array(1), dtype: "f64" } },
      /needs a Float64Array, not a Float32Array/,
    ],
    ["null", null as never, /arrays by name \(a Map or an object\), not null/],
    ["a null entry", { x: null as never }, /"x" is null, not \{ shape, data \}/],
    ["no data", { x: { shape: [1] } as never }, /"x" has undefined as data; it needs one of Float64Array, F/],
    ["a list of numbers", { x: { shape: [1], data: [1] as never } }, /"x" has a Array as data/],
    ["no shape", { x: { data: new Float32Array(1) } as never }, /"x" has undefined as shape/],
    [
      "half a character",
      { "a\ud800": { shape: [1], data: new Int8Array(1) } },
      /half a character in its name/,
    ],
    [
      "a tensor, whose values have to be awaited",
      { x: { shape: [1], data: (async () => {}) as never } },
      /"x" lies on a device; await weights\.write, or await nn\.exportState/,
    ],
    [
      "an unknown dtype",
      { x: { shape: [1], data: new Float32Array(1), dtype: "f8" as "f16" } },
      /has the dtype "f8"/,
    ],
    [
      "the reserved name",
      { ["__metadata__"]: { shape: [1], data: new Float32Array(1) } },
      /keeps for itself/,
    ],
  ])("refuses %s", (_what, dict, message) => {
    expect(() => weights.writeSafetensors(dict)).toThrow(UsageError);
    expect(() => weights.writeSafetensors(dict)).toThrow(message);
  });

  it("replaces a file on disk whole and leaves nothing else behind", async () => {
    const own = mkdtempSync(join(folder, "atomic-"));
    const path = join(own, "w.safetensors");
    writeFileSync(path, "old");
    await weights.write(path, { x: { shape: [1], data: Float32Array.of(5) } });
    expect((await weights.read(path)).get("x")?.data).toEqual(Float32Array.of(5));
    expect(readdirSync(own)).toEqual(["w.safetensors"]);
    const before = readFileSync(path);
    await expect(weights.write(path, { x: { shape: [2], data: Float32Array.of(5) } })).rejects.toThrow(
      UsageError,
    );
    expect(Buffer.compare(readFileSync(path), before)).toBe(0);
    await expect(weights.write(join(own, "none/w.safetensors"), {})).rejects.toThrow(/could not be written/);
    await expect(weights.write(join(own, "w.npz"), {})).rejects.toThrow(
      /cannot write .*w\.npz.*\.safetensors, \.pth, \.pt/,
    );
  });
});

function file(header: unknown, data: number | Uint8Array = 0, pad = ""): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header) + pad);
  return bytes(u64(json.length), json, typeof data === "number" ? new Uint8Array(data) : data);
}

const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("weights: reading safetensors", () => {
  it("reads what others write: padding, spaces, any order, unaligned data, names that look like numbers", () => {
    const data = new Uint8Array(Float32Array.of(1, 2, 3).buffer);
    const [b, seven, a] = [f32(4, 12), f32(0, 4), f32(12, 12)].map((e) => JSON.stringify(e));
    const header = `{"b": ${b}, "7" :${seven},"a":${a}}   `;
    expect(header.length % 4).not.toBe(0);
    const { tensors } = weights.readSafetensors(file(header, data));
    expect([...tensors.keys()]).toEqual(["b", "7", "a"]);
    expect(tensors.get("b")?.data).toEqual(Float32Array.of(2, 3));
    expect(tensors.get("a")).toEqual({ shape: [0], dtype: "f32", data: new Float32Array(0) });
  });

  it("reads an empty file of the format", () => {
    expect(weights.readSafetensors(file({})).tensors.size).toBe(0);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["seven bytes", new Uint8Array(7), /header is cut short: 8 more bytes/],
    [
      "a header longer than the file",
      bytes(u64(50), "{}"),
      /header is cut short: 50 more bytes.*2 are there/,
    ],
    ["a header beyond the limit", bytes(u64(100_000_001), "{}"), /claims a header of 100000001 bytes/],
    ["a header of a terabyte", bytes(u64(2 ** 40), "{}"), /claims a header of 1099511627776 bytes; at most/],
    ["a negative header length", bytes(u64(2n ** 64n - 1n), "{}"), /its length is -1/],
    ["a header that is no object", file("[1]"), /does not begin with \{/],
    ["a header that is no JSON", file('{"a":}'), /is no JSON$/],
    ["a header that is not UTF-8", bytes(u64(4), '{"', 0xff, "}"), /is no JSON$/],
    ["a header nested without end", file(`{"a":${"[".repeat(500_000)}`), /nests more than 16 levels/],
    [
      "a name twice",
      file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":{}}'),
      /header holds "a" twice/,
    ],
    [
      "a field twice",
      file('{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}'),
      /holds "dtype" twice/,
    ],
    ["metadata that is no object", file({ ["__metadata__"]: [] }), /__metadata__ is no JSON object/],
    ["metadata that is no text", file({ ["__metadata__"]: { a: 1 } }), /__metadata__ "a" is no text/],
    ["an entry that is no object", file({ a: null }), /tensor "a" has no dtype/],
    ["an unknown dtype", file({ a: { ...f32(0, 4), dtype: "F31" } }, 4), /unknown dtype "F31"/],
    [
      "a dtype it does not read",
      file({ a: { ...f32(0, 4), dtype: "F8_E4M3", shape: [4] } }, 4),
      /is F8_E4M3, which Thaw does not read; skipUnsupported \(thaw convert --skip-unsupported\) reads the rest/,
    ],
    ["no shape", file({ a: { ...f32(0, 4), shape: "4" } }, 4), /has no shape/],
    ["a negative extent", file({ a: f32(0, 4, [-1]) }, 4), /has no shape of whole numbers/],
    ["a fractional extent", file({ a: f32(0, 4, [0.5]) }, 4), /has no shape of whole numbers/],
    [
      "an extent written as a fraction",
      file('{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}', 16),
      /header holds 4\.0 where a whole number belongs/,
    ],
    [
      "an offset written with an exponent",
      file('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16e0]}}', 16),
      /header holds 16e0 where a whole number belongs/,
    ],
    ["one offset", file({ a: { ...f32(0, 4), data_offsets: [0] } }, 4), /no two data_offsets/],
    ["offsets in reverse", file({ a: f32(4, 0, [1]) }, 4), /ends before it begins/],
    [
      "an end beyond the file",
      file({ a: f32(0, 8) }, 4),
      /ends at byte 8 of the data, which has 4: the file is cut short/,
    ],
    [
      "too few bytes for the shape",
      file({ a: f32(0, 4, [2]) }, 4),
      /f32\[2\], which takes 8 bytes, but its data_offsets span 4/,
    ],
    [
      "a shape whose product overflows",
      file({ a: f32(0, 4, [2 ** 31, 2 ** 31, 4]) }, 4),
      /"a" has the impossible shape \[2147483648,2147483648,4\]/,
    ],
    ["an overlap", file({ a: f32(0, 8), b: f32(4, 12) }, 12), /"a" and "b" overlap/],
    ["a hole", file({ a: f32(0, 4), b: f32(8, 12) }, 12), /4 bytes between "a" and "b" belong to no tensor/],
    ["a hole at the start", file({ a: f32(4, 8) }, 8), /4 bytes between "the header" and "a"/],
    ["bytes at the end", file({ a: f32(0, 4) }, 5), /1 bytes after its last tensor belong to nothing/],
  ])("refuses %s", (_what, input, message) => {
    expect(() => weights.readSafetensors(input, { name: "x.safetensors" })).toThrow(DataError);
    expect(() => weights.readSafetensors(input, { name: "x.safetensors" })).toThrow(message);
    expect(() => weights.readSafetensors(input, { name: "x.safetensors" })).toThrow(
      /^weights: x\.safetensors: /,
    );
  });

  it("gives bools as 0 and 1, whatever bytes stand for true", () => {
    const entry = { dtype: "BOOL", shape: [4], data_offsets: [0, 4] };
    const { tensors } = weights.readSafetensors(file({ a: entry }, Uint8Array.of(0, 1, 2, 255)));
    expect(tensors.get("a")?.data).toEqual(Uint8Array.of(0, 1, 1, 1));
  });

  it("skips dtypes it does not read when told to", async () => {
    const input = file({ a: { dtype: "F8_E5M2", shape: [4], data_offsets: [0, 4] }, b: f32(4, 8) }, 8);
    const { tensors, skipped } = await weights.readCheckpoint(input, { skipUnsupported: true });
    expect([...tensors.keys()]).toEqual(["b"]);
    expect(skipped).toEqual([{ name: "a", reason: "is F8_E5M2" }]);
  });
});
