// chain — y[i] = a tree of elementwise expressions of up to six operands with NumPy broadcasting: any strides, any rank
// up to 8 after merging axes. One invocation makes UNROLL outputs, a workgroup's invocations side by side; the grid is
// folded over x and y. What one step gives the next passes through `keep`, so that no compiler joins their arithmetic.
const WG = 64u; //@param
const UNROLL = 4u; //@param
const RANK = 8u; //@param
const INPUTS = 6u; //@param

struct Sizes {
  total: u32,
  zero: u32,
  a0: u32,
  b0: u32,
  c0: u32,
  d0: u32,
  e0: u32,
  f0: u32,
  y0: u32,
  k0: f32,
  k1: f32,
  k2: f32,
  k3: f32,
  k4: f32,
  k5: f32,
  k6: f32,
  k7: f32,
  shape: array<vec4<u32>, 2>,
  as_: array<vec4<u32>, 2>,
  bs: array<vec4<u32>, 2>,
  cs: array<vec4<u32>, 2>,
  ds: array<vec4<u32>, 2>,
  es: array<vec4<u32>, 2>,
  fs: array<vec4<u32>, 2>,
  ys: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> d: array<f32>;
@group(0) @binding(5) var<storage, read> e: array<f32>;
@group(0) @binding(6) var<storage, read> f: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

//@include math

fn load_a(i: u32) -> f32 { return 0.0; } //@hook
fn load_b(i: u32) -> f32 { return 0.0; } //@hook
fn load_c(i: u32) -> f32 { return 0.0; } //@hook
fn load_d(i: u32) -> f32 { return 0.0; } //@hook
fn load_e(i: u32) -> f32 { return 0.0; } //@hook
fn load_f(i: u32) -> f32 { return 0.0; } //@hook
fn chain(p0: f32, p1: f32, p2: f32, p3: f32, p4: f32, p5: f32) -> f32 { return p0; } //@hook

// The value itself: zero is 0, which only the host knows. A sum of a product would else become one fused operation.
fn keep(v: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(v) ^ u.zero);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * grid.x + w.x) * WG * UNROLL;
  for (var at = first + l; at < min(u.total, first + WG * UNROLL); at += WG) {
    var rest = at;
    var ai = u.a0;
    var bi = u.b0;
    var ci = u.c0;
    var di = u.d0;
    var ei = u.e0;
    var fi = u.f0;
    var yi = u.y0;
    for (var d = RANK; d > 0u; d--) {
      let k = d - 1u;
      let extent = u.shape[k / 4u][k % 4u];
      let i = rest % extent;
      rest = rest / extent;
      ai += i * u.as_[k / 4u][k % 4u];
      if (INPUTS > 1u) { bi += i * u.bs[k / 4u][k % 4u]; }
      if (INPUTS > 2u) { ci += i * u.cs[k / 4u][k % 4u]; }
      if (INPUTS > 3u) { di += i * u.ds[k / 4u][k % 4u]; }
      if (INPUTS > 4u) { ei += i * u.es[k / 4u][k % 4u]; }
      if (INPUTS > 5u) { fi += i * u.fs[k / 4u][k % 4u]; }
      yi += i * u.ys[k / 4u][k % 4u];
    }
    y[yi] = chain(load_a(ai), load_b(bi), load_c(ci), load_d(di), load_e(ei), load_f(fi));
  }
}
