// Files made to harm, and files that are no weights at all. Every one must end in one DataError that says what is
// wrong, quickly and in little memory; nothing that a file names may ever be run.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DataError, UsageError } from "../../src/core/error.ts";
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

const folder = mkdtempSync(join(tmpdir(), "thaw-hostile-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function failure(input: weights.WeightInput, options: weights.ReadOptions = {}): Promise<string> {
  const error = await weights.read(input, { name: "x.pt", ...options }).then(
    (tensors) => new Error(`read ${tensors.size} tensors`),
    (e: Error) => e,
  );
  expect(error, error.stack).toBeInstanceOf(DataError);
  expect(error.message).toMatch(/^weights: /);
  expect(error.message).not.toMatch(/\n/);
  return error.message;
}

const ONE = { "0": floats(1, 2, 3, 4) };
const good = tensor(storage("FloatStorage", "0", 4), 0, [4], [1]);

/** The same object in each of the containers a pickle comes in. */
const containers = (object: Piece): Array<[string, Uint8Array]> => [
  ["zip", zipFile(object)],
  ["legacy stream", legacyFile(object)],
  ["plain pickle", pickle(object)],
];

describe("weights: globals that a pickle may not name", () => {
  const stack = (module: Piece, name: Piece): Piece => [module, name, 0x93];
  const short = (s: string): Piece => [0x8c, s.length, s];
  const attacks: Array<[string, Piece, string]> = [
    ["os.system by REDUCE", call(global("os", "system"), text("true")), "os.system"],
    ["posix.system, only mentioned", dict(text("a"), global("posix", "system")), "posix.system"],
    ["nt.system", global("nt", "system"), "nt.system"],
    ["eval of Python 2", call(global("__builtin__", "eval"), text("1")), "__builtin__.eval"],
    ["eval of Python 3", call(global("builtins", "eval"), text("1")), "builtins.eval"],
    ["exec", call(global("builtins", "exec"), text("1")), "builtins.exec"],
    ["getattr", global("builtins", "getattr"), "builtins.getattr"],
    ["__import__", global("builtins", "__import__"), "builtins.__import__"],
    ["Popen by INST", ["(", text("sh"), "isubprocess\nPopen\n"], "subprocess.Popen"],
    ["system by OBJ", ["(", global("os", "system"), text("sh"), "o"], "os.system"],
    ["system by NEWOBJ", [global("os", "system"), tuple(text("sh")), 0x81], "os.system"],
    ["by STACK_GLOBAL", stack(short("posix"), short("system")), "posix.system"],
    [
      "by STACK_GLOBAL with memoised names",
      [short("system"), 0x94, "0", short("os"), 0x94, "0", "h", 1, "h", 0, 0x93],
      "os.system",
    ],
    ["through an imported module", stack(short("torch"), short("os.system")), "torch.os.system"],
    [
      "through a class's module",
      stack(short("collections"), short("abc.sys.modules")),
      "collections.abc.sys.modules",
    ],
    [
      "a dunder",
      stack(short("collections"), short("OrderedDict.__init__")),
      "collections.OrderedDict.__init__",
    ],
    ["functools.partial", global("functools", "partial"), "functools.partial"],
    ["runpy", global("runpy", "_run_code"), "runpy._run_code"],
    [
      "importlib.machinery",
      global("importlib.machinery", "SourceFileLoader"),
      "importlib.machinery.SourceFileLoader",
    ],
    ["types.CodeType", global("types", "CodeType"), "types.CodeType"],
    ["a pickle in a pickle", global("_pickle", "loads"), "_pickle.loads"],
    ["torch.load", global("torch", "load"), "torch.load"],
    ["torch.hub", global("torch.hub", "load"), "torch.hub.load"],
    [
      "NumPy's runner",
      global("numpy.testing._private.utils", "runstring"),
      "numpy.testing._private.utils.runstring",
    ],
    ["copyreg's registry", global("copy_reg", "add_extension"), "copy_reg.add_extension"],
    ["codecs", global("_codecs", "lookup"), "_codecs.lookup"],
  ];

  it.each(attacks)("refuses %s", async (_what, piece, named) => {
    for (const [, file] of containers(piece)) {
      expect(await failure(file)).toBe(`weights: x.pt: the pickle asks for ${named}, which Thaw never runs`);
    }
  });

  it("refuses calls of functions it does not know, named anywhere", async () => {
    const message = await failure(legacyFile(call(global("yaml", "unsafe_load"), text("!!x"))));
    expect(message).toBe("weights: x.pt: the pickle asks to call yaml.unsafe_load, which Thaw never runs");
    expect(await failure(legacyFile(call(global("torch.nn.functional", "relu"), "N")))).toMatch(
      /functional\.relu/,
    );
  });

  it("refuses to call what a call gave", async () => {
    const inner = call(global("mine", "Factory"));
    expect(await failure(legacyFile(call(inner, text("x"))))).toMatch(/call an object of mine\.Factory/);
    expect(await failure(legacyFile(call(int(3))))).toMatch(/asks to call a number/);
  });

  it("quotes names without obeying them", async () => {
    const message = await failure(legacyFile(call(global("a\u001b[2J\u0007", "\u00c2\u009b31mrun"))));
    expect(message).toBe(
      "weights: x.pt: the pickle asks to call a\\u001b[2J\\u0007.\\u009b31mrun, which Thaw never runs",
    );
  });

  it("refuses extension codes", async () => {
    for (const code of [0x82, 0x83, 0x84])
      expect(await failure(pickle(code, 1, 0, 0, 0))).toMatch(/extension code/);
  });

  it("still reads the tensors beside classes and objects that are only data", async () => {
    const namespace: Piece = [call(global("argparse", "Namespace")), dict(text("lr"), int(3)), "b"];
    const object = dict(
      ...[text("args"), namespace],
      ...[text("optimizer"), global("torch.optim.sgd", "SGD")],
      ...[text("activation"), global("torch.nn.functional", "relu")],
      ...[text("own"), [global("__main__", "lower"), ")", 0x81, dict(text("k"), good), "b"]],
      ...[text("w"), good],
    );
    const { tensors, extras } = await weights.readCheckpoint(zipFile(object, ONE));
    expect([...tensors.keys()]).toEqual(["own/k", "w"]);
    expect(extras.get("args/lr")).toBe(3);
  });
});

describe("weights: pickles that break the stack machine's rules", () => {
  it.each<[string, Uint8Array, RegExp]>([
    ["nothing to return", pickle(), /ends with 0 values and 0 marks/],
    ["two values to return", pickle("NN"), /ends with 2 values/],
    ["taking from an empty stack", pickle("0N"), /takes from an empty stack/],
    ["taking from below a mark", pickle("N(", 0x85, "t"), /takes from an empty stack/],
    ["remembering nothing", pickle("q", 0, "N"), /takes from an empty stack/],
    ["a mark that was never set", pickle("t"), /takes a mark that was never set/],
    ["recalling what was never remembered", pickle("h", 7), /recalls value 7/],
    ["an opcode that does not exist", pickle(0xff), /no opcode 0xff/],
    ["out-of-band buffers", pickle(0x97), /no opcode 0x97/],
    ["a protocol to come", bytes(0x80, 2, 0x80, 6, "N."), /is of protocol 6/],
    ["items of a number", pickle(int(3), "(NNu"), /sets items of a number/],
    ["a key without value", pickle("}(Nu"), /a key without a value/],
    ["appending to a tuple", pickle(")Na"), /appends to a tuple/],
    ["a state for a class", pickle(global("a", "B"), "}b"), /gives a state to a\.B/],
    ["arguments that are no tuple", pickle(global("a", "B"), "NR"), /arguments that are no tuple/],
    ["an object of nothing", pickle("(o"), /object of nothing/],
    ["a number that is none", pickle("Inope\n"), /whole number that is none/],
    ["a float that is none", pickle("F1.2.3\n"), /float that is none/],
    ["text that is not UTF-8", pickle("X", u32(1), 0xff), /not UTF-8/],
    ["a line without end", bytes(0x80, 2, "cos"), /line without an end/],
  ])("%s", async (_what, input, message) => {
    expect(await failure(input)).toMatch(message);
  });
});

describe("weights: bombs", () => {
  const many = (n: number, ...pieces: Piece[]): Uint8Array => {
    const unit = bytes(...pieces);
    const out = new Uint8Array(unit.length * n);
    for (let i = 0; i < n; i++) out.set(unit, i * unit.length);
    return out;
  };

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

describe("weights: tensors that do not fit their storage", () => {
  const attempt = (object: Piece, files: Record<string, Uint8Array> = ONE) =>
    failure(zipFile(dict(text("w"), object), files));
  const four = storage("FloatStorage", "0", 4);

  it("refuses windows beyond the end", async () => {
    const sentence = /tensor "w" f32\[\d.*reaches element \d+ of a storage of 4/;
    expect(await attempt(tensor(four, 0, [5], [1]))).toMatch(sentence);
    expect(await attempt(tensor(four, 1, [4], [1]))).toMatch(sentence);
    expect(await attempt(tensor(four, 0, [2, 2], [3, 2]))).toMatch(sentence);
    expect(await attempt(tensor(four, 0, [2], [2 ** 31 - 1]))).toMatch(sentence);
  });

  it("refuses negative and fractional geometry", async () => {
    expect(await attempt(tensor(four, -1, [1], [1]))).toMatch(/gives -1 as a tensor's offset/);
    expect(await attempt(tensor(four, 0, [-1], [1]))).toMatch(/gives -1 as a tensor's shape/);
    expect(await attempt(tensor(four, 3, [2], [-1]))).toMatch(/gives -1 as a tensor's strides/);
    expect(await attempt(tensor(four, 0, [2], []))).toMatch(/1 sizes but 0 strides/);
    expect(await attempt(tensor(int(3), 0, [1], [1]))).toMatch(/builds a tensor on a number/);
  });

  it("refuses storages that are shorter than they say, or missing", async () => {
    expect(await attempt(tensor(storage("FloatStorage", "0", 5), 0, [1], [1]))).toMatch(
      /member data\/0 holds 16 bytes where 5 elements of f32 need 20/,
    );
    expect(await attempt(tensor(storage("FloatStorage", "1", 4), 0, [1], [1]))).toMatch(/no member data\/1/);
    const object = tensor(legacyStorage("FloatStorage", "k", 4), 0, [4], [1]);
    expect(await failure(legacyFile(object))).toMatch(/refers to the storage k, which does not follow/);
    expect(await failure(legacyFile(object, [["k", 3, floats(1, 2, 3)]]))).toMatch(
      /3 elements where 4 were announced/,
    );
    expect(await failure(legacyFile(object, [["k", 4, floats(1, 2, 3)]]))).toMatch(
      /cut short: 16 more bytes/,
    );
    expect(await failure(legacyFile("N", [["k", 1, floats(1)]]))).toMatch(/lists a storage k/);
  });

  it("refuses two tensors of one name and kinds of storage it does not know", async () => {
    const twice = dict(text("a/b"), good, text("a"), dict(text("b"), good));
    expect(await failure(zipFile(twice, ONE))).toMatch(/two tensors called "a\/b"/);
    expect(await attempt(tensor(storage("WeirdStorage", "0", 4), 0, [1], [1]))).toMatch(
      /torch\.WeirdStorage as a kind/,
    );
  });

  it("reads views on legacy storages, and only inside them", async () => {
    const view = (offset: number, size: number) =>
      tensor(legacyStorage("FloatStorage", "k", 4, tuple(text("v"), int(offset), int(size))), 0, [size], [1]);
    const tensors = await weights.read(
      legacyFile(dict(text("w"), view(1, 2)), [["k", 4, floats(1, 2, 3, 4)]]),
    );
    expect(tensors.get("w")?.data).toEqual(Float32Array.of(2, 3));
    expect(await failure(legacyFile(view(3, 2), [["k", 4, floats(1, 2, 3, 4)]]))).toMatch(
      /2 elements from 3 on/,
    );
  });
});

describe("weights: PyTorch 2 and old PyTorch", () => {
  const read = (object: Piece, raw: Uint8Array, skipUnsupported = false) =>
    weights.readCheckpoint(zipFile(dict(text("w"), object), { "0": raw }), { skipUnsupported });
  const shape: Piece[] = [tuple(int(2)), tuple(int(1)), 0x89, call(global("collections", "OrderedDict"))];

  it("reads _rebuild_tensor_v3 on an untyped storage (uint16, float8)", async () => {
    const on = [
      tuple(text("storage"), global("torch.storage", "UntypedStorage"), text("0"), text("cpu"), int(4)),
      "Q",
    ];
    const v3 = (dtype: string) =>
      call(global("torch._utils", "_rebuild_tensor_v3"), on, int(0), ...shape, global("torch", dtype));
    const { tensors } = await read(v3("uint16"), bytes(1, 0, 255, 255));
    expect(tensors.get("w")).toEqual({ shape: [2], dtype: "u16", data: Uint16Array.of(1, 65535) });
    const { skipped } = await read(v3("float8_e5m2"), new Uint8Array(4), true);
    expect(skipped).toEqual([{ name: "w", reason: "is of 8-bit floats (float8_e5m2)" }]);
    await expect(read(v3("float7"), new Uint8Array(4))).rejects.toThrow(/torch\.float7 as a dtype/);
  });

  it("reads parameters with attributes and subclasses of Tensor", async () => {
    const inner = tuple(storage("FloatStorage", "0", 4), int(1), ...shape);
    const type = call(
      global("torch._tensor", "_rebuild_from_type_v2"),
      global("torch._utils", "_rebuild_tensor_v2"),
      global("mine", "Picture"),
      inner,
      dict(),
    );
    expect((await read(type, ONE["0"])).tensors.get("w")?.data).toEqual(Float32Array.of(2, 3));
    const parameter = call(global("torch._utils", "_rebuild_parameter_with_state"), good, 0x88, "N", dict());
    expect((await read(parameter, ONE["0"])).tensors.get("w")?.data).toEqual(Float32Array.of(1, 2, 3, 4));
    const variable: Piece = [
      call(global("torch.nn.parameter", "Parameter"), good),
      tuple(0x88, 0x89, "N"),
      "b",
    ];
    expect((await read(variable, ONE["0"])).tensors.get("w")?.data).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  it("reads objects of protocols 0 and 1", async () => {
    const made = (base: string, content: Piece) =>
      call(global("copy_reg", "_reconstructor"), global("mine", "box"), global("__builtin__", base), content);
    const object = dict(
      text("d"),
      made("dict", dict(text("w"), good)),
      text("l"),
      made("list", ["]", good, "a"]),
    );
    expect([...(await weights.read(zipFile(object, ONE))).keys()]).toEqual(["d/w", "l/0"]);
  });

  it("does not pass off negated or unknown tensors as plain ones", async () => {
    const negated = tensor(storage("FloatStorage", "0", 4), 0, [4], [1], dict(text("neg"), 0x88));
    await expect(read(negated, ONE["0"])).rejects.toThrow(/tensor "w" is stored negated/);
    const nested = call(global("torch._utils", "_rebuild_nested_tensor"), good);
    await expect(read(nested, ONE["0"])).rejects.toThrow(/tensor "w" needs torch's _rebuild_nested_tensor/);
    const self = global("torch._tensor", "_rebuild_from_type_v2");
    await expect(read(call(self, self, self, tuple(self)), ONE["0"])).rejects.toThrow(/asks to call/);
  });

  it("reads Python 2's strings", async () => {
    const key = (s: string): Piece => ["U", s.length, s];
    const { tensors, extras } = await weights.readCheckpoint(
      zipFile(
        [
          "}",
          "(",
          key("w"),
          good,
          key("arch"),
          "S'res\\x41net'\n",
          key("n"),
          "I12\n",
          key("t"),
          "I01\n",
          "u",
        ],
        ONE,
      ),
    );
    expect([...tensors.keys()]).toEqual(["w"]);
    expect([...extras]).toEqual([["arch", "resAnet"], ["n", 12], ["t", true]]); // biome-ignore format: a table
  });
});

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

  it("says what other zip archives are", async () => {
    const { zipSync } = await import("fflate");
    const one = new Uint8Array(1);
    expect(await failure(zipSync({ "a/code/x.py": one, "a/data.pkl": one }))).toMatch(
      /is a TorchScript archive/,
    );
    expect(await failure(zipSync({ "model.weights.h5": one }))).toMatch(/is a Keras v3 archive/);
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
    ["HDF5", bytes(0x89, "HDF\r\n", 0x1a, "\n"), /is an HDF5 file/],
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
