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
  text,
  tuple,
  u32,
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
    ["Popen under another name", call(global("six.moves", "Popen"), text("ls /")), "six.moves.Popen"],
    ["a copy of os in a package", global("vendored.os", "popen"), "vendored.os.popen"],
    ["a class of the standard library", call(global("zipfile", "ZipFile"), text("x")), "zipfile.ZipFile"],
    ["a logger", call(global("logging", "FileHandler"), text("x")), "logging.FileHandler"],
    ["an array of code", global("array", "array"), "array.array"],
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
    const { tensors, extras, foreign } = await weights.readCheckpoint(zipFile(object, ONE));
    expect([...tensors.keys()]).toEqual(["own/k", "w"]);
    expect(extras.get("args/lr")).toBe(3);
    expect(foreign).toEqual(["__main__.lower"]);
  });

  it("keeps what an unknown class was called with as text, and says that there is such an object", async () => {
    const object = call(global("foo", "Bar"), text("ls /"));
    const { tensors, extras, foreign } = await weights.readCheckpoint(
      zipFile(dict(text("a"), object, text("w"), good), ONE),
    );
    expect([...tensors.keys()]).toEqual(["w"]);
    expect([...extras]).toEqual([["a/0", "ls /"]]);
    expect(foreign).toEqual(["foo.Bar"]);
  });

  it("refuses a file of nothing but unknown objects", async () => {
    const object = call(global("foo", "Bar"), text("ls /"));
    for (const [, file] of containers(dict(text("a"), object)))
      expect(await failure(file)).toBe(
        "weights: x.pt: holds no tensors, only objects of foo.Bar, which Thaw never runs",
      );
    const more = ["A", "B", "C", "D"].map((name) => call(global("foo", name)));
    expect(await failure(pickle(tuple(...more)))).toMatch(
      /of foo\.A, foo\.B, foo\.C and 1 more class, which/,
    );
    expect((await weights.read(pickle("}"))).size).toBe(0);
  });

  it("does not take what an unknown class was called with for what it holds", async () => {
    const scaled = call(global("mine", "Scaled"), tuple(good), int(2));
    const file = zipFile(dict(text("a"), scaled, text("w"), good), ONE);
    const reason = "is an argument of a call of mine.Scaled, which may make anything of it";
    expect(await failure(file)).toContain(`tensor "a/0/0" ${reason}, which Thaw does not read`);
    const { tensors, skipped } = await weights.readCheckpoint(file, { skipUnsupported: true });
    expect([...tensors.keys()]).toEqual(["w"]);
    expect(skipped).toEqual([{ name: "a/0/0", reason }]);
    // A named tuple is made of its items, by NEWOBJ.
    const pair = [global("mine", "Pair"), tuple(good), 0x81];
    expect([...(await weights.read(zipFile(pair, ONE))).keys()]).toEqual(["0"]);
  });
});

describe("weights: damaged pickles", () => {
  it.each<[string, Uint8Array, RegExp]>([
    [
      "an encoding that is no text",
      pickle(call(global("_codecs", "encode"), text("a"), dict())),
      /encodes a string as a dict, not latin-1/,
    ],
    ["no encoding", pickle(call(global("_codecs", "encode"), text("a"))), /a string as nothing, not latin-1/],
    [
      "storages that are no keys",
      bytes(legacyFile("N").slice(0, -4), "](}e."),
      /lists a dict as the key of a storage/,
    ],
    ["an array of nothing", pickle(call(global("numpy", "dtype"), "}")), /a NumPy dtype of a dict/],
    [
      "an array of an array",
      pickle([
        call(global("numpy.core.multiarray", "_reconstruct"), "N"),
        tuple("N", tuple(), "]", "N", "N"),
        "b",
      ]),
      /a NumPy array a list as dtype/,
    ],
  ])("says what it found for %s, in Python's words", async (_what, input, message) => {
    expect(await failure(input)).toMatch(message);
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
