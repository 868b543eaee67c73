enable subgroups;
// conv2d_weight_taps_sg — gw[o,t] = Σ_{n,p,q} gy[n,o,p,q]·pro(x at tap t = (c,r,s)): the weight gradient of any
// convolution without groups. Lanes along the flattened taps (TT slots of 8), 8·TO output channels in registers, four
// pixels of a row at a time. gy is loaded once per subgroup and broadcast. A workgroup is 8 lanes: right for any
// subgroup of at least 8. z cuts the pictures into parts that a second pass adds in fixed order.
const TO = 2u; //@param
const TT = 4u; //@param

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

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let t0 = id.x * 8u * TT + l;
  let o0 = id.y * 8u * TO;
  var acc: array<array<array<f32, TT>, 8>, TO>;
  var ch: array<vec2<f32>, TT>;
  var plane: array<u32, TT>;
  var dy: array<i32, TT>;
  var dx: array<i32, TT>;
  for (var j = 0u; j < TT; j++) {
    let t = min(t0 + j * 8u, u.taps - 1u);
    let c = t / (u.kh * u.kw);
    ch[j] = channel(c);
    plane[j] = c * u.ih * u.iw;
    dy[j] = i32(t / u.kw % u.kh * u.dh) - u.pt;
    dx[j] = i32(t % u.kw * u.dw) - u.pl;
  }
  let last = min(u.n, (id.z + 1u) * u.per);
  for (var n = id.z * u.per; n < last; n++) {
    for (var p = 0u; p < u.oh; p++) {
      var row: array<u32, TT>;
      var live: array<bool, TT>;
      for (var j = 0u; j < TT; j++) {
        let iy = i32(p * u.sh) + dy[j];
        live[j] = iy >= 0 && iy < i32(u.ih);
        row[j] = u.x0 + n * u.xn + plane[j] + u32(clamp(iy, 0, i32(u.ih) - 1)) * u.iw;
      }
      for (var q = 0u; q < u.ow; q += 4u) {
        var v: array<vec4<f32>, TT>;
        for (var j = 0u; j < TT; j++) {
          for (var d = 0u; d < 4u; d++) {
            let ix = i32((q + d) * u.sw) + dx[j];
            let inside = live[j] && ix >= 0 && ix < i32(u.iw);
            v[j][d] = select(0.0, prologue(x[row[j] + u32(clamp(ix, 0, i32(u.iw) - 1))], ch[j]), inside);
          }
        }
        for (var h = 0u; h < TO; h++) {
          let gb = u.g0 + n * u.gn + (min(o0 + h * 8u + (lane & 7u), u.o - 1u) * u.oh + p) * u.ow;
          var mine: vec4<f32>;
          for (var d = 0u; d < 4u; d++) {
            mine[d] = select(0.0, g[gb + min(q + d, u.ow - 1u)], q + d < u.ow);
          }
          for (var i = 0u; i < 8u; i++) {
            let gv = subgroupShuffle(mine, i);
            for (var j = 0u; j < TT; j++) {
              acc[h][i][j] = dot4(gv, v[j], acc[h][i][j]);
            }
          }
        }
      }
    }
  }
  let base = u.y0 + id.z * u.part;
  for (var h = 0u; h < TO; h++) {
    for (var i = 0u; i < 8u; i++) {
      let o = o0 + h * 8u + i;
      for (var j = 0u; j < TT; j++) {
        let t = t0 + j * 8u;
        if (o < u.o && t < u.taps) {
          y[base + o * u.yn + t] = acc[h][i][j];
        }
      }
    }
  }
}
