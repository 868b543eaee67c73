// The wire format of protocol buffers: the examples of its documentation byte for byte, what is written read again,
// and messages that are damaged.
import { describe, expect, it } from "vitest";
import {
  type ProtoField,
  ProtoWriter,
  packedVarints,
  packedWords,
  protoFields,
  protoText,
} from "../../src/weights/protobuf.ts";
import { Source } from "../../src/weights/source.ts";

const fields = (...bytes: number[]): ProtoField[] => [
  ...protoFields(new Source("x", Uint8Array.from(bytes)), "a message"),
];

describe("protobuf", () => {
  it("reads the documentation's examples", () => {
    expect(fields(0x08, 0x96, 0x01)).toEqual([{ field: 1, wire: "varint", value: 150n }]);
    const [text] = fields(0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67);
    expect(text).toMatchObject({ field: 2, wire: "bytes" });
    if (text.wire === "varint") throw new Error("no bytes");
    expect(protoText(new Source("x", text.bytes), text.bytes, "it")).toBe("testing");
    const packed = new Source("x", Uint8Array.of(0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05));
    expect(packedVarints(packed, "it")).toEqual([3n, 270n, 86942n]);
  });

  it("writes them", () => {
    const hex = (w: ProtoWriter) => Buffer.from(w.finish()).toString("hex");
    expect(hex(new ProtoWriter().varint(1, 150))).toBe("089601");
    expect(hex(new ProtoWriter().text(2, "testing"))).toBe("120774657374696e67");
    expect(hex(new ProtoWriter().message(3, new ProtoWriter().varint(1, 150)))).toBe("1a03089601");
    expect(hex(new ProtoWriter().packed(6, [3, 270, 86942]))).toBe("3206038e029ea705");
    expect(hex(new ProtoWriter().varint(1, -2))).toBe("08feffffffffffffffff01");
    expect(hex(new ProtoWriter().float(2000, 1.5))).toBe("857d0000c03f");
  });

  it("gives numbers of any length back", () => {
    const numbers = [0n, 127n, 128n, 2n ** 28n - 1n, 2n ** 28n, 2n ** 35n, 2n ** 53n + 1n, 2n ** 64n - 1n];
    const w = new ProtoWriter();
    for (const n of numbers) w.varint(536870911, n);
    const read = [...protoFields(new Source("x", w.finish()), "a message")];
    expect(read).toEqual(numbers.map((value) => ({ field: 536870911, wire: "varint", value })));
    expect(
      packedVarints(new Source("x", new ProtoWriter().packed(1, numbers).finish().subarray(2)), "it"),
    ).toEqual(numbers);
  });

  it("gives packed numbers as words of any width", () => {
    const numbers = [
      0n,
      1n,
      127n,
      128n,
      2n ** 28n,
      2n ** 31n,
      2n ** 32n - 1n,
      2n ** 35n,
      2n ** 63n + 5n,
      2n ** 64n - 1n,
    ];
    const packed = new ProtoWriter().packed(1, numbers).finish();
    const source = new Source("x", packed.subarray(2));
    const words = packedWords(source, "it", 8);
    expect([...new BigUint64Array(words.buffer)]).toEqual(numbers);
    const low = packedWords(source, "it", 4);
    expect([...new Uint32Array(low.buffer)]).toEqual(numbers.map((n) => Number(BigInt.asUintN(32, n))));
    expect(packedWords(source, "it", 1)).toEqual(Uint8Array.from(numbers, (n) => Number(n & 255n)));
  });

  it("refuses what is damaged", () => {
    expect(() => fields(0x08)).toThrow(/a message is cut short: 1 more bytes belong at byte 1, 0 are there/);
    expect(() => fields(0x12, 0x07, 0x74)).toThrow(/7 more bytes belong at byte 2, 1 are there/);
    expect(() => fields(0x12, ...new Array(9).fill(0xff), 1)).toThrow(
      /claims a field of 18446744073709551615 bytes/,
    );
    expect(() => fields(0x08, ...new Array(9).fill(0xff), 2)).toThrow(/more than 64 bits/);
    expect(() => fields(0x08, ...new Array(11).fill(0xff))).toThrow(/more than 64 bits/);
    expect(() => fields(0x0b)).toThrow(/wire type 3/);
    expect(() => fields(0x00, 1)).toThrow(/a field of number 0/);
    expect(() => protoText(new Source("x", Uint8Array.of()), Uint8Array.of(255), "it")).toThrow(/no UTF-8/);
  });
});
