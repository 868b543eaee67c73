// vector_pair — (r0[c], r1[c]) = pair(c) over vectors of n values: the small per-channel arithmetic of batch norm.
// One invocation per element.
const WG = 64u; //@param

struct Sizes {
  n: u32,
  y0: u32,
  y1: u32,
  o0: u32,
  o1: u32,
  o2: u32,
  o3: u32,
  e0: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> v0: array<f32>;
@group(0) @binding(2) var<storage, read> v1: array<f32>;
@group(0) @binding(3) var<storage, read> v2: array<f32>;
@group(0) @binding(4) var<storage, read> v3: array<f32>;
@group(0) @binding(5) var<storage, read_write> r0: array<f32>;
@group(0) @binding(6) var<storage, read_write> r1: array<f32>;

fn pair(c: u32) -> vec2<f32> { return vec2<f32>(v0[u.o0 + c], v1[u.o1 + c] + v2[u.o2 + c] + v3[u.o3 + c]); } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c < u.n) {
    let r = pair(c);
    r0[u.y0 + c] = r.x;
    r1[u.y1 + c] = r.y;
  }
}
