// Half precision: all 65,536 halves exactly, and rounding against the definition (the nearest half, ties to even).
import { describe, expect, it } from "vitest";
import { floatsToHalves } from "../../src/core/half.ts";
import { Generator } from "../../src/core/random.ts";
import {
  bfloatToFloat,
  floatToHalf,
  halfToFloat,
  toFloat32,
  type WeightEntry,
} from "../../src/weights/index.ts";

const isNaN16 = (bits: number) => (bits & 0x7fff) > 0x7c00;

describe("weights: half precision", () => {
  it("knows the corners of binary16", () => {
    const known: Array<[number, number]> = [
      [0x0000, 0],
      [0x8000, -0],
      [0x0001, 2 ** -24],
      [0x03ff, 1023 * 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3555, 0.333251953125],
      [0x3c00, 1],
      [0x7bff, 65504],
      [0x7c00, Number.POSITIVE_INFINITY],
      [0xfc00, Number.NEGATIVE_INFINITY],
    ];
    for (const [bits, value] of known) {
      expect(halfToFloat(bits)).toBe(value);
      expect(floatToHalf(value)).toBe(bits);
    }
    expect(halfToFloat(0x7e00)).toBeNaN();
    expect(floatToHalf(Number.NaN)).toBe(0x7e00);
  });

  it("rounds arrays as it rounds single numbers: every half, the numbers between two, and their neighbours", () => {
    const values = new Float32Array(6 * 65536);
    const bits = new Uint32Array(values.buffer);
    for (let half = 0; half < 65536; half++) {
      values[6 * half] = halfToFloat(half);
      // The middle between a half and the next away from zero lies 0x1000 above it in float32's bits.
      for (const [k, offset] of [0xfff, 0x1000, 0x1001, 0x1fff, -1].entries())
        bits[6 * half + 1 + k] = bits[6 * half] + offset;
    }
    const halves = floatsToHalves(values);
    for (let i = 0; i < values.length; i++)
      if (halves[i] !== floatToHalf(values[i]))
        expect.fail(
          `${values[i]}: 0x${halves[i].toString(16)}, not 0x${floatToHalf(values[i]).toString(16)}`,
        );
    expect(floatsToHalves(new Float32Array(values.buffer, 24, 3))).toEqual(halves.slice(6, 9));
  });

  it("gives every half back", () => {
    for (let bits = 0; bits < 65536; bits++) {
      const back = floatToHalf(halfToFloat(bits));
      if (isNaN16(bits) ? !isNaN16(back) : back !== bits)
        expect.fail(`0x${bits.toString(16)} became 0x${back.toString(16)}`);
    }
  });

  it("rounds to the nearest half, ties to even, between all neighbours", () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const low = halfToFloat(bits);
      const middle = (low + halfToFloat(bits + 1)) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const cases: Array<[number, number]> = [
        [middle, even],
        [middle * (1 - 2 ** -52), bits],
        [middle * (1 + 2 ** -52), bits + 1],
        [-middle, even | 0x8000],
      ];
      for (const [x, wanted] of cases)
        if (floatToHalf(x) !== wanted) expect.fail(`${x}: 0x${floatToHalf(x).toString(16)}`);
    }
    expect(floatToHalf(65519.999)).toBe(0x7bff);
    expect(floatToHalf(65520)).toBe(0x7c00);
    expect(floatToHalf(1e300)).toBe(0x7c00);
    expect(floatToHalf(-1e300)).toBe(0xfc00);
    expect(floatToHalf(2 ** -25)).toBe(0);
    expect(floatToHalf(2 ** -25 * 1.0001)).toBe(1);
    expect(floatToHalf(Number.MIN_VALUE)).toBe(0);
  });

  it("reads bfloat16 as the upper half of a float32", () => {
    const random = new Generator(3);
    for (let i = 0; i < 1000; i++) {
      const bits = random.word() & 0xffff;
      const float = new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
      expect(bfloatToFloat(bits)).toEqual(float);
    }
    expect(bfloatToFloat(0xc049)).toBe(-3.140625);
  });
});

describe("weights: toFloat32", () => {
  const entry = (dtype: WeightEntry["dtype"], data: WeightEntry["data"]): WeightEntry => ({
    shape: [data.length],
    dtype,
    data,
  });

  it.each<[WeightEntry, number[]]>([
    [entry("f16", Uint16Array.of(0x3c00, 0x0001, 0xfc00)), [1, 2 ** -24, Number.NEGATIVE_INFINITY]],
    [entry("bf16", Uint16Array.of(0x3f80, 0xc049)), [1, -3.140625]],
    [entry("f64", Float64Array.of(0.1)), [Math.fround(0.1)]],
    [entry("i64", BigInt64Array.of(-7n, 16777217n)), [-7, 16777216]],
    [entry("u64", BigUint64Array.of(2n ** 64n - 1n)), [2 ** 64]],
    [entry("i32", Int32Array.of(-7)), [-7]],
    [entry("u16", Uint16Array.of(65535)), [65535]],
    [entry("i8", Int8Array.of(-128)), [-128]],
    [entry("u8", Uint8Array.of(255)), [255]],
    [entry("bool", Uint8Array.of(0, 1, 255)), [0, 1, 1]],
  ])("$dtype", (from, to) => {
    expect([...toFloat32(from)]).toEqual(to);
  });

  it("does not copy float32", () => {
    const data = Float32Array.of(1);
    expect(toFloat32(entry("f32", data))).toBe(data);
  });
});
