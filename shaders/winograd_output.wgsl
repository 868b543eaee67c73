// winograd_output — y(2×2 of each tile) = act(start(m) + Aᵀ·M·A): the products of Winograd's F(2×2, 3×3) back to pixels.
// One invocation a tile of a channel, lanes along the tiles of all pictures.
const WG = 64u; //@param

struct Sizes {
  m: u32,
  oh: u32,
  ow: u32,
  th: u32,
  tw: u32,
  tiles: u32,
  wide: u32,
  y0: u32,
  yn: u32,
  bias0: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

//@include math

fn start(m: u32) -> f32 { return 0.0; } //@hook
fn activate(v: f32) -> f32 { return v; } //@hook

fn products(i: u32, m: u32, tile: u32) -> vec4<f32> {
  let at = (4u * i * u.m + m) * u.wide + tile;
  let step = u.m * u.wide;
  return vec4<f32>(x[at], x[at + step], x[at + 2u * step], x[at + 3u * step]);
}

fn join(v: vec4<f32>) -> vec2<f32> {
  return vec2<f32>(v.x + v.y + v.z, v.y - v.z - v.w);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let tile = id.x * WG + l;
  if (tile >= u.tiles) {
    return;
  }
  let m = id.y;
  let a = products(0u, m, tile);
  let b = products(1u, m, tile);
  let c = products(2u, m, tile);
  let d = products(3u, m, tile);
  var rows = array<vec2<f32>, 2>(join(a + b + c), join(b - c - d));
  let n = tile / (u.th * u.tw);
  let p = tile / u.tw % u.th * 2u;
  let q = tile % u.tw * 2u;
  let first = start(m);
  for (var i = 0u; i < 4u; i++) {
    let r = p + i / 2u;
    let s = q + i % 2u;
    if (r < u.oh && s < u.ow) {
      y[u.y0 + n * u.yn + (m * u.oh + r) * u.ow + s] = activate(first + rows[i / 2u][i % 2u]);
    }
  }
}
