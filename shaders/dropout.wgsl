// dropout — y[i] = 0 where the 24 high bits of Threefry-2x32(key, (i/2, stream))[i % 2] lie below `threshold`, else
// `keep`. The same numbers as src/core/random.ts. One invocation per element.
const WG = 64u; //@param

struct Sizes {
  total: u32,
  start: u32,
  stream: u32,
  threshold: u32,
  keep: f32,
  k0: u32,
  y0: u32,
  row: u32,
  yn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> key: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn round(x: vec2<u32>, r: u32) -> vec2<u32> {
  let a = x.x + x.y;
  return vec2<u32>(a, ((x.y << r) | (x.y >> (32u - r))) ^ a);
}

fn threefry(k: vec2<u32>, c: vec2<u32>) -> vec2<u32> {
  let k2 = 0x1bd11bdau ^ k.x ^ k.y;
  var x = c + k;
  x = round(round(round(round(x, 13u), 15u), 26u), 6u) + vec2<u32>(k.y, k2 + 1u);
  x = round(round(round(round(x, 17u), 29u), 16u), 24u) + vec2<u32>(k2, k.x + 2u);
  x = round(round(round(round(x, 13u), 15u), 26u), 6u) + vec2<u32>(k.x, k.y + 3u);
  x = round(round(round(round(x, 17u), 29u), 16u), 24u) + vec2<u32>(k.y, k2 + 4u);
  x = round(round(round(round(x, 13u), 15u), 26u), 6u) + vec2<u32>(k2, k.x + 5u);
  return x;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let i = (w.y * g.x + w.x) * WG + l;
  if (i >= u.total) {
    return;
  }
  let n = u.start + i;
  let words = threefry(vec2<u32>(key[u.k0], key[u.k0 + 1u]), vec2<u32>(n >> 1u, u.stream));
  let word = select(words.x, words.y, (n & 1u) == 1u);
  y[u.y0 + (i / u.row) * u.yn + i % u.row] = select(u.keep, 0.0, (word >> 8u) < u.threshold);
}
