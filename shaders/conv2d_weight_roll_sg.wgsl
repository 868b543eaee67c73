enable subgroups;
// conv2d_weight_roll_sg — gw[o,c,r,·] = Σ_{n,p,q} gy[n,o,p,q]·pro(x[n,c,p+r-pt,q+·-PL]): the weight gradient of a
// convolution of stride 1 that keeps its rows' width (PL columns of padding on the left, KW-1-PL on the right). Lanes
// along input channels (TC slots of 8), 8·TO output channels in registers, all KW taps of one kernel row at once: a
// window of columns rolls along the row, so each x is loaded once for KW products. Rows are vec4s. gy is loaded once
// per subgroup and shuffled. A workgroup is 8 lanes: right for any subgroup of at least 8. z counts kernel rows, then
// parts of the pictures that a second pass adds in fixed order.
const TO = 2u; //@param
const TC = 2u; //@param
const KW = 3u; //@param
const PL = 1u; //@param

struct Sizes {
  c: u32,
  o: u32,
  n: u32,
  per: u32,
  h: u32,
  w4: u32,
  kh: u32,
  pt: i32,
  x0: u32,
  xn: u32,
  g0: u32,
  gn: u32,
  gh: u32,
  y0: u32,
  yn: u32,
  part: u32,
  scale0: u32,
  shift0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read> shift: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: vec4<f32>, s: vec2<f32>) -> vec4<f32> { return v; } //@hook

fn dot4(a: vec4<f32>, b: vec4<f32>, acc: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, acc))));
}

// The four columns that begin d - 3 columns from those of b, of a row a, b, c of vec4s.
fn columns(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: u32) -> vec4<f32> {
  switch d {
    case 0u: { return vec4<f32>(a.yzw, b.x); }
    case 1u: { return vec4<f32>(a.zw, b.xy); }
    case 2u: { return vec4<f32>(a.w, b.xyz); }
    case 3u: { return b; }
    case 4u: { return vec4<f32>(b.yzw, c.x); }
    case 5u: { return vec4<f32>(b.zw, c.xy); }
    default: { return vec4<f32>(b.w, c.xyz); }
  }
}

alias Window = array<vec4<f32>, TC>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let c0 = id.x * 8u * TC + l;
  let o0 = id.y * 8u * TO;
  let r = id.z % u.kh;
  let part = id.z / u.kh;
  let up = i32(r) - u.pt;
  var acc: array<array<array<array<f32, KW>, TC>, 8>, TO>;
  var ch: array<vec2<f32>, TC>;
  for (var j = 0u; j < TC; j++) {
    ch[j] = channel(min(c0 + j * 8u, u.c - 1u));
  }
  // Rows of gy whose row of x exists.
  let first = u32(max(0, -up));
  let past = u32(max(0, min(i32(u.gh), i32(u.h) - up)));
  let last = min(u.n, (part + 1u) * u.per);
  for (var n = part * u.per; n < last; n++) {
    for (var p = first; p < past; p++) {
      var xb: array<u32, TC>;
      var a: Window;
      var b: Window;
      for (var j = 0u; j < TC; j++) {
        xb[j] = u.x0 + n * u.xn + (min(c0 + j * 8u, u.c - 1u) * u.h + u32(i32(p) + up)) * u.w4;
        a[j] = vec4<f32>(0.0);
        b[j] = prologue(x[xb[j]], ch[j]);
      }
      var gb: array<u32, TO>;
      for (var h = 0u; h < TO; h++) {
        gb[h] = u.g0 + n * u.gn + (min(o0 + h * 8u + (lane & 7u), u.o - 1u) * u.gh + p) * u.w4;
      }
      for (var q = 0u; q < u.w4; q++) {
        let more = q + 1u < u.w4;
        var c: Window;
        for (var j = 0u; j < TC; j++) {
          c[j] = select(vec4<f32>(0.0), prologue(x[xb[j] + select(q, q + 1u, more)], ch[j]), more);
        }
        for (var h = 0u; h < TO; h++) {
          let mine = g[gb[h] + q];
          for (var i = 0u; i < 8u; i++) {
            let gv = subgroupShuffle(mine, i);
            for (var j = 0u; j < TC; j++) {
              for (var t = 0u; t < KW; t++) {
                acc[h][i][j][t] = dot4(gv, columns(a[j], b[j], c[j], t + 3u - PL), acc[h][i][j][t]);
              }
            }
          }
        }
        for (var j = 0u; j < TC; j++) {
          a[j] = b[j];
          b[j] = c[j];
        }
      }
    }
  }
  let base = u.y0 + part * u.part + r * KW;
  for (var h = 0u; h < TO; h++) {
    for (var i = 0u; i < 8u; i++) {
      let o = o0 + h * 8u + i;
      for (var j = 0u; j < TC; j++) {
        let c = c0 + j * 8u;
        if (o < u.o && c < u.c) {
          for (var t = 0u; t < KW; t++) {
            y[base + o * u.yn + c * u.kh * KW + t] = acc[h][i][j][t];
          }
        }
      }
    }
  }
}
