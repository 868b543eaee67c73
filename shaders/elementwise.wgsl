// elementwise — y[i] = f(a[i], b[i], c[i]) with NumPy broadcasting: any strides, any rank up to 8 after merging axes.
// One invocation makes UNROLL outputs, a workgroup's invocations side by side; the grid is folded over x and y.
// Also the strided copy (f = a): permute, expand, slice and the copies of concat run here.
const WG = 64u; //@param
const UNROLL = 4u; //@param
const RANK = 8u; //@param
alias TA = f32; //@type
alias TB = f32; //@type
alias TC = f32; //@type
alias TY = f32; //@type

struct Sizes {
  total: u32,
  a0: u32,
  b0: u32,
  c0: u32,
  y0: u32,
  s0: f32,
  s1: f32,
  pad: u32,
  shape: array<vec4<u32>, 2>,
  as_: array<vec4<u32>, 2>,
  bs: array<vec4<u32>, 2>,
  cs: array<vec4<u32>, 2>,
  ys: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<TA>;
@group(0) @binding(2) var<storage, read> b: array<TB>;
@group(0) @binding(3) var<storage, read> c: array<TC>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

//@include math

fn load_a(i: u32) -> TA { return a[i]; } //@hook
fn load_b(i: u32) -> TB { return TB(0); } //@hook
fn load_c(i: u32) -> TC { return TC(0); } //@hook
fn f(p0: TA, p1: TB, p2: TC, s0: f32, s1: f32) -> TY { return TY(p0); } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * g.x + w.x) * WG * UNROLL;
  for (var at = first + l; at < min(u.total, first + WG * UNROLL); at += WG) {
    var rest = at;
    var ai = u.a0;
    var bi = u.b0;
    var ci = u.c0;
    var yi = u.y0;
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
    y[yi] = f(load_a(ai), load_b(bi), load_c(ci), u.s0, u.s1);
  }
}
