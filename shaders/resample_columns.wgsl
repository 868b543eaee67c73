// resample_columns — the horizontal pass of resample: middle[i, r, c] = clip8((2²¹ + Σ px·w) >> 22) for the rows that
// the vertical pass will read, three channels packed into one word. One invocation per pixel, folded over x and y; z is
// the picture.
const WG = 64u; //@param

struct Sizes {
  width: u32,
  lines: u32,
  rows: u32,
  first: u32,
  t0: u32,
  p0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> px: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<i32>;
@group(0) @binding(3) var<storage, read_write> middle: array<u32>;

fn at(i: u32) -> u32 {
  return u32(table[u.t0 + i]);
}

fn byte(i: u32) -> i32 {
  return i32((px[i >> 2u] >> ((i & 3u) * 8u)) & 255u);
}

fn clip8(s: i32) -> u32 {
  return u32(clamp((s + 2097152) >> 22u, 0, 255));
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) g: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (g.y * n.x + g.x) * WG + l;
  let e = (u.first + g.z) * 10u;
  let r = i / u.width;
  let c = i % u.width;
  if (r >= at(e + 9u)) {
    return;
  }
  let xmin = at(at(e + 2u) + 2u * c);
  let count = at(at(e + 2u) + 2u * c + 1u);
  let weights = at(e + 3u) + c * at(e + 4u);
  var p = u.p0 + at(e) + ((at(e + 8u) + r) * at(e + 1u) + xmin) * 3u;
  var s = vec3<i32>(0);
  for (var k = 0u; k < count; k++) {
    let w = table[u.t0 + weights + k];
    s += vec3<i32>(byte(p), byte(p + 1u), byte(p + 2u)) * w;
    p += 3u;
  }
  middle[(g.z * u.rows + r) * u.width + c] = clip8(s.x) | (clip8(s.y) << 8u) | (clip8(s.z) << 16u);
}
