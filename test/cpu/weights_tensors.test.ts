// What a pickle may say of tensors and how PyTorch of other versions than the fixtures' says it; assembled by hand.
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
  storage,
  tensor,
  text,
  tuple,
  u32,
  zipFile,
} from "../fixtures/weights/assemble.ts";
import { failure, good, ONE } from "../fixtures/weights/failure.ts";

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

  it("refuses floats and bools as numbers of elements", async () => {
    const float = (n: number): Piece => ["G", new Uint8Array(Float64Array.of(n).buffer).reverse()];
    const shaped = (extent: Piece) =>
      call(
        ...[global("torch._utils", "_rebuild_tensor_v2"), four, int(0), tuple(extent), tuple(int(1)), 0x89],
        call(global("collections", "OrderedDict")),
      );
    expect(await attempt(shaped(float(4)))).toMatch(/gives a float as a tensor's shape/);
    expect(await attempt(shaped(float(3.5)))).toMatch(/gives 3\.5 as a tensor's shape/);
    expect(await attempt(shaped(0x88))).toMatch(/gives a boolean as a tensor's shape/);
    // As values and keys they are the numbers they are.
    const object = dict(
      text("lr"),
      float(4),
      text("list"),
      tuple(float(1), float(0.5), int(2)),
      float(3),
      "N",
    );
    const { extras } = await weights.readCheckpoint(zipFile(object));
    expect([...extras]).toEqual([["lr", 4], ["list", [1, 0.5, 2]], ["3.0", null]]); // biome-ignore format: a table
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

  it("refuses a quantised module that was saved whole, naming the tensor as its state_dict does", async () => {
    const made = (name: string, state: Piece): Piece => [global("torch.nn", name), ")", 0x81, state, "b"];
    const qtensor = call(
      ...[global("torch._utils", "_rebuild_qtensor"), storage("QInt8Storage", "0", 4), int(0)],
      ...[tuple(int(4)), tuple(int(1)), tuple(global("torch", "per_tensor_affine"), int(1), int(0))],
    );
    const module = (children: Piece, ...more: Piece[]) =>
      dict(text("_parameters"), "}", text("_buffers"), "}", text("_modules"), children, ...more);
    const script: Piece = [
      global("torch", "ScriptObject"),
      ")",
      0x81,
      tuple(tuple(qtensor, good), text("c")),
      "b",
    ];
    const linear = made("Linear", module("}", text("_packed_params"), script));
    const net = made("Sequential", module(dict(text("0"), linear, text("1"), "N")));
    const refused = /tensor "0\._packed_params\/0" is quantised \(qint8\), per tensor affine/;
    expect(await failure(zipFile(net, ONE))).toMatch(refused);
    const { tensors } = await weights.readCheckpoint(zipFile(net, ONE), { skipUnsupported: true });
    expect([...tensors.keys()]).toEqual(["0._packed_params/1"]);
    // A convolution's state is a tuple, so it has none of a module's three dicts.
    const conv = made("Conv2d", tuple(int(3), qtensor));
    const around = made("Sequential", module(dict(text("c"), conv)));
    expect(await failure(zipFile(around, ONE))).toMatch(/tensor "c\/state\/1" is quantised \(qint8\)/);
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

  it("reads NumPy arrays of Python 2, whose bytes are a str, and scalars of NumPy 2", async () => {
    const key = (k: string): Piece => ["U", k.length, k];
    const dtype: Piece = [
      call(global("numpy", "dtype"), key("f4"), int(0), int(1)),
      tuple(int(3), key("<"), "NNN"),
      "b",
    ];
    const array = (raw: Uint8Array): Piece => [
      call(
        global("numpy.core.multiarray", "_reconstruct"),
        global("numpy", "ndarray"),
        tuple(int(0)),
        key("b"),
      ),
      [tuple(int(1), tuple(int(2)), dtype, 0x89, ["T", u32(raw.length), raw]), "b"],
    ];
    const scalar = call(global("numpy._core.multiarray", "scalar"), dtype, ["C", 4, floats(0.5)]);
    // Zeros are valid UTF-8 and come as text at first, -0 is not.
    const object = dict(
      text("zeros"),
      array(floats(0, 0)),
      text("odd"),
      array(floats(-0, 3)),
      text("best"),
      scalar,
    );
    const { tensors, extras } = await weights.readCheckpoint(legacyFile(object));
    expect(tensors.get("zeros")?.data).toEqual(Float32Array.of(0, 0));
    expect(tensors.get("odd")?.data).toEqual(Float32Array.of(-0, 3));
    expect(extras.get("best")).toBe(0.5);
    expect(await failure(legacyFile(array(floats(1))))).toMatch(/NumPy array f32\[2\] with 4 bytes of data/);
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
