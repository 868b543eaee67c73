// channel_stats — per channel mean and Σ (x - mean)² / count in one walk: each lane keeps running means and sums of squared
// differences (Welford), a component of V at a time, which are merged pair by pair at the end (Chan, Golub and LeVeque). Four
// values at once where there are so many. A workgroup of WG lanes per channel (tree in workgroup memory), or with
// LANES > 1 one lane per channel (small planes). V is f32, or vec4 along the plane. Fixed order: the same bits on every run.
const WG = 8u; //@param
const LANES = 1u; //@param
alias V = f32; //@type

struct Sizes {
  n: u32,
  c: u32,
  plane: u32,
  a0: u32,
  an: u32,
  y0: u32,
  y1: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> a: array<V>;
@group(0) @binding(2) var<storage, read_write> r0: array<f32>;
@group(0) @binding(3) var<storage, read_write> r1: array<f32>;

// Mean, sum of squared differences from it, and number of values.
struct Moments {
  mean: f32,
  m2: f32,
  count: f32,
}

fn merged(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  let share = b.count / max(count, 1.0);
  let d = b.mean - a.mean;
  return Moments(fma(d, share, a.mean), a.m2 + b.m2 + d * d * a.count * share, count);
}

// The components of a lane's values as one.
fn joined(mean: V, m2: V, count: f32) -> Moments { return Moments(mean, m2, count); } //@hook

var<workgroup> tree: array<Moments, WG>;

fn reduced(l: u32, v: Moments) -> Moments {
  if (WG == 1u) {
    return v;
  }
  tree[l] = v;
  workgroupBarrier();
  for (var k = WG / 2u; k > 0u; k /= 2u) {
    if (l < k) {
      tree[l] = merged(tree[l], tree[l + k]);
    }
    workgroupBarrier();
  }
  return tree[0];
}

@compute @workgroup_size(WG * LANES)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let id = (w.y * g.x + w.x) * LANES + select(0u, l, LANES > 1u);
  let c = min(id, u.c - 1u);
  let lane = select(l, 0u, LANES > 1u);
  var mean = V(0.0);
  var m2 = V(0.0);
  var count = 0.0;
  for (var n = 0u; n < u.n; n++) {
    let base = u.a0 + n * u.an + c * u.plane;
    var i = lane;
    for (; i + 3u * WG < u.plane; i += 4u * WG) {
      let p = a[base + i];
      let q = a[base + i + WG];
      let r = a[base + i + 2u * WG];
      let s = a[base + i + 3u * WG];
      let m = ((p + q) + (r + s)) * 0.25;
      let d = m - mean;
      let share = 4.0 / (count + 4.0);
      let squares = ((p - m) * (p - m) + (q - m) * (q - m)) + ((r - m) * (r - m) + (s - m) * (s - m));
      mean += d * share;
      m2 += squares + d * d * (count * share);
      count += 4.0;
    }
    for (; i < u.plane; i += WG) {
      let v = a[base + i];
      count += 1.0;
      let d = v - mean;
      mean += d * (1.0 / count);
      m2 += d * (v - mean);
    }
  }
  let r = reduced(lane, joined(mean, m2, count));
  if (lane == 0u && id < u.c) {
    r0[u.y0 + c] = r.mean;
    r1[u.y1 + c] = r.m2 / r.count;
  }
}
