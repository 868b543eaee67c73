// max_pool2d_scatter — y[n,c,h,w] = Σ gy of the windows whose chosen position is (h, w). One invocation owns a row of y:
// it clears it, then walks the outputs whose windows reach the row and adds what they chose there. Nobody else writes
// the row, so there are no atomics and the order is fixed.
const WG = 64u; //@param

struct Sizes {
  total: u32,
  g0: u32,
  gn: u32,
  i0: u32,
  in_: u32,
  y0: u32,
  yn: u32,
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
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> at: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (id.y * grid.x + id.x) * WG + l;
  if (i >= u.total) {
    return;
  }
  let h = i % u.ih;
  let c = i / u.ih % u.c;
  let n = i / (u.ih * u.c);
  let row = u.y0 + n * u.yn + (c * u.ih + h) * u.iw;
  for (var w = 0u; w < u.iw; w++) {
    y[row + w] = 0.0;
  }
  let sh = i32(u.sh);
  let p0 = max(0, (i32(h) + u.pt - i32((u.kh - 1u) * u.dh) + sh - 1) / sh);
  let p1 = min(i32(u.oh) - 1, (i32(h) + u.pt) / sh);
  for (var p = p0; p <= p1; p++) {
    let o = (c * u.oh + u32(p)) * u.ow;
    for (var q = 0u; q < u.ow; q++) {
      let w = at[u.i0 + n * u.in_ + o + q] - i32(h * u.iw);
      if (w >= 0 && w < i32(u.iw)) {
        y[row + u32(w)] += g[u.g0 + n * u.gn + o + q];
      }
    }
  }
}
