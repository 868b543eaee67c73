// channel_reduce — per channel the two sums Σ first(a, b, s) and Σ second(a, b, s) over pictures and plane as
// r0 and r1. A workgroup of WG lanes per channel (tree in workgroup memory), or with LANES > 1 one lane per
// channel (small planes). V is f32, or vec4 along the plane. Fixed order: the same bits on every run.
const WG = 8u; //@param
const LANES = 1u; //@param
alias V = f32; //@type

struct Sizes {
  n: u32,
  c: u32,
  plane: u32,
  a0: u32,
  an: u32,
  b0: u32,
  bn: u32,
  y0: u32,
  y1: u32,
  o0: u32,
  o1: u32,
  o2: u32,
  o3: u32,
  o4: u32,
  e0: f32,
  e1: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<V>;
@group(0) @binding(2) var<storage, read> b: array<V>;
@group(0) @binding(3) var<storage, read> v0: array<f32>;
@group(0) @binding(4) var<storage, read> v1: array<f32>;
@group(0) @binding(5) var<storage, read> v2: array<f32>;
@group(0) @binding(6) var<storage, read> v3: array<f32>;
@group(0) @binding(7) var<storage, read_write> r0: array<f32>;
@group(0) @binding(8) var<storage, read_write> r1: array<f32>;

fn load_b(i: u32) -> V { return V(0.0); } //@hook
fn channel(c: u32) -> vec4<f32> { return vec4<f32>(1.0, 0.0, 0.0, 0.0); } //@hook
fn first(a: V, b: V, s: vec4<f32>) -> V { return a; } //@hook
fn second(a: V, b: V, s: vec4<f32>) -> V { return a; } //@hook
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
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let id = (w.y * g.x + w.x) * LANES + select(0u, l, LANES > 1u);
  let c = min(id, u.c - 1u);
  let lane = select(l, 0u, LANES > 1u);
  let s = channel(c);
  var p0 = V(0.0);
  var p1 = V(0.0);
  for (var n = 0u; n < u.n; n++) {
    let ab = u.a0 + n * u.an + c * u.plane;
    let bb = u.b0 + n * u.bn + c * u.plane;
    for (var i = lane; i < u.plane; i += WG) {
      let va = a[ab + i];
      let vb = load_b(bb + i);
      p0 += first(va, vb, s);
      p1 += second(va, vb, s);
    }
  }
  let r = join(lane, vec2<f32>(total(p0), total(p1)));
  if (lane == 0u && id < u.c) {
    r0[u.y0 + c] = r.x;
    r1[u.y1 + c] = r.y;
  }
}
