// pixels — y[n,c,h,w] = x[n,h,w,c]·scale[c] + shift[c], x bytes four to a word. One invocation per element of y; the
// grid is folded over x and y.
const WG = 64u; //@param

struct Sizes {
  total: u32,
  c: u32,
  plane: u32,
  x0: u32,
  s0: u32,
  t0: u32,
  y0: u32,
  yn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (w.y * g.x + w.x) * WG + l;
  if (i >= u.total) {
    return;
  }
  let p = i % u.plane;
  let c = i / u.plane % u.c;
  let n = i / (u.plane * u.c);
  let at = u.x0 + (n * u.plane + p) * u.c + c;
  let v = f32((x[at >> 2u] >> ((at & 3u) * 8u)) & 255u);
  y[u.y0 + n * u.yn + i % (u.plane * u.c)] = fma(v, scale[u.s0 + c], shift[u.t0 + c]);
}
