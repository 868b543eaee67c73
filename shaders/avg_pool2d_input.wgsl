// avg_pool2d_input — y[n,c,h,w] = Σ x / divisor over the windows that cover (h, w), x the gradient of the pool's
// output. `reach_rows` and `reach_cols` bound the outputs that can cover an element. One invocation makes `columns` by `rows`
// elements of one channel, in `pictures` pictures.
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
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn fixed_window(start: i32, k: i32, size: i32, trail: i32) -> vec3<i32> {
  let end = min(start + k, size + trail);
  return vec3<i32>(max(start, 0), min(end, size), end - start);
}

fn rows(o: i32) -> vec3<i32> { return fixed_window(o * u.sh - u.pt, u.kh, u.ih, u.pb); } //@hook
fn cols(o: i32) -> vec3<i32> { return fixed_window(o * u.sw - u.pl, u.kw, u.iw, u.pr); } //@hook
fn reach_rows(h: i32) -> vec2<i32> { return vec2<i32>(max(0, (h + u.pt - u.kh + u.sh) / u.sh), min(u.oh, (h + u.pt) / u.sh + 1)); } //@hook
fn reach_cols(w: i32) -> vec2<i32> { return vec2<i32>(max(0, (w + u.pl - u.kw + u.sw) / u.sw), min(u.ow, (w + u.pl) / u.sw + 1)); } //@hook

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
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    for (var h = i32(p0); h < min(i32(p0 + u.rows), u.ih); h++) {
      let pr = reach_rows(h);
      for (var w = i32(q0); w < min(i32(q0 + u.columns), u.iw); w++) {
        let qr = reach_cols(w);
        var acc = 0.0;
        for (var p = pr.x; p < pr.y; p++) {
          let r = rows(p);
          for (var q = qr.x; q < qr.y; q++) {
            let s = cols(q);
            if (h >= r.x && h < r.y && w >= s.x && w < s.y) {
              var count = f32(select((r.y - r.x) * (s.y - s.x), r.z * s.z, u.include != 0));
              if (u.divisor != 0.0) {
                count = u.divisor;
              }
              acc += x[u.x0 + n * u.xn + u32((c * u.oh + p) * u.ow + q)] / count;
            }
          }
        }
        y[u.y0 + n * u.yn + u32((c * u.ih + h) * u.iw + w)] = acc;
      }
    }
  }
}
