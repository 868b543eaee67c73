// normalize_finish — batch norm's last step per channel, from s1 = Σ g and d = Σ g·(x - mean): with r = 1/√(var + e0),
// r0 = s1 (the bias' gradient), r1 = d·r (the weight's), r2 = -w·r·s1 and r3 = -½·w·r³·d (those of mean and variance), perhaps
// added to what r2 and r3 hold. One invocation per channel.
const WG = 64u; //@param

struct Sizes {
  n: u32,
  y0: u32,
  y1: u32,
  y2: u32,
  y3: u32,
  o0: u32,
  o1: u32,
  o2: u32,
  o3: u32,
  e0: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> s1: array<f32>;
@group(0) @binding(2) var<storage, read> d: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> r0: array<f32>;
@group(0) @binding(6) var<storage, read_write> r1: array<f32>;
@group(0) @binding(7) var<storage, read_write> r2: array<f32>;
@group(0) @binding(8) var<storage, read_write> r3: array<f32>;

fn before(i2: u32, i3: u32) -> vec2<f32> { return vec2<f32>(0.0); } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c < u.n) {
    let r = inverseSqrt(variance[u.o2 + c] + u.e0);
    let k = weight[u.o3 + c] * r;
    let sum = s1[u.o0 + c];
    let s2 = d[u.o1 + c] * r;
    r0[u.y0 + c] = sum;
    r1[u.y1 + c] = s2;
    let held = before(u.y2 + c, u.y3 + c);
    r2[u.y2 + c] = held.x - k * sum;
    r3[u.y3 + c] = held.y - 0.5 * k * r * s2;
  }
}
