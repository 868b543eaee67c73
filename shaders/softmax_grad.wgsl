// softmax_grad — along one axis: s = Σ weight(g, v), y = finish(g, v, s), v the forward's output. One workgroup per
// row: lane l takes positions l, l + WG, …; a tree in workgroup memory joins the lanes in fixed order.
const WG = 8u; //@param

struct Sizes {
  rows: u32,
  length: u32,
  inner: u32,
  first: u32,
  a0: u32,
  an: u32,
  b0: u32,
  bn: u32,
  y0: u32,
  yn: u32,
  as_: u32,
  bs: u32,
  ys: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

//@include math

fn weight(g: f32, v: f32) -> f32 { return g * v; } //@hook
fn finish(g: f32, v: f32, s: f32) -> f32 { return v * (g - s); } //@hook

var<workgroup> tree: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let row = min(w.y * grid.x + w.x, u.rows - 1u);
  let outer = row / u.inner;
  let rest = (outer % u.first) * u.length * u.inner + row % u.inner;
  let gb = u.a0 + (outer / u.first) * u.an + rest;
  let vb = u.b0 + (outer / u.first) * u.bn + rest;
  let yb = u.y0 + (outer / u.first) * u.yn + rest;

  var s = 0.0;
  for (var r = l; r < u.length; r += WG) {
    s += weight(g[gb + r * u.as_], v[vb + r * u.bs]);
  }
  tree[l] = s;
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] += tree[l + k];
    }
    workgroupBarrier();
  }
  s = tree[0];

  for (var r = l; r < u.length; r += WG) {
    y[yb + r * u.ys] = finish(g[gb + r * u.as_], v[vb + r * u.bs], s);
  }
}
