// accumulate — y = join(y, b) in place; b is a tensor of y's shape (one = 1) or a single value (one = 0). One
// invocation makes UNROLL elements; the grid is folded over x and y.
const WG = 64u; //@param
const UNROLL = 4u; //@param

struct Sizes {
  total: u32,
  row: u32,
  y0: u32,
  yn: u32,
  b0: u32,
  bn: u32,
  one: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn join(a: f32, b: f32) -> f32 { return a + b; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * g.x + w.x) * WG * UNROLL;
  for (var i = first + l; i < min(u.total, first + WG * UNROLL); i += WG) {
    let n = i / u.row;
    let r = i % u.row;
    let at = u.y0 + n * u.yn + r;
    y[at] = join(y[at], b[u.b0 + n * u.bn + r * u.one]);
  }
}
