// accumulate — y = join(y, b) in place; b is a tensor of y's shape, or a single value that the hook `load` repeats. V is f32, or
// vec4. One invocation makes UNROLL values, STEP apart: side by side (1), or as far as a workgroup is wide, so that its
// invocations lie side by side. Rows of axis 0 may lie apart. The grid is folded over x and y.
const WG = 64u; //@param
const UNROLL = 4u; //@param
const STEP = 64u; //@param
alias V = f32; //@type
alias B = f32; //@type

struct Sizes {
  total: u32,
  row: u32,
  y0: u32,
  yn: u32,
  b0: u32,
  bn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> b: array<B>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;

fn load(i: u32) -> V { return b[i]; } //@hook
fn join(a: V, b: V) -> V { return a + b; } //@hook

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) g: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * g.x + w.x) * WG * UNROLL + l * select(1u, UNROLL, STEP == 1u);
  var n = first / u.row;
  var r = first % u.row;
  for (var i = first; i < min(u.total, first + UNROLL * STEP); i += STEP) {
    let at = u.y0 + n * u.yn + r;
    y[at] = join(y[at], load(u.b0 + n * u.bn + r));
    r += STEP;
    while (r >= u.row) {
      r -= u.row;
      n++;
    }
  }
}
