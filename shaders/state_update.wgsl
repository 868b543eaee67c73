// state_update — an optimizer's step over flat slices: p (and m, v) are read and written in place, g is read, s holds
// the step's scalars. V is f32 or vec4. One invocation takes UNROLL values, a workgroup's invocations side by side.
const WG = 64u; //@param
const UNROLL = 4u; //@param
alias V = f32; //@type

struct Sizes {
  total: u32,
  p0: u32,
  g0: u32,
  m0: u32,
  v0: u32,
  s0: u32,
}

struct State {
  p: V,
  m: V,
  v: V,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read_write> p: array<V>;
@group(0) @binding(2) var<storage, read> g: array<V>;
@group(0) @binding(3) var<storage, read_write> m: array<V>;
@group(0) @binding(4) var<storage, read_write> v: array<V>;
@group(0) @binding(5) var<storage, read> scalars: array<f32>;

fn s(i: u32) -> f32 {
  return scalars[u.s0 + i];
}

fn load_m(i: u32) -> V { return V(0.0); } //@hook
fn load_v(i: u32) -> V { return V(0.0); } //@hook
fn store_m(i: u32, x: V) { return; } //@hook
fn store_v(i: u32, x: V) { return; } //@hook
fn update_one(p: V, g: V, m: V, v: V, z: State) -> State { return z; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * grid.x + w.x) * WG * UNROLL;
  for (var i = first + l; i < min(u.total, first + WG * UNROLL); i += WG) {
    let r = update_one(p[u.p0 + i], g[u.g0 + i], load_m(u.m0 + i), load_v(u.v0 + i), State(V(0.0), V(0.0), V(0.0)));
    p[u.p0 + i] = r.p;
    store_m(u.m0 + i, r.m);
    store_v(u.v0 + i, r.v);
  }
}
