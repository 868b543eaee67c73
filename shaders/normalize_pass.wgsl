// normalize_pass — the gradient of a batch norm in one walk: y[n,c,i] = before(y) + m·s0[c] with m = g where x·s0 + s1 > 0
// (the fused ReLU; all of g without one), and per channel r0 = Σ m, r1 = Σ m·(x - v2[c]). A workgroup of WG lanes per
// channel (tree in workgroup memory), or with LANES > 1 one lane per channel (small planes). V is f32, or vec4 along
// the plane. Fixed order: the same bits on every run.
const WG = 8u; //@param
const LANES = 1u; //@param
alias V = f32; //@type

struct Sizes {
  n: u32,
  c: u32,
  plane: u32,
  g0: u32,
  gn: u32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  o0: u32,
  o1: u32,
  o2: u32,
  t0: u32,
  t1: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<V>;
@group(0) @binding(2) var<storage, read> x: array<V>;
@group(0) @binding(3) var<storage, read> v0: array<f32>;
@group(0) @binding(4) var<storage, read> v1: array<f32>;
@group(0) @binding(5) var<storage, read> v2: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<V>;
@group(0) @binding(7) var<storage, read_write> r0: array<f32>;
@group(0) @binding(8) var<storage, read_write> r1: array<f32>;

fn before(i: u32) -> V { return V(0.0); } //@hook
fn masked(a: V, b: V, s: vec3<f32>) -> V { return a; } //@hook
fn total(v: V) -> f32 { return v; } //@hook

var<workgroup> tree: array<vec2<f32>, WG>;

fn join(l: u32, v: vec2<f32>) -> vec2<f32> {
  if (WG == 1u) {
    return v;
  }
  tree[l] = v;
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] += tree[l + k];
    }
    workgroupBarrier();
  }
  return tree[0];
}

@compute @workgroup_size(WG * LANES)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let id = (w.y * grid.x + w.x) * LANES + select(0u, l, LANES > 1u);
  let live = id < u.c;
  let c = min(id, u.c - 1u);
  let lane = select(l, 0u, LANES > 1u);
  let s = vec3<f32>(v0[u.o0 + c], v1[u.o1 + c], v2[u.o2 + c]);
  var sum = V(0.0);
  var moment = V(0.0);
  for (var n = 0u; n < u.n; n++) {
    let gb = u.g0 + n * u.gn + c * u.plane;
    let xb = u.x0 + n * u.xn + c * u.plane;
    let yb = u.y0 + n * u.yn + c * u.plane;
    for (var i = lane; i < u.plane; i += WG) {
      let b = x[xb + i];
      let m = masked(g[gb + i], b, s);
      sum += m;
      moment += m * (b - V(s.z));
      if (live) {
        y[yb + i] = before(yb + i) + m * s.x;
      }
    }
  }
  let r = join(lane, vec2<f32>(total(sum), total(moment)));
  if (lane == 0u && live) {
    r0[u.t0 + c] = r.x;
    r1[u.t1 + c] = r.y;
  }
}
