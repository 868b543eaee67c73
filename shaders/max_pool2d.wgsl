// max_pool2d — y = the largest x of the window, at = its position h·W + w in the plane; ties give the first in row
// order, NaN is largest. One invocation makes
// `columns` by `rows` outputs of one channel, in `pictures` pictures. Floats are compared as ordered
// integers, because WGSL comparisons may assume that there are no NaNs. KH and KW are the window where it is small, so
// that it is unrolled; with 0 it is walked.
const WG = 64u; //@param
const KH = 0u; //@param
const KW = 0u; //@param

struct Sizes {
  total: u32,
  n: u32,
  columns: u32,
  rows: u32,
  pictures: u32,
  across: u32,
  down: u32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  i0: u32,
  in_: u32,
  c: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  kh: u32,
  kw: u32,
  sh: u32,
  sw: u32,
  dh: u32,
  dw: u32,
  pt: i32,
  pl: i32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> at: array<i32>;

// An integer above 0 that orders floats, -0 equal to 0, NaN above all.
fn order(v: f32) -> u32 {
  let b = bitcast<u32>(v);
  let magnitude = b & 0x7fffffffu;
  let ordered = select(b | 0x80000000u, ~b, b >= 0x80000000u);
  return select(select(ordered, 0x80000000u, magnitude == 0u), 0xffffffffu, magnitude > 0x7f800000u);
}

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
    let plane = u.x0 + n * u.xn + c * u.ih * u.iw;
    for (var p = p0; p < min(p0 + u.rows, u.oh); p++) {
      let out = (c * u.oh + p) * u.ow;
      for (var q = q0; q < min(q0 + u.columns, u.ow); q++) {
        var best = 0u;
        var spot = 0u;
        for (var r = 0u; r < select(KH, u.kh, KH == 0u); r++) {
          let h = i32(p * u.sh) - u.pt + i32(r * u.dh);
          let live = h >= 0 && h < i32(u.ih);
          let start = u32(clamp(h, 0, i32(u.ih) - 1)) * u.iw;
          for (var s = 0u; s < select(KW, u.kw, KW == 0u); s++) {
            let k = i32(q * u.sw) - u.pl + i32(s * u.dw);
            let here = start + u32(clamp(k, 0, i32(u.iw) - 1));
            let v = select(0u, order(x[plane + here]), live && k >= 0 && k < i32(u.iw));
            spot = select(spot, here, v > best);
            best = max(best, v);
          }
        }
        y[u.y0 + n * u.yn + out + q] = x[plane + spot];
        at[u.i0 + n * u.in_ + out + q] = i32(spot);
      }
    }
  }
}
