enable subgroups;
// matmul_columns_sg — matmul_columns with a's elements loaded once per subgroup: lane i of each group of 8 loads that of
// row i, subgroupShuffle hands it to all. An invocation keeps 8 rows by one vec4 of columns. Right for any subgroup of
// at least 8 lanes (a workgroup is 8 lanes). Tails are clamped: all lanes stay active.

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

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) g: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let column = g.x * 8u + l;
  let m0 = g.y * 8u;
  let ai = u.a0 + g.z * u.ab + min(m0 + (lane & 7u), u.m - 1u) * u.am;
  let bi = u.b0 + g.z * u.bb + min(column, u.n4 - 1u);
  var acc: array<vec4<f32>, 8>;
  for (var k = 0u; k < u.k; k++) {
    let v = b[bi + k * u.bk];
    let mine = a[ai + k * u.ak];
    for (var i = 0u; i < 8u; i++) {
      acc[i] = fma(vec4<f32>(subgroupShuffle(mine, i)), v, acc[i]);
    }
  }
  for (var i = 0u; i < 8u; i++) {
    if (column < u.n4 && m0 + i < u.m) {
      y[u.y0 + g.z * u.yb + (m0 + i) * u.ym + column] = finish(acc[i], column);
    }
  }
}
