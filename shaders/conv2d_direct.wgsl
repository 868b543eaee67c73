// conv2d_direct — y[n,k,p,q] = act(bias[k] + Σ_{c,r,s} pro(x[n, c, p·sh-pt+r·dh, q·sw-pl+s·dw])·w[k,c,r,s]), any
// stride, padding, dilation and groups; padding is zero after `pro`. One invocation per output: x along the plane,
// y the output channel, z the picture; planes beyond the grid are walked with its stride.
// `finish` comes last before the store (src/ops/conv_store.ts); it gets the value, its picture and its place there.
const WG = 64u; //@param

struct Sizes {
  x0: u32,
  xn: u32,
  w0: u32,
  y0: u32,
  yn: u32,
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
fn start(k: u32) -> f32 { return 0.0; } //@hook
fn activate(v: f32) -> f32 { return v; } //@hook
fn finish(v: f32, n: u32, at: u32) -> f32 { return v; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  for (var at = g.x * WG + l; at < u.oh * u.ow; at += grid.x * WG) {
    one(at, g.y, g.z);
  }
}

fn one(at: u32, k: u32, n: u32) {
  let p = i32(at / u.ow);
  let q = i32(at % u.ow);
  let c0 = (k / u.kg) * u.cg;
  var acc = start(k);
  var wi = u.w0 + k * u.wn;
  for (var c = 0u; c < u.cg; c++) {
    let ch = channel(c0 + c);
    let plane = u.x0 + n * u.xn + (c0 + c) * u.ih * u.iw;
    for (var r = 0u; r < u.kh; r++) {
      let iy = p * i32(u.sh) - u.pt + i32(r * u.dh);
      for (var s = 0u; s < u.kw; s++) {
        let ix = q * i32(u.sw) - u.pl + i32(s * u.dw);
        if (iy >= 0 && iy < i32(u.ih) && ix >= 0 && ix < i32(u.iw)) {
          acc = fma(prologue(x[plane + u32(iy) * u.iw + u32(ix)], ch), w[wi], acc);
        }
        wi += 1u;
      }
    }
  }
  let place = k * u.oh * u.ow + at;
  y[u.y0 + n * u.yn + place] = finish(activate(acc), n, place);
}
