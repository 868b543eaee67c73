// avg_pool2d_tiles_input — y[n,c,h,w] = divide · x[n,c,h/kh,w/kw]: the gradient of averages over windows that lie side by
// side; zero where no window reaches. One invocation makes the elements of y below SEG neighbouring windows of one row.
const WG = 64u; //@param
const SEG = 1u; //@param

struct Sizes {
  total: u32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  c: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  kh: u32,
  kw: u32,
  divide: f32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) g: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (g.y * grid.x + g.x) * WG + l;
  let segments = (u.ow + SEG - 1u) / SEG;
  if (i >= u.total * segments) {
    return;
  }
  let row = i / segments;
  let q0 = i % segments * SEG;
  let q1 = min(q0 + SEG, u.ow);
  let h = row % u.ih;
  let c = row / u.ih % u.c;
  let n = row / (u.ih * u.c);
  let p = h / u.kh;
  let at = u.x0 + n * u.xn + (c * u.oh + min(p, u.oh - 1u)) * u.ow;
  let out = u.y0 + n * u.yn + (c * u.ih + h) * u.iw;
  for (var q = q0; q < q1; q++) {
    let v = select(0.0, x[at + q] * u.divide, p < u.oh);
    for (var s = 0u; s < u.kw; s++) {
      y[out + q * u.kw + s] = v;
    }
  }
  if (q1 == u.ow) {
    for (var w = u.ow * u.kw; w < u.iw; w++) {
      y[out + w] = 0.0;
    }
  }
}
