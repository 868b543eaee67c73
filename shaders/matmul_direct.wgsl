// matmul_direct — y[b, m, n] = finish(Σ_k a·b, n) with any strides. One invocation per output: x along n, y along m, z the batch.
const WX = 8u; //@param
const WY = 8u; //@param

struct Sizes {
  m: u32,
  n: u32,
  k: u32,
  ab: u32,
  am: u32,
  ak: u32,
  a0: u32,
  bb: u32,
  bk: u32,
  bn: u32,
  b0: u32,
  yb: u32,
  ym: u32,
  y0: u32,
  bias0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn finish(v: f32, n: u32) -> f32 { return v; } //@hook

@compute @workgroup_size(WX, WY)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= u.n || id.y >= u.m) {
    return;
  }
  var ai = u.a0 + id.z * u.ab + id.y * u.am;
  var bi = u.b0 + id.z * u.bb + id.x * u.bn;
  var s = 0.0;
  for (var k = 0u; k < u.k; k++) {
    s = fma(a[ai], b[bi], s);
    ai += u.ak;
    bi += u.bk;
  }
  y[u.y0 + id.z * u.yb + id.y * u.ym + id.x] = finish(s, id.x);
}
