// elementwise_runs — y[i] = f(a[i], b[i], c[i]) with broadcasting, as elementwise, where one invocation makes `run` values side by
// side along the last axis: it finds its place once. Where that axis is whole vec4 in y, and in each operand that does not
// repeat along it, four are made at a time: V are what is computed with, X what the arrays hold (vec4, or a value that
// repeats), and places are counted in X. The grid is folded over x and y.
const WG = 64u; //@param
const RANK = 8u; //@param
alias TA = f32; //@type
alias TB = f32; //@type
alias TC = f32; //@type
alias TY = f32; //@type
alias VA = f32; //@type
alias VB = f32; //@type
alias VC = f32; //@type
alias VY = f32; //@type
alias XA = f32; //@type
alias XB = f32; //@type
alias XC = f32; //@type
alias XY = f32; //@type

struct Sizes {
  total: u32,
  inner: u32,
  run: u32,
  runs: u32,
  a0: u32,
  b0: u32,
  c0: u32,
  y0: u32,
  ai: u32,
  bi: u32,
  ci: u32,
  yi: u32,
  s0: f32,
  s1: f32,
  pad0: u32,
  pad1: u32,
  shape: array<vec4<u32>, 2>,
  as_: array<vec4<u32>, 2>,
  bs: array<vec4<u32>, 2>,
  cs: array<vec4<u32>, 2>,
  ys: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<XA>;
@group(0) @binding(2) var<storage, read> b: array<XB>;
@group(0) @binding(3) var<storage, read> c: array<XC>;
@group(0) @binding(4) var<storage, read_write> y: array<XY>;

//@include math

fn load_a(i: u32) -> VA { return VA(a[i]); } //@hook
fn load_b(i: u32) -> VB { return VB(0); } //@hook
fn load_c(i: u32) -> VC { return VC(0); } //@hook
fn f(p0: TA, p1: TB, p2: TC, s0: f32, s1: f32) -> TY { return TY(p0); } //@hook
fn all(p: VA, q: VB, r: VC) -> VY { return f(p, q, r, u.s0, u.s1); } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let id = (w.y * g.x + w.x) * WG + l;
  if (id >= u.total) {
    return;
  }
  let start = id % u.runs * u.run;
  var rest = id / u.runs;
  var ai = u.a0 + start * u.ai;
  var bi = u.b0 + start * u.bi;
  var ci = u.c0 + start * u.ci;
  var yi = u.y0 + start * u.yi;
  for (var d = RANK; d > 0u; d--) {
    let k = d - 1u;
    let extent = u.shape[k / 4u][k % 4u];
    let i = rest % extent;
    rest = rest / extent;
    ai += i * u.as_[k / 4u][k % 4u];
    bi += i * u.bs[k / 4u][k % 4u];
    ci += i * u.cs[k / 4u][k % 4u];
    yi += i * u.ys[k / 4u][k % 4u];
  }
  for (var k = 0u; k < min(u.run, u.inner - start); k++) {
    y[yi] = all(load_a(ai), load_b(bi), load_c(ci));
    ai += u.ai;
    bi += u.bi;
    ci += u.ci;
    yi += u.yi;
  }
}
