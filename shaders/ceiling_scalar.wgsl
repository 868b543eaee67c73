// ceiling_scalar — 24 independent chains v ← v·x + b an invocation and no loads: what the device can multiply and add
// at most, in scalars. x and b come from the uniform, so that nothing can be computed beforehand.
const WG = 64u; //@param

struct Sizes {
  rounds: u32,
  x: f32,
  b: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
  let v = f32(at.x);
  var a0 = v;
  var a1 = v + 1.0;
  var a2 = v + 2.0;
  var a3 = v + 3.0;
  var a4 = v + 4.0;
  var a5 = v + 5.0;
  var a6 = v + 6.0;
  var a7 = v + 7.0;
  var a8 = v + 8.0;
  var a9 = v + 9.0;
  var a10 = v + 10.0;
  var a11 = v + 11.0;
  var a12 = v + 12.0;
  var a13 = v + 13.0;
  var a14 = v + 14.0;
  var a15 = v + 15.0;
  var a16 = v + 16.0;
  var a17 = v + 17.0;
  var a18 = v + 18.0;
  var a19 = v + 19.0;
  var a20 = v + 20.0;
  var a21 = v + 21.0;
  var a22 = v + 22.0;
  var a23 = v + 23.0;
  for (var i = 0u; i < u.rounds; i++) {
    a0 = fma(a0, u.x, u.b);
    a1 = fma(a1, u.x, u.b);
    a2 = fma(a2, u.x, u.b);
    a3 = fma(a3, u.x, u.b);
    a4 = fma(a4, u.x, u.b);
    a5 = fma(a5, u.x, u.b);
    a6 = fma(a6, u.x, u.b);
    a7 = fma(a7, u.x, u.b);
    a8 = fma(a8, u.x, u.b);
    a9 = fma(a9, u.x, u.b);
    a10 = fma(a10, u.x, u.b);
    a11 = fma(a11, u.x, u.b);
    a12 = fma(a12, u.x, u.b);
    a13 = fma(a13, u.x, u.b);
    a14 = fma(a14, u.x, u.b);
    a15 = fma(a15, u.x, u.b);
    a16 = fma(a16, u.x, u.b);
    a17 = fma(a17, u.x, u.b);
    a18 = fma(a18, u.x, u.b);
    a19 = fma(a19, u.x, u.b);
    a20 = fma(a20, u.x, u.b);
    a21 = fma(a21, u.x, u.b);
    a22 = fma(a22, u.x, u.b);
    a23 = fma(a23, u.x, u.b);
  }
  let low = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
  let high = a12 + a13 + a14 + a15 + a16 + a17 + a18 + a19 + a20 + a21 + a22 + a23;
  y[at.x] = low + high;
}
