// ceiling_copy — y = x in vec4s, UNROLL of them an invocation: what the device can read and write at most.
const WG = 64u; //@param
const UNROLL = 8u; //@param

struct Sizes {
  total: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let base = g.x * WG * UNROLL + l;
  for (var j = 0u; j < UNROLL; j++) {
    let at = base + j * WG;
    if (at < u.total) {
      y[at] = x[at];
    }
  }
}
