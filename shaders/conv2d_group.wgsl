// conv2d_group — a convolution with groups (depthwise: one channel each), any stride and padding: of output channel m,
// in group m / kg, y(m,·) = finish(act(start(m) + Σ_{c of the group} Σ_{r,s} pro(x)·w(m,c,r,s))). One invocation makes TM
// channels of a group by SP neighbouring pixels of a row; per input row it loads the window once for all taps. Lanes
// along the strips of all pictures; the channels, and so the weights, are those of the whole workgroup.
const WG = 64u; //@param
const TM = 1u; //@param
const SP = 4u; //@param
const KW = 3u; //@param
const SW = 1u; //@param
const DW = 1u; //@param

struct Sizes {
  cg: u32,
  kg: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  strips: u32,
  total: u32,
  kh: u32,
  sh: u32,
  dh: u32,
  pt: i32,
  pl: i32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  w0: u32,
  wn: u32,
  b0: u32,
  scale0: u32,
  shift0: u32,
  r0: u32,
  rn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> shift: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read> residual: array<f32>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: f32, s: vec2<f32>) -> f32 { return v; } //@hook
fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: f32) -> f32 { return v; } //@hook
fn finish(v: f32, n: u32, at: u32) -> f32 { return v; } //@hook

const NX = (SP - 1u) * SW + (KW - 1u) * DW + 1u;
alias Strip = array<f32, SP>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let at = g.x * WG + l;
  let strip = min(at, u.total - 1u);
  let n = strip / (u.oh * u.strips);
  let p = strip / u.strips % u.oh;
  let q0 = strip % u.strips * SP;
  let m0 = g.y * TM;
  let c0 = m0 / u.kg * u.cg;
  let ix0 = i32(q0 * SW) - u.pl;
  var acc: array<Strip, TM>;
  for (var i = 0u; i < TM; i++) {
    for (var j = 0u; j < SP; j++) {
      acc[i][j] = start(m0 + i);
    }
  }
  for (var c = 0u; c < u.cg; c++) {
    let ch = channel(c0 + c);
    let plane = u.x0 + n * u.xn + (c0 + c) * u.ih * u.iw;
    for (var r = 0u; r < u.kh; r++) {
      let iy = i32(p * u.sh) - u.pt + i32(r * u.dh);
      let live = iy >= 0 && iy < i32(u.ih);
      let row = plane + u32(clamp(iy, 0, i32(u.ih) - 1)) * u.iw;
      var v: array<f32, NX>;
      for (var d = 0u; d < NX; d++) {
        let ix = ix0 + i32(d);
        let inside = live && ix >= 0 && ix < i32(u.iw);
        v[d] = select(0.0, prologue(x[row + u32(clamp(ix, 0, i32(u.iw) - 1))], ch), inside);
      }
      for (var i = 0u; i < TM; i++) {
        let taps = u.w0 + (m0 + i) * u.wn + (c * u.kh + r) * KW;
        for (var t = 0u; t < KW; t++) {
          let weight = w[taps + t];
          for (var j = 0u; j < SP; j++) {
            acc[i][j] = fma(weight, v[j * SW + t * DW], acc[i][j]);
          }
        }
      }
    }
  }
  if (at < u.total) {
    for (var i = 0u; i < TM; i++) {
      let place = ((m0 + i) * u.oh + p) * u.ow + q0;
      let base = u.y0 + n * u.yn + place;
      for (var j = 0u; j < SP; j++) {
        if (q0 + j < u.ow) {
          y[base + j] = finish(activate(acc[i][j]), n, place + j);
        }
      }
    }
  }
}
