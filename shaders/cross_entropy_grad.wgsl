// cross_entropy_grad — y[n,c] = g[n]·((1-ε)·w[t]·(p[c] - δ) + ε/C·(p[c]·Σw - w[c])), p = softmax(x[n]). y1 is the
// stride of y's rows. One workgroup per row: lane l takes classes l, l + WG, …; trees in workgroup memory join them.
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
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> t: array<i32>;
@group(0) @binding(4) var<storage, read> w: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

//@include math

fn largest(a: f32, b: f32) -> f32 { return max(a, b); } //@hook
fn power(x: f32) -> f32 { return exp(x); } //@hook

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
  var s = 0.0;
  var sw = 0.0;
  for (var c = l; c < u.c; c += WG) {
    s += power(x[xb + c] - m);
    sw += w[u.w0 + c];
  }
  tree[l] = vec2<f32>(s, sw);
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] += tree[l + k];
    }
    workgroupBarrier();
  }
  s = tree[0].x;
  sw = tree[0].y;
  let k = t[u.t0 + row];
  let live = k != u.ignore && k >= 0 && k < i32(u.c);
  let wt = w[u.w0 + u32(clamp(k, 0, i32(u.c) - 1))];
  let gn = g[u.g0 + row];
  for (var c = l; c < u.c; c += WG) {
    let p = power(x[xb + c] - m) / s;
    var v = (1.0 - u.smoothing) * wt * (p - select(0.0, 1.0, i32(c) == k));
    v += u.smoothing / f32(u.c) * (p * sw - w[u.w0 + c]);
    y[u.y0 + row * u.y1 + c] = select(0.0, gn * v, live);
  }
}
