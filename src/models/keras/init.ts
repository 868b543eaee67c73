// Keras' initial values: Glorot's uniform ones for kernels by default, zeros for biases, and the scaled ones of
// EfficientNet.

import * as nn from "../../nn/index.ts";

/** Kernels uniform in ±√(6 / (fanIn + fanOut)), biases 0 (Keras' defaults of Conv2D and Dense). */
export function glorot(root: nn.Module): void {
  for (const m of root.modules()) {
    if (!(m instanceof nn.Conv2d || m instanceof nn.Linear)) continue;
    // A depthwise kernel has its fans the other way round in Keras; their sum is the same.
    nn.init.xavierUniform(m.weight);
    if (m.bias) nn.init.zeros(m.bias);
  }
}

/** Standard deviation of the standard normal distribution cut off at ±2. */
const CUT = 0.8796256610342398;

/**
 * Convolutions from the normal distribution of variance 2 / fanOut, cut off at two standard deviations and widened so
 * that the variance holds; dense layers uniform in ±1/√outputs; biases 0 (EfficientNet's VarianceScaling).
 */
export function fanOutScaled(root: nn.Module): void {
  for (const m of root.modules()) {
    if (m instanceof nn.Linear) {
      const bound = 1 / Math.sqrt(m.outFeatures);
      nn.init.uniform(m.weight, -bound, bound);
    } else if (m instanceof nn.Conv2d) {
      const [kh, kw] = m.kernelSize;
      // Keras counts a depthwise kernel's outputs for each input.
      const { groups = 1 } = m.options;
      truncatedNormal(m.weight, Math.sqrt(2 / ((kh * kw * m.outChannels) / groups)));
    } else continue;
    if (m.bias) nn.init.zeros(m.bias);
  }
}

/** Fills with normal numbers of standard deviation `std` after being cut off at ±2 of those before. */
function truncatedNormal(p: nn.Parameter, std: number): void {
  nn.init.draw("truncatedNormal", p, () => {
    const values = nn.init.normalValues(p.numel, 1);
    for (let i = 0; i < values.length; i++) {
      while (Math.abs(values[i]) > 2) values[i] = nn.init.normalValues(1, 1)[0];
      values[i] *= std / CUT;
    }
    return values;
  });
}
