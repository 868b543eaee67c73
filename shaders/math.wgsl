// math — scalar functions for spliced expressions (`//@include math`). WGSL compilers may assume that there are no
// NaNs and software drivers clamp arguments, so whatever must treat NaN and infinities as PyTorch does tests bits.

fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_inf(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

// x < 0, false for NaN and -0: as integers, negative numbers up to -inf are those not above 0xff800000.
fn is_negative(x: f32) -> bool {
  let b = bitcast<i32>(x);
  return b <= -8388608 && b != i32(-2147483648);
}

// x > 0, false for NaN.
fn is_positive(x: f32) -> bool {
  let b = bitcast<i32>(x);
  return b > 0 && b <= 0x7f800000;
}

// x <= 0, false for NaN.
fn not_positive(x: f32) -> bool {
  return is_negative(x) || (bitcast<u32>(x) & 0x7fffffffu) == 0u;
}

// y, but NaN where x is NaN.
fn pass_nan(x: f32, y: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(y), bitcast<u32>(x), is_nan(x)));
}

fn make_nan(x: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) & 1u) | 0x7fc00000u);
}

fn make_inf(x: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) & 0u) | 0x7f800000u);
}

fn relu_bits(x: f32) -> f32 {
  return select(x, 0.0, is_negative(x));
}

// The larger, NaN if either is.
fn max_bits(a: f32, b: f32) -> f32 {
  return pass_nan(b, pass_nan(a, max(a, b)));
}

fn min_bits(a: f32, b: f32) -> f32 {
  return pass_nan(b, pass_nan(a, min(a, b)));
}

// hi where lo > hi, as torch.clamp.
fn clamp_bits(x: f32, lo: f32, hi: f32) -> f32 {
  return min_bits(max_bits(x, lo), hi);
}

fn safe_exp(x: f32) -> f32 {
  var y = exp(clamp(x, -104.0, 89.0));
  y = select(y, 0.0, x < -103.9);
  y = select(y, make_inf(x), x > 88.8);
  return pass_nan(x, y);
}

fn safe_log(x: f32) -> f32 {
  var y = log(x);
  y = select(y, -make_inf(x), (bitcast<u32>(x) & 0x7fffffffu) == 0u);
  y = select(y, make_inf(x), bitcast<u32>(x) == 0x7f800000u);
  y = select(y, make_nan(x), is_negative(x));
  return pass_nan(x, y);
}

fn safe_sqrt(x: f32) -> f32 {
  var y = sqrt(x);
  y = select(y, x, (bitcast<u32>(x) & 0x7fffffffu) == 0u || bitcast<u32>(x) == 0x7f800000u);
  y = select(y, make_nan(x), is_negative(x));
  return pass_nan(x, y);
}

fn sigmoid(x: f32) -> f32 {
  let t = safe_exp(-abs(x));
  return pass_nan(x, select(1.0 / (1.0 + t), t / (1.0 + t), is_negative(x)));
}

fn tanh_exp(x: f32) -> f32 {
  let z = x * x;
  let small = x * (1.0 + z * (-0.33333333 + z * (0.13333333 + z * (-0.053968254 + z * 0.021869488))));
  let t = safe_exp(-2.0 * abs(x));
  let big = (1.0 - t) / (1.0 + t);
  return pass_nan(x, select(select(big, -big, x < 0.0), small, abs(x) < 0.25));
}

// exp(x) - 1 for x <= 0.
fn expm1_neg(x: f32) -> f32 {
  let small = x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666667 + x * 0.0083333333))));
  return select(safe_exp(x) - 1.0, small, x > -0.1);
}

fn softplus(x: f32) -> f32 {
  return pass_nan(x, max(x, 0.0) + log(1.0 + safe_exp(-abs(x))));
}

fn silu_grad(x: f32) -> f32 {
  let s = sigmoid(x);
  return s * (1.0 + x * (1.0 - s));
}

// Complementary error function, relative error below 1.2e-7 (Press et al., Numerical Recipes, erfcc).
fn erfc_f32(x: f32) -> f32 {
  let z = abs(x);
  let t = 1.0 / (1.0 + 0.5 * z);
  let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807
    + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  let r = t * safe_exp(-z * z + p);
  return pass_nan(x, select(r, 2.0 - r, x < 0.0));
}

fn gelu_inner(x: f32) -> f32 {
  return 0.79788456 * (x + 0.044715 * x * x * x);
}

fn gelu_tanh_grad(x: f32) -> f32 {
  let s = sigmoid(2.0 * gelu_inner(x));
  return s + x * s * (1.0 - s) * 1.5957691 * (1.0 + 0.134145 * x * x);
}

// x to the power p as C's pow: 1 for p = 0 and for x = 1, NaN or not; a negative base is allowed when p is a whole
// number. What WGSL leaves open, or drivers get wrong (a zero or infinite base, an infinite power), is told by bits.
fn pow_signed(x: f32, p: f32) -> f32 {
  let bx = bitcast<u32>(x);
  let bp = bitcast<u32>(p);
  let ax = bx & 0x7fffffffu;
  let ap = bp & 0x7fffffffu;
  if (ap == 0u || bx == 0x3f800000u) {
    return 1.0;
  }
  if (bp == 0x3f800000u) {
    return x;
  }
  if (bp == 0x40000000u) {
    return x * x;
  }
  let whole = ap == 0x7f800000u || p == floor(p);
  let odd = whole && abs(p) < 16777216.0 && (i32(p) & 1) != 0;
  let end = ax == 0u || ax == 0x7f800000u;
  var m = pow(abs(x), p);
  m = select(m, select(0.0, make_inf(x), (ax == 0u) == is_negative(p)), end);
  if (ap == 0x7f800000u && !end) {
    m = select(0.0, make_inf(x), (ax > 0x3f800000u) == is_positive(p));
    m = select(m, 1.0, ax == 0x3f800000u);
  }
  let y = select(m, -m, odd && (bx & 0x80000000u) != 0u);
  return pass_nan(p, pass_nan(x, select(y, make_nan(x), is_negative(x) && !whole && !end)));
}
