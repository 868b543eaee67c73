// matmul_rows — y[b, m, n] = finish(Σ_k a[m, k]·b[n, k], n) where k is contiguous in both (NT, the forward of a linear layer).
// One invocation keeps TM rows by one column: lanes along n walk their row of b in vec4 and share a's.
const WG = 8u; //@param
const TM = 8u; //@param

struct Sizes {
  m: u32,
  n: u32,
  k4: u32,
  ab: u32,
  am: u32,
  a0: u32,
  bb: u32,
  bn: u32,
  b0: u32,
  yb: u32,
  ym: u32,
  y0: u32,
  bias0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn finish(v: f32, n: u32) -> f32 { return v; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let n = min(id.x, u.n - 1u);
  let m0 = id.y * TM;
  var acc: array<vec4<f32>, TM>;
  var row: array<u32, TM>;
  for (var i = 0u; i < TM; i++) {
    row[i] = u.a0 + id.z * u.ab + min(m0 + i, u.m - 1u) * u.am;
  }
  var bi = u.b0 + id.z * u.bb + n * u.bn;
  for (var k = 0u; k < u.k4; k++) {
    let v = b[bi];
    bi += 1u;
    for (var i = 0u; i < TM; i++) {
      acc[i] = fma(a[row[i]], v, acc[i]);
      row[i] += 1u;
    }
  }
  if (id.x < u.n) {
    for (var i = 0u; i < TM; i++) {
      if (m0 + i < u.m) {
        let s = acc[i];
        y[u.y0 + id.z * u.yb + (m0 + i) * u.ym + n] = finish((s.x + s.y) + (s.z + s.w), n);
      }
    }
  }
}
