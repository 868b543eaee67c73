enable subgroups;
// conv2d_pointwise_sg — conv2d_pointwise with the weights loaded once per subgroup: lane i of each group of 8 loads
// the weight of channel i, subgroupBroadcast hands it to all. Right for any subgroup of at least 8 lanes (a workgroup
// is 8 lanes), 1.2–2 times faster than the plain tile on lavapipe. Tails are clamped: all lanes stay active.
const TG = 4u; //@param

struct Sizes {
  k: u32,
  m: u32,
  hw4: u32,
  q: u32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  w0: u32,
  wk: u32,
  wm: u32,
  b0: u32,
  scale0: u32,
  shift0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> shift: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: vec4<f32>, s: vec2<f32>) -> vec4<f32> { return v; } //@hook
fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: vec4<f32>) -> vec4<f32> { return v; } //@hook

alias Block = array<vec4<f32>, 8>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) g: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let at = g.x * 8u + l;
  let q = min(at, u.q - 1u);
  let n = q / u.hw4;
  let px = q % u.hw4;
  let m0 = g.y * TG * 8u;
  var acc: array<Block, TG>;
  var wi: array<u32, TG>;
  for (var h = 0u; h < TG; h++) {
    wi[h] = u.w0 + min(m0 + h * 8u + (lane & 7u), u.m - 1u) * u.wm;
    for (var i = 0u; i < 8u; i++) {
      acc[h][i] = vec4<f32>(start(min(m0 + h * 8u + i, u.m - 1u)));
    }
  }
  var xi = u.x0 + n * u.xn + px;
  for (var k = 0u; k < u.k; k++) {
    let v = prologue(x[xi], channel(k));
    xi += u.hw4;
    for (var h = 0u; h < TG; h++) {
      let weight = w[wi[h]];
      wi[h] += u.wk;
      acc[h][0] = fma(vec4<f32>(subgroupBroadcast(weight, 0u)), v, acc[h][0]);
      acc[h][1] = fma(vec4<f32>(subgroupBroadcast(weight, 1u)), v, acc[h][1]);
      acc[h][2] = fma(vec4<f32>(subgroupBroadcast(weight, 2u)), v, acc[h][2]);
      acc[h][3] = fma(vec4<f32>(subgroupBroadcast(weight, 3u)), v, acc[h][3]);
      acc[h][4] = fma(vec4<f32>(subgroupBroadcast(weight, 4u)), v, acc[h][4]);
      acc[h][5] = fma(vec4<f32>(subgroupBroadcast(weight, 5u)), v, acc[h][5]);
      acc[h][6] = fma(vec4<f32>(subgroupBroadcast(weight, 6u)), v, acc[h][6]);
      acc[h][7] = fma(vec4<f32>(subgroupBroadcast(weight, 7u)), v, acc[h][7]);
    }
  }
  if (at < u.q) {
    let base = u.y0 + n * u.yn + px;
    for (var h = 0u; h < TG; h++) {
      for (var i = 0u; i < 8u; i++) {
        let m = m0 + h * 8u + i;
        if (m < u.m) {
          y[base + m * u.hw4] = activate(acc[h][i]);
        }
      }
    }
  }
}
