// reduce — y[o, chunk] = combine over r in the chunk of x[o, r]. One workgroup per (output, chunk): lane l takes
// r = l, l + WG, …, then a tree in workgroup memory joins the lanes in fixed order; or with LANES > 1 one lane per (output,
// chunk), for short reductions to many outputs. V is f32, or vec4 where what is reduced lies in whole vec4 along its last
// axis, `inner` of them: extents and places of x are counted in V. Grid folded over x and y.
const WG = 8u; //@param
const LANES = 1u; //@param
const RANK = 8u; //@param
alias V = f32; //@type

struct Sizes {
  outputs: u32,
  length: u32,
  inner: u32,
  step: u32,
  chunks: u32,
  per: u32,
  x0: u32,
  y0: u32,
  yrow: u32,
  yn: u32,
  oshape: array<vec4<u32>, 2>,
  rshape: array<vec4<u32>, 2>,
  os: array<vec4<u32>, 2>,
  rs: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

//@include math

fn init(z: f32) -> f32 { return 0.0; } //@hook
fn combine(a: f32, b: f32) -> f32 { return a + b; } //@hook
fn both(a: V, b: V) -> V { return combine(a, b); } //@hook
fn total(v: V) -> f32 { return v; } //@hook

var<workgroup> tree: array<f32, WG>;

fn place(flat: u32, shape: array<vec4<u32>, 2>, strides: array<vec4<u32>, 2>) -> u32 {
  var rest = flat;
  var at = 0u;
  for (var d = RANK; d > 0u; d--) {
    let k = d - 1u;
    let extent = shape[k / 4u][k % 4u];
    at += (rest % extent) * strides[k / 4u][k % 4u];
    rest = rest / extent;
  }
  return at;
}

fn join(l: u32, v: f32) -> f32 {
  if (WG == 1u) {
    return v;
  }
  tree[l] = v;
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] = combine(tree[l], tree[l + k]);
    }
    workgroupBarrier();
  }
  return tree[0];
}

@compute @workgroup_size(WG * LANES)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let wanted = (w.y * g.x + w.x) * LANES + select(0u, l, LANES > 1u);
  let id = min(wanted, u.outputs * u.chunks - 1u);
  let lane = select(l, 0u, LANES > 1u);
  let o = id / u.chunks;
  let begin = (id % u.chunks) * u.per;
  let end = min(begin + u.per, u.length);
  let base = u.x0 + place(o, u.oshape, u.os);
  var acc = V(init(f32(lane)));
  var row = (begin + lane) / u.inner;
  var i = (begin + lane) % u.inner;
  var at = base + place(row, u.rshape, u.rs);
  for (var r = begin + lane; r < end; r += WG) {
    acc = both(acc, x[at + i * u.step]);
    i += WG;
    if (i >= u.inner) {
      row += i / u.inner;
      i = i % u.inner;
      at = base + place(row, u.rshape, u.rs);
    }
  }
  let r = join(lane, total(acc));
  if (lane == 0u && wanted == id) {
    y[u.y0 + (id / u.yrow) * u.yn + id % u.yrow] = r;
  }
}
