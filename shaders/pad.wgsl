// pad — y = x surrounded by `value`. One invocation per element of y; the grid is folded over x and y.
const WG = 64u; //@param

struct Sizes {
  total: u32,
  x0: u32,
  y0: u32,
  value: f32,
  shape: array<vec4<u32>, 2>,
  inner: array<vec4<u32>, 2>,
  before: array<vec4<u32>, 2>,
  xs: array<vec4<u32>, 2>,
  ys: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  var rest = (w.y * g.x + w.x) * WG + l;
  if (rest >= u.total) {
    return;
  }
  // pad8 puts the axes first, so the index runs from the last axis of eight (extents of 1) to the first.
  var xi = u.x0;
  var yi = u.y0;
  var inside = true;
  for (var d = 8u; d > 0u; d--) {
    let k = d - 1u;
    let extent = u.shape[k / 4u][k % 4u];
    let i = rest % extent;
    rest = rest / extent;
    let before = u.before[k / 4u][k % 4u];
    inside = inside && i >= before && i - before < u.inner[k / 4u][k % 4u];
    xi += (i - before) * u.xs[k / 4u][k % 4u];
    yi += i * u.ys[k / 4u][k % 4u];
  }
  if (inside) {
    y[yi] = x[xi];
  } else {
    y[yi] = u.value;
  }
}
