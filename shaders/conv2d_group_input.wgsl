// conv2d_group_input — gx(c, h, w) = Σ_{k of the group} Σ_{r,s} gy(k, (h+pt-r·dh)/sh, (w+PL-s·DW)/SW)·w(k,c,r,s) over
// whole quotients: the input gradient of a convolution with groups. One invocation makes TM channels of a group by SP
// neighbouring pixels of a row, SP a multiple of the stride, so that which tap meets which pixel is known when the shader
// is compiled; per row of gy it loads the window once for all taps. Lanes along the strips of all pictures.
const WG = 64u; //@param
const TM = 1u; //@param
const SP = 4u; //@param
const KW = 3u; //@param
const SW = 1u; //@param
const DW = 1u; //@param
const PL = 1u; //@param

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
  g0: u32,
  gn: u32,
  y0: u32,
  yn: u32,
  w0: u32,
  wn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Quotients by the stride are taken of positive numbers: FAR strides are added first.
const FAR = 1024u;
const REACH = (KW - 1u) * DW;
const LOW = (FAR * SW + PL - REACH) / SW;
const NX = (FAR * SW + PL + SP - 1u) / SW - LOW + 1u;
alias Strip = array<f32, SP>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let at = id.x * WG + l;
  let strip = min(at, u.total - 1u);
  let n = strip / (u.ih * u.strips);
  let h = i32(strip / u.strips % u.ih);
  let x0 = strip % u.strips * SP;
  let q0 = i32(x0 / SW + LOW) - i32(FAR);
  let c0 = id.y * TM;
  let k0 = c0 / u.cg * u.kg;
  var acc: array<Strip, TM>;
  for (var k = 0u; k < u.kg; k++) {
    let plane = u.g0 + n * u.gn + (k0 + k) * u.oh * u.ow;
    for (var r = 0u; r < u.kh; r++) {
      let py = h + u.pt - i32(r * u.dh);
      let p = py / i32(u.sh);
      let live = py >= 0 && p * i32(u.sh) == py && p < i32(u.oh);
      let row = plane + u32(clamp(p, 0, i32(u.oh) - 1)) * u.ow;
      var v: array<f32, NX>;
      for (var d = 0u; d < NX; d++) {
        let q = q0 + i32(d);
        let inside = live && q >= 0 && q < i32(u.ow);
        v[d] = select(0.0, g[row + u32(clamp(q, 0, i32(u.ow) - 1))], inside);
      }
      for (var i = 0u; i < TM; i++) {
        let taps = u.w0 + (k0 + k) * u.wn + ((c0 + i) % u.cg * u.kh + r) * KW;
        for (var s = 0u; s < KW; s++) {
          let weight = w[taps + s];
          for (var j = 0u; j < SP; j++) {
            let reach = FAR * SW + j + PL - s * DW;
            if (reach % SW == 0u) {
              acc[i][j] = fma(weight, v[reach / SW - LOW], acc[i][j]);
            }
          }
        }
      }
    }
  }
  if (at < u.total) {
    for (var i = 0u; i < TM; i++) {
      let base = u.y0 + n * u.yn + ((c0 + i) * u.ih + u32(h)) * u.iw + x0;
      for (var j = 0u; j < SP; j++) {
        if (x0 + j < u.iw) {
          y[base + j] = acc[i][j];
        }
      }
    }
  }
}
