enable subgroups;
// conv2d_weight_pointwise_sg — gw[o,c] = Σ_{n,pixels} gy[n,o,·]·pro(x[n,c,·]): the weight gradient of a 1×1
// convolution. Lanes along input channels (TC slots of 8), 8·TO output channels in registers; a vec4 of pixels of
// both operands at a time, so that every accumulator is touched once per four products. gy is loaded once per
// subgroup and broadcast. A workgroup is 8 lanes: right for any subgroup of at least 8. z cuts the pictures into
// `splits` parts that a second pass adds in fixed order.
const TO = 2u; //@param
const TC = 4u; //@param

struct Sizes {
  c: u32,
  o: u32,
  hw4: u32,
  n: u32,
  per: u32,
  x0: u32,
  xn: u32,
  g0: u32,
  gn: u32,
  y0: u32,
  part: u32,
  yn: u32,
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

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let c0 = id.x * 8u * TC + l;
  let o0 = id.y * 8u * TO;
  var acc: array<array<array<f32, TC>, 8>, TO>;
  var ch: array<vec2<f32>, TC>;
  for (var j = 0u; j < TC; j++) {
    ch[j] = channel(min(c0 + j * 8u, u.c - 1u));
  }
  let last = min(u.n, (id.z + 1u) * u.per);
  for (var n = id.z * u.per; n < last; n++) {
    var xb: array<u32, TC>;
    for (var j = 0u; j < TC; j++) {
      xb[j] = u.x0 + n * u.xn + min(c0 + j * 8u, u.c - 1u) * u.hw4;
    }
    var gb: array<u32, TO>;
    for (var h = 0u; h < TO; h++) {
      gb[h] = u.g0 + n * u.gn + min(o0 + h * 8u + (lane & 7u), u.o - 1u) * u.hw4;
    }
    for (var q = 0u; q < u.hw4; q++) {
      var v: array<vec4<f32>, TC>;
      for (var j = 0u; j < TC; j++) {
        v[j] = prologue(x[xb[j] + q], ch[j]);
      }
      for (var h = 0u; h < TO; h++) {
        let mine = g[gb[h] + q];
        for (var i = 0u; i < 8u; i++) {
          let gv = subgroupShuffle(mine, i);
          for (var j = 0u; j < TC; j++) {
            acc[h][i][j] = dot4(gv, v[j], acc[h][i][j]);
          }
        }
      }
    }
  }
  let base = u.y0 + id.z * u.part;
  for (var h = 0u; h < TO; h++) {
    for (var i = 0u; i < 8u; i++) {
      let o = o0 + h * 8u + i;
      for (var j = 0u; j < TC; j++) {
        let c = c0 + j * 8u;
        if (o < u.o && c < u.c) {
          y[base + o * u.yn + c] = acc[h][i][j];
        }
      }
    }
  }
}
