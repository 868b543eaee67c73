// winograd_input — V[i, c, tile] = (Bᵀ·d·B)[i], i of 4×4: what the 4×4 pixels behind each tile of 2×2 outputs become for
// Winograd's F(2×2, 3×3). One invocation a tile of a channel, lanes along the tiles of all pictures; padding is zero
// after the prologue. Rows of V are `wide` long, tiles a little less.
const WG = 64u; //@param

struct Sizes {
  c: u32,
  ih: u32,
  iw: u32,
  th: u32,
  tw: u32,
  tiles: u32,
  wide: u32,
  pt: i32,
  pl: i32,
  x0: u32,
  xn: u32,
  scale0: u32,
  shift0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

//@include math

fn channel(c: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); } //@hook
fn prologue(v: f32, s: vec2<f32>) -> f32 { return v; } //@hook

fn pixels(plane: u32, iy: i32, ix: i32, s: vec2<f32>) -> vec4<f32> {
  let row = plane + u32(clamp(iy, 0, i32(u.ih) - 1)) * u.iw;
  var v: vec4<f32>;
  for (var e = 0; e < 4; e++) {
    let at = ix + e;
    let inside = iy >= 0 && iy < i32(u.ih) && at >= 0 && at < i32(u.iw);
    v[e] = select(0.0, prologue(x[row + u32(clamp(at, 0, i32(u.iw) - 1))], s), inside);
  }
  return v;
}

fn spread(v: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(v.x - v.z, v.y + v.z, v.z - v.y, v.y - v.w);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let tile = id.x * WG + l;
  if (tile >= u.tiles) {
    return;
  }
  let n = tile / (u.th * u.tw);
  let iy = i32(tile / u.tw % u.th * 2u) - u.pt;
  let ix = i32(tile % u.tw * 2u) - u.pl;
  let plane = u.x0 + n * u.xn + id.y * u.ih * u.iw;
  let s = channel(id.y);
  let a = pixels(plane, iy, ix, s);
  let b = pixels(plane, iy + 1, ix, s);
  let c = pixels(plane, iy + 2, ix, s);
  let d = pixels(plane, iy + 3, ix, s);
  var rows = array<vec4<f32>, 4>(spread(a - c), spread(b + c), spread(c - b), spread(b - d));
  for (var i = 0u; i < 16u; i++) {
    y[(i * u.c + id.y) * u.wide + tile] = rows[i / 4u][i % 4u];
  }
}
