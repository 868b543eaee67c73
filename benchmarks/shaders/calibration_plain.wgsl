// calibration_plain — calibration for devices without subgroups: 8 channels by 4 pixels an invocation, weights read as
// scalars. It takes three times as long, so figures in units of it are not those in units of calibration. It must never
// change either.

struct Sizes {
  k: u32,
  c: u32,
  hw4: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let px = group.x * 8u + l;
  let c0 = group.y * 8u;
  let n = group.z;
  var acc: array<vec4<f32>, 8>;
  for (var k = 0u; k < u.k; k++) {
    let v = g[(n * u.k + k) * u.hw4 + px];
    for (var i = 0u; i < 8u; i++) {
      acc[i] = fma(vec4<f32>(w[k * u.c + c0 + i]), v, acc[i]);
    }
  }
  for (var i = 0u; i < 8u; i++) {
    y[(n * u.c + c0 + i) * u.hw4 + px] = acc[i];
  }
}
