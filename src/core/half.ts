// Half precision (IEEE 754 binary16) and bfloat16 as bits, and the way from any entry to float32.

/** An array of a weight file, or anything like it. */
interface Elements {
  readonly dtype: string;
  readonly data: ArrayLike<number> | ArrayLike<bigint>;
}

/** The value of a binary16 number given as its 16 bits; exact. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The 16 bits of the binary16 number nearest to x (ties to even, overflow to infinity, NaN to 0x7e00). */
export function floatToHalf(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const a = Math.abs(x);
  if (a >= 65520) return sign | 0x7c00;
  // Below 2⁻¹⁴ halves are multiples of 2⁻²⁴; above, of 2^(exponent-10). Scaling by a power of two is exact, so the
  // only rounding is roundEven's; a carry into the next exponent falls out of the addition.
  if (a < 2 ** -14) return sign | roundEven(a * 2 ** 24);
  const exponent = exponentOf(a);
  return sign | (((exponent + 15) << 10) + roundEven((a / 2 ** exponent - 1) * 1024));
}

/** floor(log2 a) for 2⁻¹⁴ ≤ a < 65520, without trusting the rounding of Math.log2. */
function exponentOf(a: number): number {
  const e = Math.floor(Math.log2(a));
  if (2 ** e > a) return e - 1;
  return 2 ** (e + 1) <= a ? e + 1 : e;
}

function roundEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The value of a bfloat16 number given as its 16 bits; exact (it is the upper half of a float32). */
export function bfloatToFloat(bits: number): number {
  word[0] = bits << 16;
  return float[0];
}

let halves: Float32Array | null = null;

/** All 65,536 halves, made on first use: a table is several times faster than arithmetic on millions of weights. */
function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToFloat(bits));
  return halves;
}

/**
 * An entry's elements as float32, row-major. f32 comes back as it is (not copied); f16, bf16, bool and integers up to
 * 24 bits are exact; f64 and larger integers are rounded.
 */
export function toFloat32({ dtype, data }: Elements): Float32Array {
  if (data instanceof Float32Array) return data;
  const out = new Float32Array(data.length);
  if (dtype === "f16") {
    const table = halfTable();
    for (let i = 0; i < out.length; i++) out[i] = table[data[i] as number];
  } else if (dtype === "bf16") {
    const bits = new Uint32Array(out.buffer);
    for (let i = 0; i < out.length; i++) bits[i] = (data[i] as number) << 16;
  } else if (dtype === "bool") {
    for (let i = 0; i < out.length; i++) out[i] = Number(data[i]) === 0 ? 0 : 1;
  } else {
    for (let i = 0; i < out.length; i++) out[i] = Number(data[i]);
  }
  return out;
}

/**
 * The 16 bits of the nearest binary16 number for each element: `floatToHalf` of all of them, by integer arithmetic on
 * float32's bits, several times faster on millions of weights.
 */
export function floatsToHalves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const magnitude = bits[i] & 0x7fffffff;
    // From 2⁻¹⁴ to just below 65520: the exponent moves by 112, and 13 bits are rounded off, half of them to even.
    if (magnitude >= 0x38800000 && magnitude < 0x477ff000) {
      const rounded = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
      out[i] = ((bits[i] >>> 16) & 0x8000) | rounded;
    } else out[i] = floatToHalf(values[i]);
  }
  return out;
}
