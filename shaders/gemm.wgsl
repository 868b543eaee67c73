// gemm — y(m,n) = act(start(m) + start_columns(n) + Σ_k a(m,k)·pro(b(k,n))): matrix products, 1×1 convolutions (columns are the pixels of
// all pictures) and their gradients, for GPUs with workgroup memory. A workgroup makes a tile of BM×BN outputs, an
// invocation TM×4 of them in registers; panels of BK along k go through workgroup memory, k-major. Neighbours of an
// operand are loaded V at a time, along k (ALONG = 1) or across it. z counts batches, and within them parts of k, which
// split_sum adds in fixed order.
const BM = 64u; //@param
const BN = 64u; //@param
const TM = 4u; //@param
const V = 1u; //@param
const A_ALONG = 1u; //@param
const B_ALONG = 0u; //@param
alias Four = f32; //@type
// What the panels hold; sums are f32 in any case.
alias Staged = f32; //@type

struct Sizes {
  m: u32,
  n: u32,
  k: u32,
  per: u32,
  parts: u32,
  a0: u32,
  ab: u32,
  am: u32,
  ak: u32,
  b0: u32,
  bb: u32,
  bk: u32,
  bn: u32,
  y0: u32,
  yb: u32,
  ym: u32,
  part: u32,
  plane: u32,
  ap: u32,
  bp: u32,
  yp: u32,
  bias0: u32,
  scale0: u32,
  shift0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<Four>;
@group(0) @binding(2) var<storage, read> b: array<Four>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> shift: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<Four>;

//@include math

// Where k lies in a and in b, and the column n in b and in y: by pictures of u.plane pixels where those are joined.
fn place_ak(k: u32) -> u32 { return k * u.ak; } //@hook
fn place_bk(k: u32) -> u32 { return k * u.bk; } //@hook
fn place_bn(n: u32) -> u32 { return n * u.bn; } //@hook
fn place_yn(n: u32) -> u32 { return n; } //@hook
fn load_a(at: u32) -> vec4<f32> { return vec4<f32>(a[at], 0.0, 0.0, 0.0); } //@hook
fn load_b(at: u32) -> vec4<f32> { return vec4<f32>(b[at], 0.0, 0.0, 0.0); } //@hook
fn store(at: vec4<u32>, left: u32, v: vec4<f32>) { for (var e = 0u; e < min(left, 4u); e++) { y[at[e]] = v[e]; } } //@hook
fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: vec4<f32>, s: vec2<f32>) -> vec4<f32> { return v; } //@hook
fn start(m: u32) -> f32 { return 0.0; } //@hook
fn start_columns(n: u32) -> vec4<f32> { return vec4<f32>(0.0); } //@hook
fn activate(v: vec4<f32>) -> vec4<f32> { return v; } //@hook

const BK = 16u;
const COLS = BN / 4u;
const THREADS = BM / TM * COLS;
// Four more a row where a panel is turned while it is stored: neighbours along k then fall into other banks.
const SA = BM + 4u * A_ALONG;
const SB = BN + 4u * B_ALONG;
const A_ROW = select(BM, BK, A_ALONG == 1u) / V;
const B_ROW = select(BN, BK, B_ALONG == 1u) / V;

var<workgroup> sa: array<Staged, BK * SA>;
var<workgroup> sb: array<Staged, BK * SB>;

fn stage_a(m0: u32, k0: u32, base: u32, l: u32) {
  let row = l % A_ROW * V;
  for (var i = 0u; i < BM * BK / V / THREADS; i++) {
    let other = (i * THREADS + l) / A_ROW;
    let m = select(row, other, A_ALONG == 1u);
    let k = select(other, row, A_ALONG == 1u);
    let inside = m0 + m < u.m && k0 + k < u.k;
    let v = select(vec4<f32>(0.0), load_a(base + (m0 + m) * u.am + place_ak(k0 + k)), inside);
    for (var e = 0u; e < V; e++) {
      sa[(k + e * A_ALONG) * SA + m + e * (1u - A_ALONG)] = Staged(v[e]);
    }
  }
}

// Where the invocation's column lies, found once outside of the loop; along k it has several.
fn stage_b(n0: u32, k0: u32, base: u32, column: u32, l: u32) {
  let row = l % B_ROW * V;
  for (var i = 0u; i < BN * BK / V / THREADS; i++) {
    let other = (i * THREADS + l) / B_ROW;
    let n = select(row, other, B_ALONG == 1u);
    let k = select(other, row, B_ALONG == 1u);
    let inside = n0 + n < u.n && k0 + k < u.k;
    let c = select(k0 + k, n0 + n, B_ALONG == 1u);
    let at = select(column, place_bn(n0 + n), B_ALONG == 1u);
    let x = load_b(base + at + place_bk(k0 + k));
    let v = select(vec4<f32>(0.0), prologue(x, channel(c)), inside);
    for (var e = 0u; e < V; e++) {
      sb[(k + e * B_ALONG) * SB + n + e * (1u - B_ALONG)] = Staged(v[e]);
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let m0 = g.x * BM;
  let n0 = g.y * BN;
  let batch = g.z / u.parts;
  let part = g.z % u.parts;
  let row = l / COLS * TM;
  let col = l % COLS * 4u;
  var acc: array<vec4<f32>, TM>;
  for (var i = 0u; i < TM; i++) {
    acc[i] = vec4<f32>(start(m0 + row + i)) + start_columns(n0 + col);
  }
  let column = place_bn(n0 + l % B_ROW * V);
  let end = min(u.k, (part + 1u) * u.per);
  for (var k0 = part * u.per; k0 < end; k0 += BK) {
    stage_a(m0, k0, u.a0 + batch * u.ab, l);
    stage_b(n0, k0, u.b0 + batch * u.bb, column, l);
    workgroupBarrier();
    for (var k = 0u; k < BK; k++) {
      let at = k * SB + col;
      let v = vec4<f32>(f32(sb[at]), f32(sb[at + 1u]), f32(sb[at + 2u]), f32(sb[at + 3u]));
      for (var i = 0u; i < TM; i++) {
        acc[i] = fma(vec4<f32>(f32(sa[k * SA + row + i])), v, acc[i]);
      }
    }
    workgroupBarrier();
  }
  let n = n0 + col;
  if (n < u.n) {
    let at = vec4<u32>(place_yn(n), place_yn(n + 1u), place_yn(n + 2u), place_yn(n + 3u));
    for (var i = 0u; i < TM; i++) {
      let m = m0 + row + i;
      if (m < u.m) {
        store(at + (u.y0 + batch * u.yb + part * u.part + m * u.ym), u.n - n, activate(acc[i]));
      }
    }
  }
}
