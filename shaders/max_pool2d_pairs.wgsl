// max_pool2d_pairs — max_pool2d for windows 2 or 3 wide in steps of 2, in rows of even length: columns are loaded two by two, and
// what lies in two pairs side by side, of which FROM columns lie before the window, gives an output; the right pair is the
// next output's left one. Ties give the first in row order: of equal values the smaller position. One invocation makes
// `columns` by `rows` outputs of one channel, in `pictures` pictures. KH is the height where it is small, so that it is
// unrolled; with 0 it is walked.
const WG = 64u; //@param
const KH = 0u; //@param
const KW = 3u; //@param
const FROM = 1u; //@param

struct Sizes {
  total: u32,
  n: u32,
  columns: u32,
  rows: u32,
  pictures: u32,
  across: u32,
  down: u32,
  x0: u32,
  xn: u32,
  y0: u32,
  yn: u32,
  i0: u32,
  in_: u32,
  c: u32,
  ih: u32,
  iw: u32,
  oh: u32,
  ow: u32,
  kh: u32,
  kw: u32,
  sh: u32,
  sw: u32,
  dh: u32,
  dw: u32,
  pt: i32,
  pl: i32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> at: array<i32>;

// Integers above 0 that order floats, -0 equal to 0, NaN above all.
fn order(v: vec2<f32>) -> vec2<u32> {
  let b = bitcast<vec2<u32>>(v);
  let magnitude = b & vec2<u32>(0x7fffffffu);
  let ordered = select(b | vec2<u32>(0x80000000u), ~b, b >= vec2<u32>(0x80000000u));
  let zero = select(ordered, vec2<u32>(0x80000000u), magnitude == vec2<u32>(0u));
  return select(zero, vec2<u32>(0xffffffffu), magnitude > vec2<u32>(0x7f800000u));
}

// The float of an order; of any zero +0, of any NaN one of them.
fn value(order: u32) -> f32 {
  return bitcast<f32>(select(~order, order & 0x7fffffffu, order >= 0x80000000u));
}

// A value as it is ordered, and where it lies in the plane. Outside of the plane the order is 0.
struct Found {
  order: u32,
  spot: u32,
}

struct Pair {
  order: vec2<u32>,
  spot: vec2<u32>,
}

fn left(p: Pair) -> Found {
  return Found(p.order.x, p.spot.x);
}

fn right(p: Pair) -> Found {
  return Found(p.order.y, p.spot.y);
}

fn larger(a: Found, b: Found) -> Found {
  let better = b.order > a.order || (b.order == a.order && b.spot < a.spot);
  return Found(max(a.order, b.order), select(a.spot, b.spot, better));
}

// The best of columns 2k and 2k + 1 in the windows whose first row is h.
fn pair(plane: u32, h: i32, k: i32) -> Pair {
  var best = Pair(vec2<u32>(0u), vec2<u32>(0u));
  let inside = k >= 0 && k < i32(u.iw);
  let w = u32(clamp(k, 0, i32(u.iw) - 1));
  for (var r = 0u; r < select(KH, u.kh, KH == 0u); r++) {
    let row = h + i32(r * u.dh);
    let here = u32(clamp(row, 0, i32(u.ih) - 1)) * u.iw + w;
    let v = x[plane + here];
    let rank = select(vec2<u32>(0u), order(v), inside && row >= 0 && row < i32(u.ih));
    best.spot = select(best.spot, vec2<u32>(2u * here, 2u * here + 1u), rank > best.order);
    best.order = max(best.order, rank);
  }
  return best;
}

// The best of a window in the pairs before and next.
fn best(before: Pair, next: Pair) -> Found {
  var found = left(next);
  if (FROM < 2u) {
    found = larger(found, right(before));
  }
  if (FROM == 0u) {
    found = larger(found, left(before));
  }
  if (FROM + KW > 3u) {
    found = larger(found, right(next));
  }
  return found;
}

fn write(n: u32, o: u32, found: Found) {
  y[u.y0 + n * u.yn + o] = value(found.order);
  at[u.i0 + n * u.in_ + o] = i32(found.spot);
}

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
  for (var n = n0; n < min(n0 + u.pictures, u.n); n++) {
    let plane = u.x0 + n * u.xn + c * u.ih * u.iw;
    for (var p = p0; p < min(p0 + u.rows, u.oh); p++) {
      let h = i32(p * u.sh) - u.pt;
      let out = (c * u.oh + p) * u.ow;
      let first = i32(q0) - (u.pl + i32(FROM)) / 2;
      var before = Pair(vec2<u32>(0u), vec2<u32>(0u));
      if (FROM < 2u) {
        before = pair(plane, h, first);
      }
      let end = min(q0 + u.columns, u.ow);
      for (var q = q0; q < end; q += 2u) {
        let k = first + i32(q - q0) + 1;
        let one = pair(plane, h, k);
        let two = pair(plane, h, k + 1);
        write(n, out + q, best(before, one));
        if (q + 1u < end) {
          write(n, out + q + 1u, best(one, two));
        }
        before = two;
      }
    }
  }
}
