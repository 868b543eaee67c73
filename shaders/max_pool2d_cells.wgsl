// max_pool2d_cells — y[n,c,h,w] = Σ gy of the windows whose chosen position is (h, w), for steps of 2 in both directions: a
// cell of 2×2 elements is reached by JH×JW windows (JW at most 2), from (p0, q0) beside its own place on, and all four elements
// are compared with what each of them chose. One invocation makes `columns` by `rows` cells of one channel, in `pictures`
// pictures; what a column of windows gives to the next cell of a row it keeps.
const WG = 64u; //@param
const JH = 1u; //@param
const JW = 1u; //@param

struct Sizes {
  total: u32,
  n: u32,
  c: u32,
  columns: u32,
  rows: u32,
  pictures: u32,
  across: u32,
  down: u32,
  g0: u32,
  gn: u32,
  i0: u32,
  in_: u32,
  y0: u32,
  yn: u32,
  ih: u32,
  iw: u32,
  oh: i32,
  ow: i32,
  p0: i32,
  q0: i32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> at: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec2<f32>>;

// gy of a window, 0 outside of the output; and the position that it chose.
struct Window {
  gy: f32,
  spot: i32,
}

fn window(c: u32, n: u32, p: i32, q: i32) -> Window {
  let live = p >= 0 && p < u.oh && q >= 0 && q < u.ow;
  let o = u32((i32(c) * u.oh + clamp(p, 0, u.oh - 1)) * u.ow + clamp(q, 0, u.ow - 1));
  return Window(select(0.0, g[u.g0 + n * u.gn + o], live), at[u.i0 + n * u.in_ + o]);
}

// What the window gives to each element of a cell.
fn given(w: Window, cell: vec4<i32>) -> vec4<f32> {
  return select(vec4<f32>(0.0), vec4<f32>(w.gy), vec4<i32>(w.spot) == cell);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (w.y * grid.x + w.x) * WG + l;
  if (i >= u.total) {
    return;
  }
  let q0 = i % u.across * u.columns;
  let p0 = i / u.across % u.down * u.rows;
  let block = i / (u.across * u.down);
  let c = block % u.c;
  let n0 = block / u.c * u.pictures;
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    let out = u.y0 + n * u.yn + c * u.ih * u.iw;
    for (var p = p0; p < min(p0 + u.rows, (u.ih + 1u) / 2u); p++) {
      let row = 2u * p * u.iw;
      var cell = vec4<i32>(i32(2u * (row + q0))) + vec4<i32>(0, 1, 2 * i32(u.iw), 2 * i32(u.iw) + 1);
      var kept = vec4<f32>(0.0);
      if (JW == 2u) {
        for (var j = 0; j < i32(JH); j++) {
          kept += given(window(c, n, i32(p) + u.p0 + j, i32(q0) + u.q0), cell);
        }
      }
      for (var q = q0; q < min(q0 + u.columns, u.iw); q++) {
        var acc = kept;
        kept = vec4<f32>(0.0);
        for (var j = 0; j < i32(JH); j++) {
          let w = window(c, n, i32(p) + u.p0 + j, i32(q + JW - 1u) + u.q0);
          acc += given(w, cell);
          kept += given(w, cell + vec4<i32>(2));
        }
        y[out + row + q] = acc.xy;
        if (2u * p + 1u < u.ih) {
          y[out + row + u.iw + q] = acc.zw;
        }
        cell += vec4<i32>(2);
      }
    }
  }
}
