// winograd_weight — U[i, m, k] = (G·g·Gᵀ)[i], i of 4×4: the 3×3 weights of each pair of channels for Winograd's
// F(2×2, 3×3) (Lavin and Gray, 2016). One invocation a pair, lanes along k. wt = -1 walks the taps backwards, for the
// input gradient.
const WG = 64u; //@param

struct Sizes {
  m: u32,
  k: u32,
  w0: u32,
  wk: u32,
  wm: u32,
  wt: i32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn weight(base: u32, t: u32) -> f32 {
  return w[u32(i32(base) + i32(t) * u.wt)];
}

fn spread(v: vec3<f32>) -> vec4<f32> {
  return vec4<f32>(v.x, 0.5 * (v.x + v.y + v.z), 0.5 * (v.x - v.y + v.z), v.z);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let k = id.x * WG + l;
  if (k >= u.k) {
    return;
  }
  let base = u.w0 + id.y * u.wm + k * u.wk;
  let a = vec3<f32>(weight(base, 0u), weight(base, 1u), weight(base, 2u));
  let b = vec3<f32>(weight(base, 3u), weight(base, 4u), weight(base, 5u));
  let c = vec3<f32>(weight(base, 6u), weight(base, 7u), weight(base, 8u));
  var rows = array<vec4<f32>, 4>(spread(a), spread(0.5 * (a + b + c)), spread(0.5 * (a - b + c)), spread(c));
  for (var i = 0u; i < 16u; i++) {
    y[(i * u.m + id.y) * u.k + k] = rows[i / 4u][i % 4u];
  }
}
