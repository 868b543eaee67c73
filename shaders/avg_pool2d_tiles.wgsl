// avg_pool2d_tiles — y[n,c,p,q] = divide · Σ pro(x[n,c,p·kh+·,q·kw+·]): windows that lie side by side inside the input.
// One invocation makes `columns` by `rows` outputs of one channel, in `pictures` pictures. KH and KW are the window where
// it is small, so that it is unrolled; with 0 it is walked.
const WG = 64u; //@param
const KH = 0u; //@param
const KW = 0u; //@param

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
  kh: u32,
  kw: u32,
  divide: f32,
  scale0: u32,
  shift0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: f32, s: vec2<f32>) -> f32 { return v; } //@hook

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
  let ch = channel(c);
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    for (var p = p0; p < min(p0 + u.rows, u.oh); p++) {
      let at = u.x0 + n * u.xn + (c * u.ih + p * u.kh) * u.iw;
      let out = u.y0 + n * u.yn + (c * u.oh + p) * u.ow;
      for (var q = q0; q < min(q0 + u.columns, u.ow); q++) {
        var acc = 0.0;
        for (var r = 0u; r < select(KH, u.kh, KH == 0u); r++) {
          for (var s = 0u; s < select(KW, u.kw, KW == 0u); s++) {
            acc += prologue(x[at + r * u.iw + q * u.kw + s], ch);
          }
        }
        y[out + q] = acc * u.divide;
      }
    }
  }
}
