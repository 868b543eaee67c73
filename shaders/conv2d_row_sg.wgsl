enable subgroups;
// conv2d_row_sg — conv2d_strip_sg for convolutions of stride 1 that keep their rows' width (PL columns of padding on
// the left, KW-1-PL on the right), rows of vec4s: a strip is SP columns (a multiple of 4) that all exist, so only its
// edges need a test. An invocation makes 8·TG output channels of one strip. Lane i of each group of 8 loads the weight
// of channel i, subgroupBroadcast hands it to all. Right for any subgroup of at least 8 lanes (a workgroup is 8 lanes).
// KH is the number of kernel rows where the taps are few, so that they are unrolled; with 0 the rows are walked.
const TG = 2u; //@param
const SP = 8u; //@param
const KW = 3u; //@param
const KH = 0u; //@param
const PL = 1u; //@param

struct Sizes {
  k: u32,
  m: u32,
  ih: u32,
  w: u32,
  oh: u32,
  strips: u32,
  total: u32,
  kh: u32,
  pt: i32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  w0: u32,
  wk: u32,
  wm: u32,
  wt: i32,
  b0: u32,
  scale0: u32,
  shift0: u32,
  r0: u32,
  rn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> scale: array<f32>;
@group(0) @binding(6) var<storage, read> shift: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> residual: array<vec4<f32>>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: f32, s: vec2<f32>) -> f32 { return v; } //@hook
fn prologue4(v: vec4<f32>, s: vec2<f32>) -> vec4<f32> { return v; } //@hook
fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: vec4<f32>) -> vec4<f32> { return v; } //@hook
fn finish(v: vec4<f32>, n: u32, at: u32) -> vec4<f32> { return v; } //@hook

alias Strip = array<f32, SP>;
alias Block = array<Strip, 8>;

// Each lane's value of its group of 8.
fn spread(v: f32) -> array<f32, 8> {
  return array<f32, 8>(
    subgroupBroadcast(v, 0u),
    subgroupBroadcast(v, 1u),
    subgroupBroadcast(v, 2u),
    subgroupBroadcast(v, 3u),
    subgroupBroadcast(v, 4u),
    subgroupBroadcast(v, 5u),
    subgroupBroadcast(v, 6u),
    subgroupBroadcast(v, 7u),
  );
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) g: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let at = g.x * 8u + l;
  let strip = min(at, u.total - 1u);
  let n = strip / (u.oh * u.strips);
  let p = strip / u.strips % u.oh;
  let q0 = strip % u.strips * SP;
  let m0 = g.y * TG * 8u;
  var acc: array<Block, TG>;
  var wi: array<u32, TG>;
  for (var h = 0u; h < TG; h++) {
    wi[h] = u.w0 + min(m0 + h * 8u + (lane & 7u), u.m - 1u) * u.wm;
    for (var i = 0u; i < 8u; i++) {
      let b = start(min(m0 + h * 8u + i, u.m - 1u));
      for (var j = 0u; j < SP; j++) {
        acc[h][i][j] = b;
      }
    }
  }
  let left = q0 > 0u;
  let right = q0 + SP < u.w;
  for (var k = 0u; k < u.k; k++) {
    let ch = channel(k);
    let plane = u.x0 + n * u.xn + k * u.ih * u.w;
    for (var r = 0u; r < select(KH, u.kh, KH == 0u); r++) {
      let iy = i32(p + r) - u.pt;
      let live = iy >= 0 && iy < i32(u.ih);
      let row = plane + u32(clamp(iy, 0, i32(u.ih) - 1)) * u.w + q0;
      var v: array<f32, SP + KW - 1u>;
      for (var s = 0u; s < SP / 4u; s++) {
        let four = select(vec4<f32>(0.0), prologue4(x4[row / 4u + s], ch), live);
        for (var d = 0u; d < 4u; d++) {
          v[PL + s * 4u + d] = four[d];
        }
      }
      for (var d = 0u; d < PL; d++) {
        let ok = live && left;
        v[d] = select(0.0, prologue(x[select(row, row - PL + d, left)], ch), ok);
      }
      for (var d = 0u; d < KW - 1u - PL; d++) {
        let ok = live && right;
        v[PL + SP + d] = select(0.0, prologue(x[select(row, row + SP + d, right)], ch), ok);
      }
      // All taps of one output before the next, so that its accumulators stay in registers.
      for (var h = 0u; h < TG; h++) {
        var weights: array<array<f32, 8>, KW>;
        for (var t = 0u; t < KW; t++) {
          weights[t] = spread(w[wi[h] + k * u.wk + u32(i32(r * KW + t) * u.wt)]);
        }
        for (var i = 0u; i < 8u; i++) {
          for (var t = 0u; t < KW; t++) {
            for (var j = 0u; j < SP; j++) {
              acc[h][i][j] = fma(weights[t][i], v[j + t], acc[h][i][j]);
            }
          }
        }
      }
    }
  }
  if (at < u.total) {
    for (var h = 0u; h < TG; h++) {
      for (var i = 0u; i < 8u; i++) {
        let m = m0 + h * 8u + i;
        let place = (m * u.oh + p) * u.w + q0;
        let base = (u.y0 + n * u.yn + place) / 4u;
        for (var s = 0u; s < SP / 4u; s++) {
          if (m < u.m) {
            let a = acc[h][i];
            let four = vec4<f32>(a[s * 4u], a[s * 4u + 1u], a[s * 4u + 2u], a[s * 4u + 3u]);
            y[base + s] = finish(activate(four), n, place + s * 4u);
          }
        }
      }
    }
  }
}
