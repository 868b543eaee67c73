enable subgroups;
// conv2d_weight_row_sg — gw[o,c,r,·] = Σ_{n,p,q} gy[n,o,p,q]·pro(x[n,c,p+r-pt,q+·-pl]): the weight gradient of a
// convolution of stride 1, one pixel at a time, for rows of any width. Lanes along input channels (TC slots of 8),
// 8·TO output channels in registers, all KW taps of one kernel row at once: a window of KW columns rolls along the
// row, so each x is loaded once. gy is loaded once per subgroup and shuffled. A workgroup is 8 lanes: right for any
// subgroup of at least 8. z counts kernel rows, then parts of the pictures that a second pass adds in fixed order.
const TO = 2u; //@param
const TC = 2u; //@param
const KW = 3u; //@param

struct Sizes {
  c: u32,
  o: u32,
  n: u32,
  per: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  kh: u32,
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

// Column `at` of the row of x at `row`, zero beside it.
fn column(row: u32, at: i32, ch: vec2<f32>) -> f32 {
  let inside = at >= 0 && at < i32(u.iw);
  return select(0.0, prologue(x[row + u32(clamp(at, 0, i32(u.iw) - 1))], ch), inside);
}

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
  let past = u32(max(0, min(i32(u.oh), i32(u.ih) - up)));
  let last = min(u.n, (part + 1u) * u.per);
  for (var n = part * u.per; n < last; n++) {
    for (var p = first; p < past; p++) {
      var xb: array<u32, TC>;
      var v: array<array<f32, KW>, TC>;
      for (var j = 0u; j < TC; j++) {
        xb[j] = u.x0 + n * u.xn + (min(c0 + j * 8u, u.c - 1u) * u.ih + u32(i32(p) + up)) * u.iw;
        for (var t = 1u; t < KW; t++) {
          v[j][t] = column(xb[j], i32(t) - 1 - u.pl, ch[j]);
        }
      }
      var gb: array<u32, TO>;
      for (var h = 0u; h < TO; h++) {
        gb[h] = u.g0 + n * u.gn + (min(o0 + h * 8u + (lane & 7u), u.o - 1u) * u.oh + p) * u.ow;
      }
      for (var q = 0u; q < u.ow; q++) {
        for (var j = 0u; j < TC; j++) {
          for (var t = 1u; t < KW; t++) {
            v[j][t - 1u] = v[j][t];
          }
          v[j][KW - 1u] = column(xb[j], i32(q + KW - 1u) - u.pl, ch[j]);
        }
        for (var h = 0u; h < TO; h++) {
          let mine = g[gb[h] + q];
          for (var i = 0u; i < 8u; i++) {
            let gv = subgroupShuffle(mine, i);
            for (var j = 0u; j < TC; j++) {
              for (var t = 0u; t < KW; t++) {
                acc[h][i][j][t] = fma(gv, v[j][t], acc[h][i][j][t]);
              }
            }
          }
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
