// cross_entropy — per row: loss = (1-ε)·w[t]·(-logp[t]) + ε/C·Σ w[c]·(-logp[c]) and weight = w[t]. One workgroup per
// row: lane l takes classes l, l + WG, …; trees in workgroup memory join the lanes in fixed order.
const WG = 8u; //@param

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

fn largest(a: f32, b: f32) -> f32 { return max(a, b); } //@hook
fn power(x: f32) -> f32 { return exp(x); } //@hook
fn logarithm(x: f32) -> f32 { return log(x); } //@hook
fn out_of_range(x: f32) -> f32 { return x; } //@hook

var<workgroup> tree: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let row = min(id.y * grid.x + id.x, u.n - 1u);
  let xb = u.x0 + row * u.xn;
  var m = x[xb];
  for (var c = l; c < u.c; c += WG) {
    m = largest(m, x[xb + c]);
  }
  tree[l] = vec2<f32>(m, 0.0);
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l].x = largest(tree[l].x, tree[l + k].x);
    }
    workgroupBarrier();
  }
  m = tree[0].x;
  workgroupBarrier();

  // s = Σ exp(x - m); q = Σ w·(x - m), from which the smoothed part is q - (Σ w)·log s.
  var s = 0.0;
  var q = 0.0;
  var sw = 0.0;
  for (var c = l; c < u.c; c += WG) {
    let d = x[xb + c] - m;
    s += power(d);
    if (u.smoothing > 0.0) {
      q += w[u.w0 + c] * d;
      sw += w[u.w0 + c];
    }
  }
  tree[l] = vec2<f32>(s, q);
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] += tree[l + k];
    }
    workgroupBarrier();
  }
  s = tree[0].x;
  q = tree[0].y;
  workgroupBarrier();
  tree[l] = vec2<f32>(sw, 0.0);
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] += tree[l + k];
    }
    workgroupBarrier();
  }
  sw = tree[0].x;

  if (l == 0u) {
    let k = t[u.t0 + row];
    var loss = 0.0;
    var wt = 0.0;
    if (k != u.ignore) {
      if (k >= 0 && k < i32(u.c)) {
        let lse = logarithm(s);
        wt = w[u.w0 + u32(k)];
        loss = (1.0 - u.smoothing) * wt * (lse - (x[xb + u32(k)] - m));
        if (u.smoothing > 0.0) {
          loss += u.smoothing / f32(u.c) * (sw * lse - q);
        }
      } else {
        wt = out_of_range(s);
        loss = wt;
      }
    }
    y[u.y0 + row] = loss;
    weight[u.y1 + row] = wt;
  }
}
