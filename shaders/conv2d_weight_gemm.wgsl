// conv2d_weight_gemm — gw(o,t) = Σ_pixel gy(o, pixel)·pro(x at tap t = (c,r,s) of the pixel): the weight gradient of any
// convolution without groups as a product along the output pixels of all pictures; the second operand is gathered while
// it is loaded. Tiles as in gemm.wgsl. What a column reads (channel, tap) is worked out once; lanes load along pixels.
// z cuts the pixels into parts, which split_sum adds in fixed order.
const BM = 64u; //@param
const BN = 64u; //@param
const TM = 4u; //@param

struct Sizes {
  m: u32,
  n: u32,
  k: u32,
  per: u32,
  taps: u32,
  kw: u32,
  ih: u32,
  iw: u32,
  ow: u32,
  plane: u32,
  sh: u32,
  sw: u32,
  y_from: i32,
  x_from: i32,
  dh: u32,
  dw: u32,
  x0: u32,
  xn: u32,
  g0: u32,
  gn: u32,
  y0: u32,
  ym: u32,
  part: u32,
  scale0: u32,
  shift0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read> shift: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: f32, s: vec2<f32>) -> f32 { return v; } //@hook

const BK = 16u;
const COLS = BN / 4u;
const THREADS = BM / TM * COLS;
const SA = BM + 4u;
const SB = BN + 4u;

var<workgroup> sa: array<f32, BK * SA>;
var<workgroup> sb: array<f32, BK * SB>;
// Of each column: its channel's plane in x (-1: beyond the last tap), its tap's way down and to the right.
var<workgroup> reads: array<vec3<i32>, BN>;
var<workgroup> norms: array<vec2<f32>, BN>;

fn describe(t: u32, l: u32) {
  let c = t / u.taps;
  let ways = vec2<i32>(i32(t % u.taps / u.kw * u.dh) + u.y_from, i32(t % u.taps % u.kw * u.dw) + u.x_from);
  reads[l] = vec3<i32>(select(-1, i32(c * u.ih * u.iw), t < u.n), ways);
  norms[l] = channel(c);
}

fn stage(m0: u32, k: u32, l: u32) {
  let n = k / u.plane;
  let pixel = k % u.plane;
  let origin = vec2<i32>(i32(pixel / u.ow * u.sh), i32(pixel % u.ow * u.sw));
  let to = l % BK;
  for (var i = 0u; i < BM * BK / THREADS; i++) {
    let m = (i * THREADS + l) / BK;
    sa[to * SA + m] = select(0.0, g[u.g0 + n * u.gn + (m0 + m) * u.plane + pixel], m0 + m < u.m && k < u.k);
  }
  for (var i = 0u; i < BN * BK / THREADS; i++) {
    let column = (i * THREADS + l) / BK;
    let r = reads[column];
    let at = origin + r.yz;
    let inside = k < u.k && r.x >= 0 && all(at >= vec2<i32>(0)) && at.x < i32(u.ih) && at.y < i32(u.iw);
    let v = x[select(u.x0, u.x0 + n * u.xn + u32(r.x) + u32(at.x) * u.iw + u32(at.y), inside)];
    sb[to * SB + column] = select(0.0, prologue(v, norms[column]), inside);
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let m0 = id.x * BM;
  let n0 = id.y * BN;
  let row = l / COLS * TM;
  let col = l % COLS * 4u;
  var acc: array<vec4<f32>, TM>;
  if (l < BN) {
    describe(n0 + l, l);
  }
  workgroupBarrier();
  let end = min(u.k, (id.z + 1u) * u.per);
  for (var k0 = id.z * u.per; k0 < end; k0 += BK) {
    stage(m0, k0 + l % BK, l);
    workgroupBarrier();
    for (var k = 0u; k < BK; k++) {
      let at = k * SB + col;
      let v = vec4<f32>(sb[at], sb[at + 1u], sb[at + 2u], sb[at + 3u]);
      for (var i = 0u; i < TM; i++) {
        acc[i] = fma(vec4<f32>(sa[k * SA + row + i]), v, acc[i]);
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < TM; i++) {
    let m = m0 + row + i;
    for (var e = 0u; e < 4u; e++) {
      let n = n0 + col + e;
      if (m < u.m && n < u.n) {
        y[u.y0 + id.z * u.part + m * u.ym + n] = acc[i][e];
      }
    }
  }
}
