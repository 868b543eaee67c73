// matmul_columns — y[b, m, n] = finish(Σ_k a·b, n) where b's columns are contiguous (NN, TN). One invocation keeps TM rows by
// one vec4 of columns in registers: lanes along n load b once per k and share a's elements.
const WG = 8u; //@param
const TM = 8u; //@param

struct Sizes {
  m: u32,
  n4: u32,
  k: u32,
  ab: u32,
  am: u32,
  ak: u32,
  a0: u32,
  bb: u32,
  bk: u32,
  b0: u32,
  yb: u32,
  ym: u32,
  y0: u32,
  bias0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

// Of the vec4 of columns that begins at column 4·n4.
fn finish(v: vec4<f32>, n4: u32) -> vec4<f32> { return v; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let n = min(id.x, u.n4 - 1u);
  let m0 = id.y * TM;
  var acc: array<vec4<f32>, TM>;
  var row: array<u32, TM>;
  for (var i = 0u; i < TM; i++) {
    row[i] = u.a0 + id.z * u.ab + min(m0 + i, u.m - 1u) * u.am;
  }
  var bi = u.b0 + id.z * u.bb + n;
  for (var k = 0u; k < u.k; k++) {
    let v = b[bi];
    bi += u.bk;
    for (var i = 0u; i < TM; i++) {
      acc[i] = fma(vec4<f32>(a[row[i]]), v, acc[i]);
      row[i] += u.ak;
    }
  }
  if (id.x < u.n4) {
    for (var i = 0u; i < TM; i++) {
      if (m0 + i < u.m) {
        y[u.y0 + id.z * u.yb + (m0 + i) * u.ym + n] = finish(acc[i], n);
      }
    }
  }
}
