// Pickles made to harm: every one must end in one DataError that says what is wrong, quickly and in little memory;
// nothing that a file names may ever be run.
import { describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";
import {
  bytes,
  call,
  dict,
  global,
  int,
  legacyFile,
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
