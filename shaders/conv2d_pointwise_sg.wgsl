enable subgroups;
// conv2d_pointwise_sg — conv2d_pointwise with the weights loaded once per subgroup: lane i of each group of 8 loads
// the weight of channel i, subgroupBroadcast hands it to all. Right for any subgroup of at least 8 lanes (a workgroup
// is 8 lanes). KU input channels at a time, all of them for one output before the next: in a loop every accumulator that
// changes is merged under the mask of live lanes, so each round should do much. TAIL: the channels are no whole number
// of rounds, the last one is clamped and masked. All lanes stay active. X is vec4, or f32 where planes are
// no whole number of vec4s: the four pixels of a lane are then loaded and stored one by one.
const TG = 4u; //@param
const KU = 4u; //@param
const TAIL = 1u; //@param
alias X = vec4<f32>; //@type

struct Sizes {
  k: u32,
  m: u32,
  strips: u32,
  plane: u32,
  step: u32,
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
@group(0) @binding(1) var<storage, read> x: array<X>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> shift: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<X>;
@group(0) @binding(7) var<storage, read> residual: array<X>;

//@include math

// Four pixels from element `at`; beyond the first `left` only the plane's last is there.
fn load(at: u32, left: u32) -> vec4<f32> { return x[at]; } //@hook
fn store(at: u32, left: u32, v: vec4<f32>) { y[at] = v; } //@hook
fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: vec4<f32>, s: vec2<f32>) -> vec4<f32> { return v; } //@hook
fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: vec4<f32>) -> vec4<f32> { return v; } //@hook
fn load_residual(at: u32, left: u32) -> vec4<f32> { return residual[at]; } //@hook
fn finish(v: vec4<f32>, n: u32, at: u32, left: u32) -> vec4<f32> { return v; } //@hook

alias Block = array<vec4<f32>, 8>;

// Each lane's value of its group of 8.
fn spread(v: f32) -> array<f32, 8> {
  return array<f32, 8>(
    subgroupBroadcast(v, 0u),
    subgroupBroadcast(v, 1u),
    subgroupBroadcast(v, 2u),
    subgroupBroadcast(v, 3u),
    subgroupBroadcast(v, 4u),
    subgroupBroadcast(v, 5u),
    subgroupBroadcast(v, 6u),
    subgroupBroadcast(v, 7u),
  );
}

fn weight(at: u32, k: u32) -> f32 {
  if (TAIL == 0u) { return w[at + k * u.wk]; }
  return select(0.0, w[at + min(k, u.k - 1u) * u.wk], k < u.k);
}

// Adds the products of KU input channels to one group of 8 outputs. Called group by group rather than in a loop, which
// Mesa would not unroll when it is this long; an accumulator array that stays indexed lies in memory, six times slower.
fn products(acc: ptr<function, array<Block, TG>>, h: u32, at: u32, k: u32, v: ptr<function, array<vec4<f32>, KU>>) {
  var weights: array<f32, KU>;
  for (var j = 0u; j < KU; j++) {
    weights[j] = weight(at, k + j);
  }
  var b = (*acc)[h];
  for (var j = 0u; j < KU; j++) {
    b[0] = fma(vec4<f32>(subgroupBroadcast(weights[j], 0u)), (*v)[j], b[0]);
  }
  for (var j = 0u; j < KU; j++) {
    b[1] = fma(vec4<f32>(subgroupBroadcast(weights[j], 1u)), (*v)[j], b[1]);
  }
  for (var j = 0u; j < KU; j++) {
    b[2] = fma(vec4<f32>(subgroupBroadcast(weights[j], 2u)), (*v)[j], b[2]);
  }
  for (var j = 0u; j < KU; j++) {
    b[3] = fma(vec4<f32>(subgroupBroadcast(weights[j], 3u)), (*v)[j], b[3]);
  }
  for (var j = 0u; j < KU; j++) {
    b[4] = fma(vec4<f32>(subgroupBroadcast(weights[j], 4u)), (*v)[j], b[4]);
  }
  for (var j = 0u; j < KU; j++) {
    b[5] = fma(vec4<f32>(subgroupBroadcast(weights[j], 5u)), (*v)[j], b[5]);
  }
  for (var j = 0u; j < KU; j++) {
    b[6] = fma(vec4<f32>(subgroupBroadcast(weights[j], 6u)), (*v)[j], b[6]);
  }
  for (var j = 0u; j < KU; j++) {
    b[7] = fma(vec4<f32>(subgroupBroadcast(weights[j], 7u)), (*v)[j], b[7]);
  }
  (*acc)[h] = b;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) g: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let at = g.x * 8u + l;
  let q = min(at, u.q - 1u);
  let n = q / u.strips;
  let px = q % u.strips * u.step;
  let left = u.plane - px;
  let m0 = g.y * TG * 8u;
  var acc: array<Block, TG>;
  var wi: array<u32, TG>;
  for (var h = 0u; h < TG; h++) {
    wi[h] = u.w0 + min(m0 + h * 8u + (lane & 7u), u.m - 1u) * u.wm;
    for (var i = 0u; i < 8u; i++) {
      acc[h][i] = vec4<f32>(start(min(m0 + h * 8u + i, u.m - 1u)));
    }
  }
  let xb = u.x0 + n * u.xn + px;
  for (var k = 0u; k < u.k; k += KU) {
    let ch = channel(min(k + (lane & 7u), u.k - 1u));
    let scales = spread(ch.x);
    let shifts = spread(ch.y);
    var v: array<vec4<f32>, KU>;
    for (var j = 0u; j < KU; j++) {
      let c = select(k + j, min(k + j, u.k - 1u), TAIL > 0u);
      let four = prologue(load(xb + c * u.plane, left), vec2<f32>(scales[j], shifts[j]));
      v[j] = select(four, vec4<f32>(0.0), TAIL > 0u && k + j >= u.k);
    }
    products(&acc, 0u, wi[0], k, &v);
    if (TG > 1u) { products(&acc, 1u, wi[min(1u, TG - 1u)], k, &v); }
    if (TG > 2u) { products(&acc, 2u, wi[min(2u, TG - 1u)], k, &v); }
    if (TG > 3u) { products(&acc, 3u, wi[min(3u, TG - 1u)], k, &v); }
  }
  if (at < u.q) {
    let base = u.y0 + n * u.yn;
    for (var h = 0u; h < TG; h++) {
      for (var i = 0u; i < 8u; i++) {
        let m = m0 + h * 8u + i;
        if (m < u.m) {
          let place = px + m * u.plane;
          store(base + place, left, finish(activate(acc[h][i]), n, place, left));
        }
      }
    }
  }
}
