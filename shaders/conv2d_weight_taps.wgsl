// conv2d_weight_taps — gw[o,t] = Σ_{n,p,q} gy[n,o,p,q]·pro(x at tap t = (c,r,s)): the weight gradient of any
// convolution without groups. Register tile: lanes along the flattened taps, TO output channels and four pixels of a
// row at a time; every lane reads the same gy. For devices without subgroups. z cuts the pictures into parts that a
// second pass adds in fixed order.
const WG = 64u; //@param
const TO = 8u; //@param

struct Sizes {
  taps: u32,
  o: u32,
  n: u32,
  per: u32,
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

fn dot4(a: vec4<f32>, b: vec4<f32>, acc: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, acc))));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let at = id.x * WG + l;
  let t = min(at, u.taps - 1u);
  let o0 = id.y * TO;
  let c = t / (u.kh * u.kw);
  let ch = channel(c);
  let dy = i32(t / u.kw % u.kh * u.dh) - u.pt;
  let dx = i32(t % u.kw * u.dw) - u.pl;
  var acc: array<f32, TO>;
  let last = min(u.n, (id.z + 1u) * u.per);
  for (var n = id.z * u.per; n < last; n++) {
    for (var p = 0u; p < u.oh; p++) {
      let iy = i32(p * u.sh) + dy;
      let live = iy >= 0 && iy < i32(u.ih);
      let row = u.x0 + n * u.xn + (c * u.ih + u32(clamp(iy, 0, i32(u.ih) - 1))) * u.iw;
      for (var q = 0u; q < u.ow; q += 4u) {
        var v: vec4<f32>;
        for (var d = 0u; d < 4u; d++) {
          let ix = i32((q + d) * u.sw) + dx;
          let inside = live && ix >= 0 && ix < i32(u.iw);
          v[d] = select(0.0, prologue(x[row + u32(clamp(ix, 0, i32(u.iw) - 1))], ch), inside);
        }
        for (var i = 0u; i < TO; i++) {
          let gb = u.g0 + n * u.gn + (min(o0 + i, u.o - 1u) * u.oh + p) * u.ow;
          var gv: vec4<f32>;
          for (var d = 0u; d < 4u; d++) {
            gv[d] = select(0.0, g[gb + min(q + d, u.ow - 1u)], q + d < u.ow);
          }
          acc[i] = dot4(gv, v, acc[i]);
        }
      }
    }
  }
  if (at < u.taps) {
    for (var i = 0u; i < TO; i++) {
      if (o0 + i < u.o) {
        y[u.y0 + id.z * u.part + (o0 + i) * u.yn + at] = acc[i];
      }
    }
  }
}
