// conv2d_input_direct — gx[n,c,h,w] = Σ_{k,r,s} gy[n, k, (h+pt-r·dh)/sh, (w+pl-s·dw)/sw]·w[k,c,r,s] over the whole
// quotients inside gy: the gradient of conv2d's input, any stride, padding, dilation and groups. One invocation per
// input element: x along the plane (walked with the grid's stride), y the input channel, z the picture.
const WG = 64u; //@param

struct Sizes {
  g0: u32,
  gn: u32,
  w0: u32,
  y0: u32,
  yn: u32,
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
  cg: u32,
  kg: u32,
  wn: u32,
}

@group(0) @binding(0) var<uniform> u: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  for (var at = id.x * WG + l; at < u.ih * u.iw; at += grid.x * WG) {
    one(at, id.y, id.z);
  }
}

fn one(at: u32, c: u32, n: u32) {
  let h = i32(at / u.iw);
  let x = i32(at % u.iw);
  let k0 = (c / u.cg) * u.kg;
  var acc = 0.0;
  for (var k = 0u; k < u.kg; k++) {
    let plane = u.g0 + n * u.gn + (k0 + k) * u.oh * u.ow;
    var wi = u.w0 + (k0 + k) * u.wn + (c % u.cg) * u.kh * u.kw;
    for (var r = 0u; r < u.kh; r++) {
      let py = h + u.pt - i32(r * u.dh);
      let p = py / i32(u.sh);
      let rowOk = py >= 0 && p * i32(u.sh) == py && p < i32(u.oh);
      for (var s = 0u; s < u.kw; s++) {
        let qx = x + u.pl - i32(s * u.dw);
        let q = qx / i32(u.sw);
        if (rowOk && qx >= 0 && q * i32(u.sw) == qx && q < i32(u.ow)) {
          acc = fma(g[plane + u32(p) * u.ow + u32(q)], w[wi], acc);
        }
        wi += 1u;
      }
    }
  }
  y[u.y0 + n * u.yn + c * u.ih * u.iw + at] = acc;
}
