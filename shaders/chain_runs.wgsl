// chain_runs — chain, where one invocation makes `run` values side by side along the last axis: it finds its place once. V is
// f32, or vec4 where that axis is whole vec4; X are what the arrays hold (vec4, or a value that repeats), and places are
// counted in X. The grid is folded over x and y. Steps pass through `keep` (chain.wgsl).
const WG = 64u; //@param
const RANK = 8u; //@param
const INPUTS = 6u; //@param
alias V = f32; //@type
alias XA = f32; //@type
alias XB = f32; //@type
alias XC = f32; //@type
alias XD = f32; //@type
alias XE = f32; //@type
alias XF = f32; //@type
alias XY = f32; //@type

struct Sizes {
  total: u32,
  inner: u32,
  run: u32,
  runs: u32,
  zero: u32,
  a0: u32,
  b0: u32,
  c0: u32,
  d0: u32,
  e0: u32,
  f0: u32,
  y0: u32,
  ai: u32,
  bi: u32,
  ci: u32,
  di: u32,
  ei: u32,
  fi: u32,
  yi: u32,
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
@group(0) @binding(1) var<storage, read> a: array<XA>;
@group(0) @binding(2) var<storage, read> b: array<XB>;
@group(0) @binding(3) var<storage, read> c: array<XC>;
@group(0) @binding(4) var<storage, read> d: array<XD>;
@group(0) @binding(5) var<storage, read> e: array<XE>;
@group(0) @binding(6) var<storage, read> f: array<XF>;
@group(0) @binding(7) var<storage, read_write> y: array<XY>;

//@include math

fn load_a(i: u32) -> V { return V(0.0); } //@hook
fn load_b(i: u32) -> V { return V(0.0); } //@hook
fn load_c(i: u32) -> V { return V(0.0); } //@hook
fn load_d(i: u32) -> V { return V(0.0); } //@hook
fn load_e(i: u32) -> V { return V(0.0); } //@hook
fn load_f(i: u32) -> V { return V(0.0); } //@hook
fn chain(p0: f32, p1: f32, p2: f32, p3: f32, p4: f32, p5: f32) -> f32 { return p0; } //@hook
fn all(p: V, q: V, r: V, s: V, t: V, w: V) -> V { return chain(p, q, r, s, t, w); } //@hook

// The value itself: zero is 0, which only the host knows. A sum of a product would else become one fused operation.
fn keep(v: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(v) ^ u.zero);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let id = (w.y * grid.x + w.x) * WG + l;
  if (id >= u.total) {
    return;
  }
  let start = id % u.runs * u.run;
  var rest = id / u.runs;
  var ai = u.a0 + start * u.ai;
  var bi = u.b0 + start * u.bi;
  var ci = u.c0 + start * u.ci;
  var di = u.d0 + start * u.di;
  var ei = u.e0 + start * u.ei;
  var fi = u.f0 + start * u.fi;
  var yi = u.y0 + start * u.yi;
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
  for (var k = 0u; k < min(u.run, u.inner - start); k++) {
    y[yi] = all(load_a(ai), load_b(bi), load_c(ci), load_d(di), load_e(ei), load_f(fi));
    ai += u.ai;
    bi += u.bi;
    ci += u.ci;
    di += u.di;
    ei += u.ei;
    fi += u.fi;
    yi += u.yi;
  }
}
