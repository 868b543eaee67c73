// elementwise_vec4 — y[i] = f(a[i], b[i], c[i]) for operands of one shape whose rows are whole vec4; rows of axis 0
// may lie apart (channel slices). One invocation makes UNROLL vec4, a workgroup's invocations side by side.
const WG = 64u; //@param
const UNROLL = 4u; //@param
alias TA = f32;
alias TB = f32;
alias TC = f32;
alias TY = f32;

struct Sizes {
  total4: u32,
  row4: u32,
  a0: u32,
  an: u32,
  b0: u32,
  bn: u32,
  c0: u32,
  cn: u32,
  y0: u32,
  yn: u32,
  s0: f32,
  s1: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> c: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

//@include math

fn load_a(i: u32) -> vec4<f32> { return a[i]; } //@hook
fn load_b(i: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn load_c(i: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn f(p0: TA, p1: TB, p2: TC, s0: f32, s1: f32) -> TY { return p0; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * g.x + w.x) * WG * UNROLL;
  for (var i = first + l; i < min(u.total4, first + WG * UNROLL); i += WG) {
    let n = i / u.row4;
    let r = i % u.row4;
    let va = load_a(u.a0 + n * u.an + r);
    let vb = load_b(u.b0 + n * u.bn + r);
    let vc = load_c(u.c0 + n * u.cn + r);
    y[u.y0 + n * u.yn + r] = vec4<f32>(
      f(va.x, vb.x, vc.x, u.s0, u.s1),
      f(va.y, vb.y, vc.y, u.s0, u.s1),
      f(va.z, vb.z, vc.z, u.s0, u.s1),
      f(va.w, vb.w, vc.w, u.s0, u.s1),
    );
  }
}
