// conv2d_pointwise — y[n,m,·] = act(bias[m] + Σ_k pro(x[n,k,·])·w(m,k)): a 1×1 convolution, and the input gradient of
// one (strides wm, wk swapped). Register tile: one invocation keeps 8·TG output channels by 4 pixels (a vec4), lanes
// along the flattened (picture, pixel/4); every lane reads the same weights. For devices without subgroups.
const WG = 64u; //@param
const TG = 1u; //@param

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
  r0: u32,
  rn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> shift: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> residual: array<vec4<f32>>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: vec4<f32>, s: vec2<f32>) -> vec4<f32> { return v; } //@hook
fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: vec4<f32>) -> vec4<f32> { return v; } //@hook
fn finish(v: vec4<f32>, n: u32, at: u32) -> vec4<f32> { return v; } //@hook

alias Block = array<vec4<f32>, 8>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let at = g.x * WG + l;
  let q = min(at, u.q - 1u);
  let n = q / u.hw4;
  let px = q % u.hw4;
  let m0 = g.y * TG * 8u;
  var acc: array<Block, TG>;
  for (var h = 0u; h < TG; h++) {
    for (var i = 0u; i < 8u; i++) {
      acc[h][i] = vec4<f32>(start(min(m0 + h * 8u + i, u.m - 1u)));
    }
  }
  var xi = u.x0 + n * u.xn + px;
  for (var k = 0u; k < u.k; k++) {
    let v = prologue(x[xi], channel(k));
    xi += u.hw4;
    for (var h = 0u; h < TG; h++) {
      for (var i = 0u; i < 8u; i++) {
        let weight = w[u.w0 + min(m0 + h * 8u + i, u.m - 1u) * u.wm + k * u.wk];
        acc[h][i] = fma(vec4<f32>(weight), v, acc[h][i]);
      }
    }
  }
  if (at < u.q) {
    let base = u.y0 + n * u.yn;
    for (var h = 0u; h < TG; h++) {
      for (var i = 0u; i < 8u; i++) {
        let m = m0 + h * 8u + i;
        if (m < u.m) {
          let place = px + m * u.hw4;
          y[base + place] = finish(activate(acc[h][i]), n, place);
        }
      }
    }
  }
}
