// How far f32 arithmetic may be from exact: the rounding unit and the accuracy that the WGSL specification demands
// of its built-in functions (https://www.w3.org/TR/WGSL/#floating-point-accuracy). The op tests derive their
// tolerances from this table and from nothing else.

/** Unit roundoff of f32. */
export const UNIT = 2 ** -24;

/** Unit roundoff of f16, for kernels that round their operands to it. */
export const UNIT_F16 = 2 ** -11;

/** The smallest normal f32: WGSL allows results below it to be flushed to zero. */
export const TINY = 2 ** -126;

/** One unit in the last place of |x| as f32. */
export function ulp(x: number): number {
  const a = Math.max(Math.abs(x), TINY);
  return Number.isFinite(a) ? 2 ** (Math.floor(Math.log2(a)) - 23) : 0;
}

/** Absolute error that WGSL allows for a built-in at the (exact) argument x with the (exact) result y. */
export const WGSL_ERROR = {
  /** exp: 3 + 2·|x| ULP. */
  exp: (x: number, y: number) => (3 + 2 * Math.abs(x)) * ulp(y),
  /** log: 2⁻²¹ absolute in [0.5, 2], else 3 ULP. */
  log: (x: number, y: number) => (x >= 0.5 && x <= 2 ? 2 ** -21 : 3 * ulp(y)),
  /** x / y: 2.5 ULP. */
  div: (_x: number, y: number) => 2.5 * ulp(y),
  /** inverseSqrt: 2 ULP. */
  inverseSqrt: (_x: number, y: number) => 2 * ulp(y),
  /** sqrt: inherited from 1.0 / inverseSqrt(x): 2 + 2.5 ULP. */
  sqrt: (_x: number, y: number) => 4.5 * ulp(y),
  /** sin and cos: 2⁻¹¹ absolute in [-π, π]. */
  sin: () => 2 ** -11,
} as const;
