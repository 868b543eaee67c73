// conv2d_weight_direct — gw[k,c,r,s] = Σ_{n,p,q} pro(x[n, c, p·sh-pt+r·dh, q·sw-pl+s·dw])·gy[n,k,p,q]: the gradient
// of conv2d's weight, any stride, padding, dilation and groups. One invocation per weight, a serial sum: the baseline.
const WG = 64u; //@param

struct Sizes {
  x0: u32,
  xn: u32,
  g0: u32,
  gn: u32,
  y0: u32,
  total: u32,
  n: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  kh: u32,
  kw: u32,
  sh: u32,
  sw: u32,
  dh: u32,
  dw: u32,
  pt: i32,
  pl: i32,
  cg: u32,
  kg: u32,
  yn: u32,
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

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let at = (id.y * grid.x + id.x) * WG + l;
  if (at >= u.total) {
    return;
  }
  let s = at % u.kw;
  let r = at / u.kw % u.kh;
  let cl = at / (u.kw * u.kh) % u.cg;
  let k = at / (u.kw * u.kh * u.cg);
  let c = (k / u.kg) * u.cg + cl;
  let ch = channel(c);
  var acc = 0.0;
  for (var n = 0u; n < u.n; n++) {
    let xb = u.x0 + n * u.xn + c * u.ih * u.iw;
    let gb = u.g0 + n * u.gn + k * u.oh * u.ow;
    for (var p = 0u; p < u.oh; p++) {
      let iy = i32(p * u.sh + r * u.dh) - u.pt;
      if (iy >= 0 && iy < i32(u.ih)) {
        for (var q = 0u; q < u.ow; q++) {
          let ix = i32(q * u.sw + s * u.dw) - u.pl;
          if (ix >= 0 && ix < i32(u.iw)) {
            acc = fma(prologue(x[xb + u32(iy) * u.iw + u32(ix)], ch), g[gb + p * u.ow + q], acc);
          }
        }
      }
    }
  }
  y[u.y0 + k * u.yn + at % (u.cg * u.kh * u.kw)] = acc;
}
