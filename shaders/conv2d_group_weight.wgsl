// conv2d_group_weight — gw(k, c, r, s) = Σ_{n,p,q} gy(n,k,p,q)·pro(x at tap (r,s)): the weight gradient of a convolution
// with groups. A workgroup has one pair (k, c) and a part of the pictures; an invocation takes strips of SP output pixels
// in turn and keeps a sum for each of the KH×KW taps. The lanes' sums are joined in workgroup memory, the parts by
// split_sum, both in fixed order.
const WG = 64u; //@param
const SP = 4u; //@param
const KH = 3u; //@param
const KW = 3u; //@param
const SW = 1u; //@param
const DW = 1u; //@param

struct Sizes {
  n: u32,
  per: u32,
  cg: u32,
  kg: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  strips: u32,
  sh: u32,
  dh: u32,
  pt: i32,
  pl: i32,
  x0: u32,
  xn: u32,
  g0: u32,
  gn: u32,
  y0: u32,
  yn: u32,
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

const NX = (SP - 1u) * SW + (KW - 1u) * DW + 1u;
const TAPS = KH * KW;

var<workgroup> sums: array<f32, TAPS * WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let c = id.x / u.kg * u.cg + id.y;
  let ch = channel(c);
  var acc: array<f32, TAPS>;
  let first = id.z * u.per;
  let pictures = min(u.n - first, u.per);
  for (var at = l; at < pictures * u.oh * u.strips; at += WG) {
    let n = first + at / (u.oh * u.strips);
    let p = at / u.strips % u.oh;
    let q0 = at % u.strips * SP;
    let row = u.g0 + n * u.gn + (id.x * u.oh + p) * u.ow;
    var gv: array<f32, SP>;
    for (var j = 0u; j < SP; j++) {
      gv[j] = select(0.0, g[row + min(q0 + j, u.ow - 1u)], q0 + j < u.ow);
    }
    let plane = u.x0 + n * u.xn + c * u.ih * u.iw;
    for (var r = 0u; r < KH; r++) {
      let iy = i32(p * u.sh + r * u.dh) - u.pt;
      let live = iy >= 0 && iy < i32(u.ih);
      let source = plane + u32(clamp(iy, 0, i32(u.ih) - 1)) * u.iw;
      var v: array<f32, NX>;
      for (var d = 0u; d < NX; d++) {
        let ix = i32(q0 * SW + d) - u.pl;
        let inside = live && ix >= 0 && ix < i32(u.iw);
        v[d] = select(0.0, prologue(x[source + u32(clamp(ix, 0, i32(u.iw) - 1))], ch), inside);
      }
      for (var s = 0u; s < KW; s++) {
        for (var j = 0u; j < SP; j++) {
          acc[r * KW + s] = fma(gv[j], v[j * SW + s * DW], acc[r * KW + s]);
        }
      }
    }
  }
  for (var t = 0u; t < TAPS; t++) {
    sums[t * WG + l] = acc[t];
  }
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    for (var i = l; i < TAPS * half; i += WG) {
      let to = i / half * WG + i % half;
      sums[to] += sums[to + half];
    }
    workgroupBarrier();
  }
  for (var t = l; t < TAPS; t += WG) {
    y[u.y0 + id.z * u.part + id.x * u.yn + id.y * TAPS + t] = sums[t * WG];
  }
}
