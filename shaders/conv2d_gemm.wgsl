// conv2d_gemm — y(m, pixel) = act(start(m) + Σ_k w(m,k)·pro(x(k, pixel))), k = (channel, tap): a convolution as a product
// whose second operand is gathered while it is loaded, and the input gradient as one (taps walked backwards; STEP_H and
// STEP_W are its strides: only whole multiples read anything). Tiles as in gemm.wgsl; columns are the output pixels of
// all pictures. What a row of the panel reads (channel, tap) is worked out once per panel for all columns.
const BM = 64u; //@param
const BN = 64u; //@param
const TM = 4u; //@param
const STEP_H = 1u; //@param
const STEP_W = 1u; //@param
// What the panels hold; sums are f32 in any case.
alias Staged = f32; //@type

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
  dh: i32,
  dw: i32,
  x0: u32,
  xn: u32,
  w0: u32,
  wk: u32,
  wm: u32,
  y0: u32,
  yn: u32,
  part: u32,
  bias0: u32,
  scale0: u32,
  shift0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> shift: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: f32, s: vec2<f32>) -> f32 { return v; } //@hook
fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: f32) -> f32 { return v; } //@hook

const BK = 16u;
const COLS = BN / 4u;
const THREADS = BM / TM * COLS;
const SA = BM + 4u;

var<workgroup> sa: array<Staged, BK * SA>;
var<workgroup> sb: array<Staged, BK * BN>;
// Of each row of the next panel: its channel's plane in x (-1: beyond k), its tap's way down and to the right, and where
// its weights lie. So only BK invocations divide, while the others multiply, and one pipeline serves all windows.
var<workgroup> reads: array<vec4<i32>, BK>;
var<workgroup> norms: array<vec2<f32>, BK>;

fn describe(k: u32, l: u32) {
  let c = k / u.taps;
  let t = k % u.taps;
  let ways = vec2<i32>(i32(t / u.kw) * u.dh, i32(t % u.kw) * u.dw);
  reads[l] = vec4<i32>(select(-1, i32(c * u.ih * u.iw), k < u.k), ways, i32(c * u.wk + t));
  norms[l] = channel(c);
}

fn stage_w(m0: u32, l: u32) {
  let r = reads[l % BK];
  let base = u.w0 + u32(r.w);
  for (var i = 0u; i < BM * BK / THREADS; i++) {
    let m = (i * THREADS + l) / BK;
    let v = select(0.0, w[base + (m0 + m) * u.wm], m0 + m < u.m && r.x >= 0);
    sa[l % BK * SA + m] = Staged(v);
  }
}

// One column, at `origin` of its picture (minus the tap's way).
fn stage_x(picture: u32, origin: vec2<i32>, l: u32) {
  for (var i = 0u; i < BN * BK / THREADS; i++) {
    let row = (i * THREADS + l) / BN;
    let r = reads[row];
    let at = origin + r.yz;
    let p = at / vec2<i32>(i32(STEP_H), i32(STEP_W));
    let whole = all(p * vec2<i32>(i32(STEP_H), i32(STEP_W)) == at);
    let inside = whole && r.x >= 0 && all(at >= vec2<i32>(0)) && p.x < i32(u.ih) && p.y < i32(u.iw);
    let v = x[select(u.x0, picture + u32(r.x) + u32(p.x) * u.iw + u32(p.y), inside)];
    sb[row * BN + l % BN] = Staged(select(0.0, prologue(v, norms[row]), inside));
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let m0 = g.x * BM;
  let n0 = g.y * BN;
  let row = l / COLS * TM;
  let col = l % COLS * 4u;
  let own = min(n0 + l % BN, u.n - 1u);
  let pixel = own % u.plane;
  let picture = u.x0 + own / u.plane * u.xn;
  let origin = vec2<i32>(i32(pixel / u.ow * u.sh) + u.y_from, i32(pixel % u.ow * u.sw) + u.x_from);
  var acc: array<vec4<f32>, TM>;
  for (var i = 0u; i < TM; i++) {
    acc[i] = vec4<f32>(start(m0 + row + i));
  }
  let begin = g.z * u.per;
  let end = min(u.k, begin + u.per);
  if (l < BK) {
    describe(begin + l, l);
  }
  workgroupBarrier();
  for (var k0 = begin; k0 < end; k0 += BK) {
    stage_w(m0, l);
    stage_x(picture, origin, l);
    workgroupBarrier();
    if (l < BK) {
      describe(k0 + BK + l, l);
    }
    for (var k = 0u; k < BK; k++) {
      let at = k * BN + col;
      let v = vec4<f32>(f32(sb[at]), f32(sb[at + 1u]), f32(sb[at + 2u]), f32(sb[at + 3u]));
      for (var i = 0u; i < TM; i++) {
        acc[i] = fma(vec4<f32>(f32(sa[k * SA + row + i])), v, acc[i]);
      }
    }
    workgroupBarrier();
  }
  for (var e = 0u; e < 4u; e++) {
    let n = n0 + col + e;
    let to = u.y0 + g.z * u.part + n / u.plane * u.yn + n % u.plane;
    for (var i = 0u; i < TM; i++) {
      let m = m0 + row + i;
      if (m < u.m && n < u.n) {
        y[to + m * u.plane] = activate(acc[i][e]);
      }
    }
  }
}
