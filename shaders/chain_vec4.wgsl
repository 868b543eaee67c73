// chain_vec4 — y[i] = a tree of elementwise expressions of up to six operands, for rows of axis 0 that are whole vec4 and
// may lie apart (channel slices). An operand has y's shape, or repeats: one value, one a row, a vector along the last
// axes (vec4 by vec4), or values that each serve whole vec4s (a channel's). The load hooks say which. One invocation
// makes UNROLL vec4, a workgroup's invocations side by side. Steps pass through `keep` (chain.wgsl).
const WG = 64u; //@param
const UNROLL = 4u; //@param
alias TA = vec4<f32>; //@type
alias TB = vec4<f32>; //@type
alias TC = vec4<f32>; //@type
alias TD = vec4<f32>; //@type
alias TE = vec4<f32>; //@type
alias TF = vec4<f32>; //@type

struct Sizes {
  total4: u32,
  row4: u32,
  zero: u32,
  y0: u32,
  yn: u32,
  a0: u32,
  a_row: u32,
  a_div: u32,
  a_mod: u32,
  b0: u32,
  b_row: u32,
  b_div: u32,
  b_mod: u32,
  c0: u32,
  c_row: u32,
  c_div: u32,
  c_mod: u32,
  d0: u32,
  d_row: u32,
  d_div: u32,
  d_mod: u32,
  e0: u32,
  e_row: u32,
  e_div: u32,
  e_mod: u32,
  f0: u32,
  f_row: u32,
  f_div: u32,
  f_mod: u32,
  k0: f32,
  k1: f32,
  k2: f32,
  k3: f32,
  k4: f32,
  k5: f32,
  k6: f32,
  k7: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<TA>;
@group(0) @binding(2) var<storage, read> b: array<TB>;
@group(0) @binding(3) var<storage, read> c: array<TC>;
@group(0) @binding(4) var<storage, read> d: array<TD>;
@group(0) @binding(5) var<storage, read> e: array<TE>;
@group(0) @binding(6) var<storage, read> f: array<TF>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;

//@include math

fn load_a(n: u32, r: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn load_b(n: u32, r: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn load_c(n: u32, r: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn load_d(n: u32, r: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn load_e(n: u32, r: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn load_f(n: u32, r: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn chain(p0: f32, p1: f32, p2: f32, p3: f32, p4: f32, p5: f32) -> f32 { return p0; } //@hook

// The value itself: zero is 0, which only the host knows. A sum of a product would else become one fused operation.
fn keep(v: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(v) ^ u.zero);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * grid.x + w.x) * WG * UNROLL;
  for (var i = first + l; i < min(u.total4, first + WG * UNROLL); i += WG) {
    let n = i / u.row4;
    let r = i % u.row4;
    let va = load_a(n, r);
    let vb = load_b(n, r);
    let vc = load_c(n, r);
    let vd = load_d(n, r);
    let ve = load_e(n, r);
    let vf = load_f(n, r);
    y[u.y0 + n * u.yn + r] = vec4<f32>(
      chain(va.x, vb.x, vc.x, vd.x, ve.x, vf.x),
      chain(va.y, vb.y, vc.y, vd.y, ve.y, vf.y),
      chain(va.z, vb.z, vc.z, vd.z, ve.z, vf.z),
      chain(va.w, vb.w, vc.w, vd.w, ve.w, vf.w),
    );
  }
}
