// ceiling_vec4 — the chains of ceiling_scalar as 6 vectors of four.
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
  let x = vec4<f32>(u.x);
  let b = vec4<f32>(u.b);
  let v = vec4<f32>(f32(at.x)) + vec4<f32>(0.0, 1.0, 2.0, 3.0);
  var a0 = v;
  var a1 = v + 4.0;
  var a2 = v + 8.0;
  var a3 = v + 12.0;
  var a4 = v + 16.0;
  var a5 = v + 20.0;
  for (var i = 0u; i < u.rounds; i++) {
    a0 = fma(a0, x, b);
    a1 = fma(a1, x, b);
    a2 = fma(a2, x, b);
    a3 = fma(a3, x, b);
    a4 = fma(a4, x, b);
    a5 = fma(a5, x, b);
  }
  let s = a0 + a1 + a2 + a3 + a4 + a5;
  y[at.x] = s.x + s.y + s.z + s.w;
}
