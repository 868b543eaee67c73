enable subgroups;
// calibration — gx[n,c,·] = Σ_k gy[n,k,·]·w[k,c]: the input gradient of a 1×1 convolution, 32 channels by 4 pixels an
// invocation, lane i of 8 loading the weights of channels i, i + 8, i + 16, i + 24 and handing them to the others. Right
// for any subgroup of at least 8 lanes. The yardstick of how fast the machine is just now: it belongs to no op and must
// never change, or runs cannot be compared.

struct Sizes {
  k: u32,
  c: u32,
  hw4: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let px = group.x * 8u + l;
  let c0 = group.y * 32u;
  let n = group.z;
  var at = n * u.k * u.hw4 + px;
  var row = c0 + (lane & 7u);
  var a0 = vec4<f32>();
  var a1 = vec4<f32>();
  var a2 = vec4<f32>();
  var a3 = vec4<f32>();
  var a4 = vec4<f32>();
  var a5 = vec4<f32>();
  var a6 = vec4<f32>();
  var a7 = vec4<f32>();
  var a8 = vec4<f32>();
  var a9 = vec4<f32>();
  var a10 = vec4<f32>();
  var a11 = vec4<f32>();
  var a12 = vec4<f32>();
  var a13 = vec4<f32>();
  var a14 = vec4<f32>();
  var a15 = vec4<f32>();
  var a16 = vec4<f32>();
  var a17 = vec4<f32>();
  var a18 = vec4<f32>();
  var a19 = vec4<f32>();
  var a20 = vec4<f32>();
  var a21 = vec4<f32>();
  var a22 = vec4<f32>();
  var a23 = vec4<f32>();
  var a24 = vec4<f32>();
  var a25 = vec4<f32>();
  var a26 = vec4<f32>();
  var a27 = vec4<f32>();
  var a28 = vec4<f32>();
  var a29 = vec4<f32>();
  var a30 = vec4<f32>();
  var a31 = vec4<f32>();
  for (var k = 0u; k < u.k; k++) {
    let v = g[at];
    let w0 = w[row];
    let w1 = w[row + 8u];
    let w2 = w[row + 16u];
    let w3 = w[row + 24u];
    a0 = fma(vec4<f32>(subgroupBroadcast(w0, 0u)), v, a0);
    a1 = fma(vec4<f32>(subgroupBroadcast(w0, 1u)), v, a1);
    a2 = fma(vec4<f32>(subgroupBroadcast(w0, 2u)), v, a2);
    a3 = fma(vec4<f32>(subgroupBroadcast(w0, 3u)), v, a3);
    a4 = fma(vec4<f32>(subgroupBroadcast(w0, 4u)), v, a4);
    a5 = fma(vec4<f32>(subgroupBroadcast(w0, 5u)), v, a5);
    a6 = fma(vec4<f32>(subgroupBroadcast(w0, 6u)), v, a6);
    a7 = fma(vec4<f32>(subgroupBroadcast(w0, 7u)), v, a7);
    a8 = fma(vec4<f32>(subgroupBroadcast(w1, 0u)), v, a8);
    a9 = fma(vec4<f32>(subgroupBroadcast(w1, 1u)), v, a9);
    a10 = fma(vec4<f32>(subgroupBroadcast(w1, 2u)), v, a10);
    a11 = fma(vec4<f32>(subgroupBroadcast(w1, 3u)), v, a11);
    a12 = fma(vec4<f32>(subgroupBroadcast(w1, 4u)), v, a12);
    a13 = fma(vec4<f32>(subgroupBroadcast(w1, 5u)), v, a13);
    a14 = fma(vec4<f32>(subgroupBroadcast(w1, 6u)), v, a14);
    a15 = fma(vec4<f32>(subgroupBroadcast(w1, 7u)), v, a15);
    a16 = fma(vec4<f32>(subgroupBroadcast(w2, 0u)), v, a16);
    a17 = fma(vec4<f32>(subgroupBroadcast(w2, 1u)), v, a17);
    a18 = fma(vec4<f32>(subgroupBroadcast(w2, 2u)), v, a18);
    a19 = fma(vec4<f32>(subgroupBroadcast(w2, 3u)), v, a19);
    a20 = fma(vec4<f32>(subgroupBroadcast(w2, 4u)), v, a20);
    a21 = fma(vec4<f32>(subgroupBroadcast(w2, 5u)), v, a21);
    a22 = fma(vec4<f32>(subgroupBroadcast(w2, 6u)), v, a22);
    a23 = fma(vec4<f32>(subgroupBroadcast(w2, 7u)), v, a23);
    a24 = fma(vec4<f32>(subgroupBroadcast(w3, 0u)), v, a24);
    a25 = fma(vec4<f32>(subgroupBroadcast(w3, 1u)), v, a25);
    a26 = fma(vec4<f32>(subgroupBroadcast(w3, 2u)), v, a26);
    a27 = fma(vec4<f32>(subgroupBroadcast(w3, 3u)), v, a27);
    a28 = fma(vec4<f32>(subgroupBroadcast(w3, 4u)), v, a28);
    a29 = fma(vec4<f32>(subgroupBroadcast(w3, 5u)), v, a29);
    a30 = fma(vec4<f32>(subgroupBroadcast(w3, 6u)), v, a30);
    a31 = fma(vec4<f32>(subgroupBroadcast(w3, 7u)), v, a31);
    at += u.hw4;
    row += u.c;
  }
  let to = (n * u.c + c0) * u.hw4 + px;
  y[to + 0u * u.hw4] = a0;
  y[to + 1u * u.hw4] = a1;
  y[to + 2u * u.hw4] = a2;
  y[to + 3u * u.hw4] = a3;
  y[to + 4u * u.hw4] = a4;
  y[to + 5u * u.hw4] = a5;
  y[to + 6u * u.hw4] = a6;
  y[to + 7u * u.hw4] = a7;
  y[to + 8u * u.hw4] = a8;
  y[to + 9u * u.hw4] = a9;
  y[to + 10u * u.hw4] = a10;
  y[to + 11u * u.hw4] = a11;
  y[to + 12u * u.hw4] = a12;
  y[to + 13u * u.hw4] = a13;
  y[to + 14u * u.hw4] = a14;
  y[to + 15u * u.hw4] = a15;
  y[to + 16u * u.hw4] = a16;
  y[to + 17u * u.hw4] = a17;
  y[to + 18u * u.hw4] = a18;
  y[to + 19u * u.hw4] = a19;
  y[to + 20u * u.hw4] = a20;
  y[to + 21u * u.hw4] = a21;
  y[to + 22u * u.hw4] = a22;
  y[to + 23u * u.hw4] = a23;
  y[to + 24u * u.hw4] = a24;
  y[to + 25u * u.hw4] = a25;
  y[to + 26u * u.hw4] = a26;
  y[to + 27u * u.hw4] = a27;
  y[to + 28u * u.hw4] = a28;
  y[to + 29u * u.hw4] = a29;
  y[to + 30u * u.hw4] = a30;
  y[to + 31u * u.hw4] = a31;
}
