// avg_pool2d_pairs_input — avg_pool2d_tiles_input for windows of 2×2 that cover the whole plane: X holds the gradients of two
// neighbouring windows, or of one, and Y what lies in one row below them. Extents and places are counted in X and Y.
const WG = 64u; //@param
alias X = vec2<f32>; //@type
alias Y = vec4<f32>; //@type

struct Sizes {
  total: u32,
  n: u32,
  c: u32,
  columns: u32,
  rows: u32,
  pictures: u32,
  across: u32,
  down: u32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  divide: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<X>;
@group(0) @binding(2) var<storage, read_write> y: array<Y>;

fn below(v: X) -> Y { return v.xxyy; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (g.y * grid.x + g.x) * WG + l;
  if (i >= u.total) {
    return;
  }
  let q0 = i % u.across * u.columns;
  let p0 = i / u.across % u.down * u.rows;
  let block = i / (u.across * u.down);
  let c = block % u.c;
  let n0 = block / u.c * u.pictures;
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    for (var p = p0; p < min(p0 + u.rows, u.oh); p++) {
      let at = u.x0 + n * u.xn + (c * u.oh + p) * u.ow;
      let out = u.y0 + n * u.yn + (c * u.ih + p * 2u) * u.iw;
      for (var q = q0; q < min(q0 + u.columns, u.ow); q++) {
        let v = below(x[at + q] * u.divide);
        y[out + q] = v;
        y[out + u.iw + q] = v;
      }
    }
  }
}
