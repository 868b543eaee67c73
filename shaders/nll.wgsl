// nll — per row: loss = -w[t]·x[t], weight = w[t], both 0 for the ignored class. One invocation per row.
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
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> t: array<i32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> weight: array<f32>;

//@include math

fn out_of_range(x: f32) -> f32 { return x; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let row = (id.y * grid.x + id.x) * WG + l;
  if (row >= u.n) {
    return;
  }
  let k = t[u.t0 + row];
  var loss = 0.0;
  var wt = 0.0;
  if (k != u.ignore) {
    if (k >= 0 && k < i32(u.c)) {
      wt = w[u.w0 + u32(k)];
      loss = -wt * x[u.x0 + row * u.xn + u32(k)];
    } else {
      wt = out_of_range(f32(row));
      loss = wt;
    }
  }
  y[u.y0 + row] = loss;
  weight[u.y1 + row] = wt;
}
