// max_pool2d_input — y[n,c,h,w] = Σ gy of the windows whose chosen position is (h, w). One invocation per input
// element gathers from the few windows that can reach it: no atomics, fixed order.
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
  let w = i32(i % u.iw);
  let h = i32(i / u.iw % u.ih);
  let c = i / (u.iw * u.ih) % u.c;
  let n = i / (u.iw * u.ih * u.c);
  let here = h * i32(u.iw) + w;
  let sh = i32(u.sh);
  let sw = i32(u.sw);
  let p0 = max(0, (h + u.pt - i32((u.kh - 1u) * u.dh) + sh - 1) / sh);
  let p1 = min(i32(u.oh) - 1, (h + u.pt) / sh);
  let q0 = max(0, (w + u.pl - i32((u.kw - 1u) * u.dw) + sw - 1) / sw);
  let q1 = min(i32(u.ow) - 1, (w + u.pl) / sw);
  let plane = c * u.oh * u.ow;
  var acc = 0.0;
  for (var p = p0; p <= p1; p++) {
    for (var q = q0; q <= q1; q++) {
      let o = plane + u32(p) * u.ow + u32(q);
      if (at[u.i0 + n * u.in_ + o] == here) {
        acc += g[u.g0 + n * u.gn + o];
      }
    }
  }
  y[u.y0 + n * u.yn + i % (u.c * u.ih * u.iw)] = acc;
}
