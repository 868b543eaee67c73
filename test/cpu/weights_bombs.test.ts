// Small files that ask for far more time or memory than they are worth: each must end in one DataError, soon.
import { describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";
import {
  bytes,
  call,
  dict,
  floats,
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
  u64,
  zipFile,
} from "../fixtures/weights/assemble.ts";
import { failure, good, ONE } from "../fixtures/weights/failure.ts";

/** The bytes of the pieces, `n` times over. */
const many = (n: number, ...pieces: Piece[]): Uint8Array => {
  const unit = bytes(...pieces);
  const out = new Uint8Array(unit.length * n);
  for (let i = 0; i < n; i++) out.set(unit, i * unit.length);
  return out;
};

describe("weights: bombs", () => {
  it("nested tuples 300,000 deep", async () => {
    const message = await failure(legacyFile([")", many(300_000, 0x85)]));
    expect(message).toMatch(/nested more than 200 levels/);
    expect(await failure(legacyFile([many(300_000, "]"), many(299_999, "a")]))).toMatch(
      /nested more than 200/,
    );
    expect(await failure(legacyFile(["N", many(300_000, "(")]))).toMatch(
      /ends with 1 values and 300000 marks/,
    );
  });

  it("nested modules", async () => {
    // Each module is the only child of the next: state = {_parameters, _buffers, _modules: {m: child}}.
    const wrap = [
      ...[global("a", "M"), ")", 0x81, "2", "q", 1, "0"],
      ...[
        dict(text("_parameters"), "}", text("_buffers"), "}", text("_modules"), dict(text("m"), ["h", 0])),
        "b",
      ],
      ...["q", 0, "0"],
    ];
    expect(await failure(pickle("N", "q", 0, "0", many(1000, ...wrap), "h", 0))).toMatch(
      /more than 200 modules/,
    );
  });

  it("lists that hold each other many times over (billion laughs)", async () => {
    const level = ["(", many(10, "h", 0), "l", "q", 0, "0"];
    const message = await failure(pickle(text("ha"), "q", 0, "0", many(30, ...level), "h", 0));
    expect(message).toMatch(/more than 10,000,000 values/);
  });

  it("a list that contains itself is entered once", async () => {
    const object: Piece = ["]", "q", 0, "h", 0, "a", good, "a"];
    const tensors = await weights.read(zipFile(object, ONE));
    expect([...tensors.keys()]).toEqual(["1"]);
  });

  it("containers without end", async () => {
    expect(await failure(pickle("(", many(2_100_000, "}"), "l"))).toMatch(/more than 2,000,000 containers/);
    expect(await failure(pickle("]", many(5_100_000, "N0"), "N"))).toMatch(/more than 10,000,000 steps/);
  });

  it("copies of copies: set(list) over and over", async () => {
    const list = ["(", many(100_000, "N"), "l", 0x85, "q", 0, "0"];
    const copy = ["cbuiltins\nset\n", "h", 0, "R", "0"];
    expect(await failure(pickle(list, many(1000, ...copy), "N"))).toMatch(/10,000,000 steps/);
  });

  it("a long text encoded over and over", async () => {
    const args = [tuple(text("a".repeat(2 ** 20)), text("latin1")), "q", 0, "0"];
    const encode = ["c_codecs\nencode\n", "h", 0, "R", "0"];
    expect(await failure(pickle(args, many(1000, ...encode), "N"))).toMatch(/likely bomb/);
  });

  it("a memo of four million entries", async () => {
    expect(await failure(pickle("N", many(4_100_000, 0x94)))).toMatch(/remembers more than 4,000,000/);
  });

  it("a state given without end", async () => {
    const object: Piece = [call(global("a", "B")), many(10, "}b")];
    expect(await failure(pickle(object))).toMatch(/a fifth state/);
  });

  it("sizes that the file does not hold", async () => {
    const huge = 2 ** 31 - 1;
    for (const opcode of ["X", "B", "T"])
      expect(await failure(pickle(opcode, u32(huge)))).toMatch(/cut short/);
    for (const opcode of [0x8d, 0x8e, 0x96])
      expect(await failure(pickle(opcode, u64(2n ** 50n)))).toMatch(/cut short/);
    expect(await failure(pickle(0x8e, u64(2n ** 63n)))).toMatch(
      /the length of bytes is -9223372036854775808/,
    );
    expect(await failure(pickle(0x8b, u32(4096), new Uint8Array(4096)))).toMatch(
      /integer of 4096 bytes; refused/,
    );
    expect(await failure(pickle(tuple(text("storage"), global("torch", "FloatStorage")), "Q"))).toMatch(
      /outside of it/,
    );
  });

  it("a small storage expanded to a terabyte", async () => {
    const object = tensor(storage("FloatStorage", "0", 4), 0, [1_000_000, 250_000], [0, 0]);
    expect(await failure(zipFile(object, ONE))).toMatch(/likely bomb/);
    const overflow = tensor(
      storage("FloatStorage", "0", 4),
      0,
      [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1],
      [0, 0, 0],
    );
    expect(await failure(zipFile(overflow, ONE))).toMatch(/impossible shape/);
  });

  it("names that multiply", async () => {
    // One long key over a list of many small dicts: every leaf would carry the key.
    const leaf: Piece = ["h", 1];
    const object: Piece = [
      good,
      "q",
      1,
      "0",
      text("k".repeat(4000)),
      "q",
      2,
      "0",
      "}",
      "h",
      2,
      "(",
      many(100_000, leaf),
      "l",
      "s",
    ];
    expect(await failure(zipFile(object, ONE))).toMatch(/names of its tensors.*likely bomb/);
    expect(await failure(zipFile(dict(text("k".repeat(5000)), good), ONE))).toMatch(
      /more than 4096 characters, "kkkk/,
    );
  });
});

describe("weights: bombs that copy", () => {
  /** Remembers a value as number `i`. */
  const put = (i: number, value: Piece): Piece => [value, "q", i, "0"];
  /** A pickle of the results of `n` calls of value 0 with value 1. */
  const calls = (n: number, target: Piece, args: Piece, one: Piece = ["h", 0, "h", 1, "R"]): Uint8Array =>
    pickle(put(0, target), put(1, args), "(", many(n, one), "t");

  it("a million arguments passed over and over", async () => {
    const args = ["(", global("a", "B"), many(1_000_000, "N"), "t"];
    expect(await failure(calls(3000, global("copyreg", "__newobj__"), args))).toMatch(/10,000,000 steps/);
    const withKeywords = calls(3000, global("a", "B"), args, ["h", 0, "h", 1, "}", 0x92]);
    expect(await failure(withKeywords)).toMatch(/10,000,000 steps/);
  });

  it("a device of long texts", async () => {
    const long = text("a".repeat(1_000_000));
    const device = (...args: Piece[]) => dict(text("d"), call(global("torch", "device"), ...args));
    const refused = (...args: Piece[]) => failure(pickle(device(...args)));
    expect(await refused(long)).toMatch(/makes a torch\.device of a string$/);
    expect(await refused(text("cuda"), long)).toMatch(/makes a torch\.device of a string, a string$/);
    expect(await refused(text("cuda"), int(0), int(1))).toMatch(/device of a string, a number, a number$/);
    const { extras } = await weights.readCheckpoint(pickle(device(text("cuda"), int(1))));
    expect(extras.get("d")).toBe("cuda:1");
  });

  it("shapes, storages and names without end", async () => {
    const shape = ["(", many(64, "K", 1), "t"];
    const array = tuple(["C", 4, floats(1)], call(global("numpy", "dtype"), text("f4")), shape, text("C"));
    const frombuffer = global("numpy.core.numeric", "_frombuffer");
    expect((await weights.read(calls(1, frombuffer, array))).size).toBe(1);
    expect(await failure(calls(200_000, frombuffer, array))).toMatch(/10,000,000 steps/);
    const id = tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), int(4));
    expect(await failure(zipFile([put(0, id), "(", many(2_100_000, "h", 0, "Q"), "t"], ONE))).toMatch(
      /2,000,000 containers/,
    );
    const named = calls(200_000, text("a".repeat(4096)), text("b.".repeat(2048)), ["h", 0, "h", 1, 0x93]);
    expect(await failure(named)).toMatch(/10,000,000 steps/);
  });

  /** What becomes of a file with the long piece at each address modulo two: one of them does not suit its elements. */
  const atAnyAddress = (file: (pad: Piece) => Uint8Array): Promise<string[]> =>
    Promise.all(
      [0, 1].map(async (pad) => {
        const read = weights.read(file(["C", pad, new Uint8Array(pad), "0"]), { name: "x" });
        return read.then(
          (tensors) => `read ${tensors.size}`,
          (e: Error) => e.message,
        );
      }),
    );

  it("one array at an odd address, seen many times", async () => {
    const n = 1_000_000;
    const raw: Piece = [0x8e, u64(4 * n), new Uint8Array(4 * n)];
    const array = tuple(raw, call(global("numpy", "dtype"), text("f4")), tuple(int(n)), text("C"));
    const file = (pad: Piece) => calls(200, global("numpy.core.numeric", "_frombuffer"), [pad, array]);
    expect(await atAnyAddress(file)).toContainEqual(expect.stringMatching(/f32\[1000000\].*likely bomb/));
  });

  it("one stream within the pickle, read many times", async () => {
    const n = 1_000_000;
    const object = tensor(legacyStorage("FloatStorage", "k", n), 0, [n], [1]);
    const stream = legacyFile(object, [["k", n, new Uint8Array(4 * n)]]);
    const file = (pad: Piece) =>
      calls(200, global("torch.storage", "_load_from_bytes"), [
        pad,
        tuple([0x8e, u64(stream.length), stream]),
      ]);
    expect(await atAnyAddress(file)).toContainEqual(expect.stringMatching(/likely bomb/));
  });

  it("members of an archive that lie in each other", async () => {
    const archive = zipFile("N", { "0": new Uint8Array(16), "1": new Uint8Array(16) });
    const entry = Buffer.from(archive).lastIndexOf("a/data/0") - 46;
    archive.set(bytes(u32(70), u32(70)), entry + 20);
    expect(await failure(archive)).toMatch(/its members a\/data\/0 and a\/data\/1 overlap/);
  });
});
