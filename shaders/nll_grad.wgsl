// nll_grad — y[n,c] = -g[n]·w[t] at c = t, else 0. y1 is the stride of y's rows. One invocation per element.
const WG = 64u; //@param

struct Sizes {
  n: u32,
  c: u32,
  x0: u32,
  xn: u32,
  t0: u32,
  w0: u32,
  y0: u32,
  y1: u32,
  g0: u32,
  ignore: i32,
  smoothing: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> t: array<i32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (id.y * grid.x + id.x) * WG + l;
  if (i >= u.n * u.c) {
    return;
  }
  let row = i / u.c;
  let c = i % u.c;
  let k = t[u.t0 + row];
  let hit = k != u.ignore && k == i32(c);
  y[u.y0 + row * u.y1 + c] = select(0.0, -g[u.g0 + row] * w[u.w0 + c], hit);
}
