// softmax — along one axis: m = max, s = Σ exp(x - m), y = finish(x, m, s). One workgroup per row: lane l takes
// positions l, l + WG, …; trees in workgroup memory join the lanes in fixed order.
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
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

//@include math

fn largest(a: f32, b: f32) -> f32 { return max(a, b); } //@hook
fn power(x: f32) -> f32 { return exp(x); } //@hook
fn finish(v: f32, m: f32, s: f32) -> f32 { return exp(v - m) / s; } //@hook

var<workgroup> tree: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let row = min(w.y * g.x + w.x, u.rows - 1u);
  let outer = row / u.inner;
  let rest = (outer % u.first) * u.length * u.inner + row % u.inner;
  let xb = u.a0 + (outer / u.first) * u.an + rest;
  let yb = u.y0 + (outer / u.first) * u.yn + rest;

  var m = x[xb];
  for (var r = l; r < u.length; r += WG) {
    m = largest(m, x[xb + r * u.as_]);
  }
  tree[l] = m;
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] = largest(tree[l], tree[l + k]);
    }
    workgroupBarrier();
  }
  m = tree[0];
  workgroupBarrier();

  var s = 0.0;
  for (var r = l; r < u.length; r += WG) {
    s += power(x[xb + r * u.as_] - m);
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
    y[yb + r * u.ys] = finish(x[xb + r * u.as_], m, s);
  }
}
