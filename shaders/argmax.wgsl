// argmax — y[row] = position of the largest of `length` elements; ties give the first, NaN is largest. One invocation
// per row. Floats are compared as ordered integers, because WGSL comparisons may assume that there are no NaNs.
const WG = 64u; //@param

struct Sizes {
  rows: u32,
  length: u32,
  inner: u32,
  first: u32,
  x0: u32,
  batch: u32,
  stride: u32,
  y0: u32,
  yrow: u32,
  yn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;

// An integer that orders floats, -0 equal to 0, NaN above all.
fn order(v: f32) -> u32 {
  let b = bitcast<u32>(v);
  let magnitude = b & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0xffffffffu;
  }
  if (magnitude == 0u) {
    return 0x80000000u;
  }
  return select(b | 0x80000000u, ~b, b >= 0x80000000u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let row = (w.y * g.x + w.x) * WG + l;
  if (row >= u.rows) {
    return;
  }
  let outer = row / u.inner;
  let base = u.x0 + (outer / u.first) * u.batch + (outer % u.first) * u.length * u.inner + row % u.inner;
  var best = order(x[base]);
  var at = 0u;
  for (var r = 1u; r < u.length; r++) {
    let v = order(x[base + r * u.stride]);
    if (v > best) {
      best = v;
      at = r;
    }
  }
  y[u.y0 + (row / u.yrow) * u.yn + row % u.yrow] = i32(at);
}
