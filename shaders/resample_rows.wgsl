// resample_rows — the vertical pass of resample: y[i, r, c] = clip8((2²¹ + Σ middle·w) >> 22), three channels packed
// into one word. One invocation per pixel, folded over x and y; z is the picture.
const WG = 64u; //@param

struct Sizes {
  width: u32,
  lines: u32,
  rows: u32,
  first: u32,
  t0: u32,
  y0: u32,
  yn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> table: array<i32>;
@group(0) @binding(2) var<storage, read_write> middle: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

fn at(i: u32) -> u32 {
  return u32(table[u.t0 + i]);
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
  if (i >= u.lines * u.width) {
    return;
  }
  let e = (u.first + g.z) * 10u;
  let r = i / u.width;
  let c = i % u.width;
  let ymin = at(at(e + 5u) + 2u * r);
  let count = at(at(e + 5u) + 2u * r + 1u);
  let weights = at(e + 6u) + r * at(e + 7u);
  var p = (g.z * u.rows + ymin - at(e + 8u)) * u.width + c;
  var s = vec3<i32>(0);
  for (var k = 0u; k < count; k++) {
    let v = middle[p];
    let w = table[u.t0 + weights + k];
    s += vec3<i32>(vec3<u32>(v & 255u, (v >> 8u) & 255u, (v >> 16u) & 255u)) * w;
    p += u.width;
  }
  y[u.y0 + g.z * u.yn + i] = clip8(s.x) | (clip8(s.y) << 8u) | (clip8(s.z) << 16u);
}
