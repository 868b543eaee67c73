// split_sum — y[i] = act(start(channel of i) + Σ_p parts[p, i]): the second pass of a product whose k was cut. Lanes lie
// along the outputs, so that they read side by side; each adds its parts in order. Grid folded over x and y.
const WG = 64u; //@param

struct Sizes {
  total: u32,
  parts: u32,
  y0: u32,
  yrow: u32,
  yn: u32,
  plane: u32,
  m: u32,
  bias0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

//@include math

fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: f32) -> f32 { return v; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (w.y * g.x + w.x) * WG + l;
  if (i >= u.total) {
    return;
  }
  var acc = start(i / u.plane % u.m);
  for (var p = 0u; p < u.parts; p++) {
    acc += x[p * u.total + i];
  }
  y[u.y0 + i / u.yrow * u.yn + i % u.yrow] = activate(acc);
}
