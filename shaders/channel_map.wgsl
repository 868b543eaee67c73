// channel_map — y[n,c,i] = f(a[n,c,i], b[n,c,i], channel(c)) for [N, C, plane] operands; rows of axis 0 may lie apart.
// V is f32, or vec4 along the plane. One invocation makes UNROLL values; the grid is folded over x and y.
const WG = 64u; //@param
const UNROLL = 4u; //@param
alias V = f32; //@type

struct Sizes {
  total: u32,
  plane: u32,
  c: u32,
  a0: u32,
  an: u32,
  b0: u32,
  bn: u32,
  y0: u32,
  yn: u32,
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
@group(0) @binding(7) var<storage, read> v4: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<V>;

fn load_b(i: u32) -> V { return V(0.0); } //@hook
fn channel(c: u32) -> vec4<f32> { return vec4<f32>(1.0, 0.0, 0.0, 0.0); } //@hook
fn extra(c: u32) -> f32 { return 0.0; } //@hook
fn f(a: V, b: V, s: vec4<f32>, k: f32) -> V { return a; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * g.x + w.x) * WG * UNROLL;
  for (var at = first + l; at < min(u.total, first + WG * UNROLL); at += WG) {
    let i = at % (u.plane * u.c);
    let n = at / (u.plane * u.c);
    let c = i / u.plane;
    y[u.y0 + n * u.yn + i] = f(a[u.a0 + n * u.an + i], load_b(u.b0 + n * u.bn + i), channel(c), extra(c));
  }
}
