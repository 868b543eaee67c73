// avg_pool2d_tiles_input — y[n,c,h,w] = divide · x[n,c,h/kh,w/kw]: the gradient of averages over windows that lie side by
// side; zero where no window reaches. One invocation makes what lies below `columns` by `rows` windows of one channel, those
// at the edge that reach beyond it among them, in `pictures` pictures. KH and KW are the window where it is small, so that
// it is unrolled; with 0 it is walked.
const WG = 64u; //@param
const KH = 0u; //@param
const KW = 0u; //@param

struct Sizes {
  total: u32,
  n: u32,
  c: u32,
  columns: u32,
  rows: u32,
  pictures: u32,
  across: u32,
  down: u32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
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
  if (i >= u.total) {
    return;
  }
  let q0 = i % u.across * u.columns;
  let p0 = i / u.across % u.down * u.rows;
  let block = i / (u.across * u.down);
  let c = block % u.c;
  let n0 = block / u.c * u.pictures;
  let p1 = min(p0 + u.rows, (u.ih + u.kh - 1u) / u.kh);
  let q1 = min(q0 + u.columns, (u.iw + u.kw - 1u) / u.kw);
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    for (var p = p0; p < p1; p++) {
      let at = u.x0 + n * u.xn + (c * u.oh + min(p, u.oh - 1u)) * u.ow;
      let out = u.y0 + n * u.yn + (c * u.ih + p * u.kh) * u.iw;
      for (var q = q0; q < q1; q++) {
        let v = select(0.0, x[at + min(q, u.ow - 1u)] * u.divide, p < u.oh && q < u.ow);
        for (var r = 0u; r < select(KH, u.kh, KH == 0u); r++) {
          for (var s = 0u; s < select(KW, u.kw, KW == 0u); s++) {
            if (p * u.kh + r < u.ih && q * u.kw + s < u.iw) {
              y[out + r * u.iw + q * u.kw + s] = v;
            }
          }
        }
      }
    }
  }
}
