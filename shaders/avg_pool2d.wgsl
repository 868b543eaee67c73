// avg_pool2d — y = Σ pro(x) over the window / divisor. `rows` and `cols` give the window of an output along an axis as
// (from, to, extent with padding); the adaptive windows are spliced in, as is a batch norm applied on load. One
// invocation makes `columns` by `rows` outputs of one channel, in `pictures` pictures.
const WG = 64u; //@param

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
  ih: i32,
  iw: i32,
  oh: i32,
  ow: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  pt: i32,
  pl: i32,
  pb: i32,
  pr: i32,
  include: i32,
  divisor: f32,
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

fn fixed_window(start: i32, k: i32, size: i32, trail: i32) -> vec3<i32> {
  let end = min(start + k, size + trail);
  return vec3<i32>(max(start, 0), min(end, size), end - start);
}

fn rows(o: i32) -> vec3<i32> { return fixed_window(o * u.sh - u.pt, u.kh, u.ih, u.pb); } //@hook
fn cols(o: i32) -> vec3<i32> { return fixed_window(o * u.sw - u.pl, u.kw, u.iw, u.pr); } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (g.y * grid.x + g.x) * WG + l;
  if (i >= u.total) {
    return;
  }
  let q0 = i % u.across * u.columns;
  let p0 = i / u.across % u.down * u.rows;
  let block = i / (u.across * u.down);
  let c = i32(block % u.c);
  let n0 = block / u.c * u.pictures;
  let ch = channel(u32(c));
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    for (var p = i32(p0); p < min(i32(p0 + u.rows), u.oh); p++) {
      let r = rows(p);
      for (var q = i32(q0); q < min(i32(q0 + u.columns), u.ow); q++) {
        let s = cols(q);
        var acc = 0.0;
        for (var h = r.x; h < r.y; h++) {
          let row = u.x0 + n * u.xn + u32((c * u.ih + h) * u.iw);
          for (var w = s.x; w < s.y; w++) {
            acc += prologue(x[row + u32(w)], ch);
          }
        }
        var count = f32(select((r.y - r.x) * (s.y - s.x), r.z * s.z, u.include != 0));
        if (u.divisor != 0.0) {
          count = u.divisor;
        }
        y[u.y0 + n * u.yn + u32((c * u.oh + p) * u.ow + q)] = acc / count;
      }
    }
  }
}
