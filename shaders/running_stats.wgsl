// running_stats — r0 = (1-k)·r0 + k·m and r1 = (1-k)·r1 + k·factor·v, in place. One invocation per channel.
const WG = 64u; //@param

struct Sizes {
  n: u32,
  y0: u32,
  y1: u32,
  o0: u32,
  o1: u32,
  s0: u32,
  k: f32,
  factor: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read_write> r0: array<f32>;
@group(0) @binding(2) var<storage, read_write> r1: array<f32>;
@group(0) @binding(3) var<storage, read> m: array<f32>;
@group(0) @binding(4) var<storage, read> v: array<f32>;
@group(0) @binding(5) var<storage, read> s: array<f32>;

fn momentum() -> f32 { return u.k; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c < u.n) {
    let k = momentum();
    r0[u.y0 + c] = fma(k, m[u.o0 + c], (1.0 - k) * r0[u.y0 + c]);
    r1[u.y1 + c] = fma(k * u.factor, v[u.o1 + c], (1.0 - k) * r1[u.y1 + c]);
  }
}
