// channel_map_rows — y[n,c,i] = f(a[n,c,i], b[n,c,i], channel(c)) as in channel_map, where one invocation makes `run` values
// side by side of one channel, in `pictures` pictures: it finds its place, and fetches what belongs to the channel, once.
// V is f32, or vec4 along the plane; the grid is folded over x and y.
const WG = 64u; //@param
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
  n: u32,
  run: u32,
  runs: u32,
  pictures: u32,
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
  let id = (w.y * g.x + w.x) * WG + l;
  if (id >= u.total) {
    return;
  }
  let row = id / u.runs;
  let c = row % u.c;
  let n0 = row / u.c * u.pictures;
  let start = id % u.runs * u.run;
  let end = min(u.run, u.plane - start);
  let s = channel(c);
  let k = extra(c);
  let at = c * u.plane + start;
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    let ab = u.a0 + n * u.an + at;
    let bb = u.b0 + n * u.bn + at;
    let yb = u.y0 + n * u.yn + at;
    for (var i = 0u; i < end; i++) {
      y[yb + i] = f(a[ab + i], load_b(bb + i), s, k);
    }
  }
}
