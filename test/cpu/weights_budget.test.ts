// Small files that would fill the machine by having one large thing copied many times: each copy is paid for out of
// a budget that goes with the file's size.
import { describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";
import {
  bytes,
  call,
  dict,
  global,
  int,
  legacyFile,
  legacyStorage,
  type Piece,
  pickle,
  storage,
  tensor,
  text,
  tuple,
  u32,
  zipFile,
} from "../fixtures/weights/assemble.ts";
import { failure } from "../fixtures/weights/failure.ts";

const MEGABYTE = 2 ** 20;

const times = (n: number, ...pieces: Piece[]): Uint8Array => {
  const unit = bytes(...pieces);
  const out = new Uint8Array(unit.length * n);
  for (let i = 0; i < n; i++) out.set(unit, i * unit.length);
  return out;
};

/** A tuple of 400 values, each made by the pieces; more than a file of a megabyte may have copied a megabyte. */
const fourHundred = (...pieces: Piece[]): Piece => ["(", times(400, ...pieces), "t"];

describe("weights: arguments copied over and over", () => {
  const class_ = [global("foo", "Bar"), "q", 0, "0"];

  it("by NEWOBJ_EX, which adds the keywords", async () => {
    const args = ["(", times(100_000, "N"), "t", "q", 1, "0", "}", "q", 2, "0"];
    const file = pickle(class_, args, fourHundred("h", 0, "h", 1, "h", 2, 0x92));
    expect(await failure(file)).toMatch(/10,000,000 steps/);
  });

  it("by copyreg.__newobj__, which takes the class off", async () => {
    const args = [
      global("copyreg", "__newobj__"),
      "q",
      0,
      "0",
      "(",
      global("foo", "Bar"),
      times(100_000, "N"),
      "t",
    ];
    expect(await failure(pickle(args, "q", 1, "0", fourHundred("h", 0, "h", 1, "R")))).toMatch(
      /10,000,000 steps/,
    );
  });

  it("by torch.device, which joins its arguments", async () => {
    const device = (...args: Piece[]) => failure(pickle(call(global("torch", "device"), ...args)));
    const sentence = /makes a torch\.device of something else than a short name and a number/;
    expect(await device(text("a".repeat(65)))).toMatch(sentence);
    expect(await device(text("cuda"), int(0), int(0))).toMatch(sentence);
    expect(await device(int(3))).toMatch(sentence);
    expect(await device(text("cuda"), text("a".repeat(100)))).toMatch(
      /gives a string as the number of a device/,
    );
    const read = await weights.readCheckpoint(
      pickle(dict(text("d"), call(global("torch", "device"), text("cuda"), int(1)))),
    );
    expect(read.extras.get("d")).toBe("cuda:1");
  });
});

describe("weights: one block of bytes copied over and over", () => {
  /** What is said of the file with the block moved by 0 to 3 bytes: at most one of them suits without a copy. */
  const moved = (make: (pad: Piece) => Uint8Array): Promise<string[]> =>
    Promise.all(
      [0, 1, 2, 3].map((n) =>
        weights.read(make([text("x".repeat(n)), "0"])).then(
          () => "read",
          (e: Error) => e.message,
        ),
      ),
    );
  const block = ["B", u32(MEGABYTE), new Uint8Array(MEGABYTE)];

  it("by NumPy arrays on it", async () => {
    const array = call(
      global("numpy.core.numeric", "_frombuffer"),
      ["h", 0],
      call(global("numpy", "dtype"), text("f4")),
      tuple(int(MEGABYTE / 4)),
      text("C"),
    );
    const said = await moved((pad) => pickle(pad, block, "q", 0, "0", fourHundred(array)));
    expect(said.filter((message) => /likely bomb/.test(message))).toHaveLength(3);
  });

  it("by streams in a stream of bytes", async () => {
    const inner = legacyFile(tensor(legacyStorage("FloatStorage", "k", MEGABYTE / 4), 0, [1], [1]), [
      ["k", MEGABYTE / 4, new Uint8Array(MEGABYTE)],
    ]);
    const stream = ["B", u32(inner.length), inner, "q", 0, "0"];
    const load = call(global("torch.storage", "_load_from_bytes"), ["h", 0]);
    const said = await moved((pad) => pickle(pad, stream, fourHundred(load)));
    expect(said.filter((message) => /likely bomb/.test(message)).length).toBeGreaterThanOrEqual(3);
  });

  it("by zip members that lie over each other", async () => {
    const n = 400;
    const item = (i: number): Piece => tensor(storage("ByteStorage", String(i), MEGABYTE), 0, [1], [1]);
    const object = tuple(...Array.from({ length: n }, (_, i) => item(i)));
    const file = overlapping(zipFile(object, { "0": new Uint8Array(MEGABYTE) }), n);
    expect(await failure(file, { verify: false })).toMatch(/likely bomb/);
  });

  it("by safetensors entries that lie over each other", async () => {
    const entry = { dtype: "F32", shape: [MEGABYTE / 4], data_offsets: [0, MEGABYTE] };
    const json = JSON.stringify(Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`t${i}`, entry])));
    // The header's length leaves the data at no multiple of four.
    const header = new TextEncoder().encode(json + " ".repeat(4 - ((8 + json.length) % 4) + 1));
    const length = new Uint8Array(8);
    new DataView(length.buffer).setUint32(0, header.length, true);
    const file = new Uint8Array(8 + header.length + MEGABYTE);
    file.set(length);
    file.set(header, 8);
    expect(await failure(file)).toMatch(/likely bomb/);
  });
});

/** The archive with its member a/data/0 and `n` - 1 more, which all claim the same megabyte behind their headers. */
function overlapping(archive: Uint8Array, n: number): Uint8Array {
  const end = archive.length - 22;
  const view = new DataView(archive.buffer, archive.byteOffset);
  const at = view.getUint32(end + 16, true);
  const entries = archive.slice(at, end);
  // Local headers of the further names, then a megabyte that all of them claim from their own end on.
  const heads: Uint8Array[] = [];
  const rows: Uint8Array[] = [entries];
  let place = at;
  for (let i = 1; i < n; i++) {
    const name = new TextEncoder().encode(`a/data/${i}`);
    heads.push(bytes("PK", 3, 4, new Uint8Array(22), name.length, 0, 0, 0, name));
    const row = bytes("PK", 1, 2, new Uint8Array(42), name);
    const fields = new DataView(row.buffer);
    fields.setUint32(20, MEGABYTE, true);
    fields.setUint32(24, MEGABYTE, true);
    fields.setUint16(28, name.length, true);
    fields.setUint32(42, place, true);
    rows.push(row);
    place += (heads.at(-1) as Uint8Array).length;
  }
  const directory = rows.reduce((sum, row) => sum + row.length, 0);
  const tail = archive.slice(end);
  const fields = new DataView(tail.buffer);
  fields.setUint16(8, fields.getUint16(8, true) + n - 1, true);
  fields.setUint16(10, fields.getUint16(10, true) + n - 1, true);
  fields.setUint32(12, directory, true);
  fields.setUint32(16, place + MEGABYTE, true);
  return Buffer.concat([archive.slice(0, at), ...heads, new Uint8Array(MEGABYTE), ...rows, tail]);
}
