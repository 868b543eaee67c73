// A Keras model's weights as the files of Keras 1 to 3 and of TensorFlow.js hold them: their names, Keras' layouts.
import { nn } from "../../src/index.ts";
import type { StateEntry } from "../../src/nn/index.ts";
import { uniforms } from "./counter.ts";

/** Numbers of a shape, other ones for each seed. */
export const entry = (shape: readonly number[], seed = 1): StateEntry => ({
  shape: [...shape],
  dtype: "f32",
  data: Float32Array.from(
    uniforms(
      seed,
      1,
      shape.reduce((a, b) => a * b, 1),
    ),
  ),
});

/** A model's weights as a Keras file holds them, by `name(layer, weight, n)`, n counting the layers of its class. */
export function fileOf(
  model: nn.Module,
  name: (layer: string, weight: string, kind: string, n: number, index: number) => string,
): Map<string, StateEntry> {
  const file = new Map<string, StateEntry>();
  const counted = new Map<string, number>();
  const put = (layer: string, kind: string, list: readonly (readonly [string, readonly number[]])[]) => {
    const n = counted.get(kind) ?? 0;
    counted.set(kind, n + 1);
    list.forEach(([weight, shape], i) => {
      file.set(name(layer, weight, kind, n, i), entry(shape, file.size));
    });
  };
  for (const [path, m] of model.namedModules()) {
    const layer = path.slice(path.lastIndexOf(".") + 1).replace(/^classifier$/, "predictions");
    if (m instanceof nn.Conv2d) {
      const [o, i, h, w] = m.weight.shape;
      const deep = (m.options.groups ?? 1) > 1;
      const kernel = deep
        ? (["depthwise_kernel", [h, w, o, 1]] as const)
        : (["kernel", [h, w, i, o]] as const);
      const bias = m.bias ? [["bias", [o]] as const] : [];
      put(layer, deep ? "depthwise_conv2d" : "conv2d", [kernel, ...bias]);
    } else if (m instanceof nn.Linear) {
      const [o, i] = m.weight.shape;
      put(layer, "dense", [
        ["kernel", [i, o]],
        ["bias", [o]],
      ]);
    } else if (m instanceof nn.BatchNorm2d) {
      const names = ["gamma", "beta", "moving_mean", "moving_variance"];
      put(
        layer,
        "batch_normalization",
        names.map((w) => [w, [m.numFeatures]] as const),
      );
    } else if ("variance" in m) {
      put(layer, "normalization", [
        ["mean", [3]],
        ["variance", [1, 1, 1, 3]],
        ["count", []],
      ]);
    }
  }
  return file;
}

export type Naming = Parameters<typeof fileOf>[1];
const counter = (n: number) => (n === 0 ? "" : `_${n}`);

/** All layouts in which Keras and TensorFlow.js name weights. */
export const NAMINGS: Record<string, Naming> = {
  "TensorFlow.js": (layer, weight) => `${layer}/${weight}`,
  "Keras 2, weights only": (layer, weight) => `${layer}/${layer}/${weight}:0`,
  "Keras 2, a model within a model": (layer, weight) => `model_weights/base_model/${layer}/${weight}:0`,
  "Keras 2, numbered again": (layer, weight) => `${layer}/${layer}_3/${weight}:0`,
  "Keras 3, .h5": (layer, weight) =>
    `model_weights/${layer}/functional/${layer}/${weight.replace("depthwise_", "")}`,
  "Keras 3, counted": (_layer, _weight, kind, n, i) =>
    `layers/functional/layers/${kind}${counter(n)}/vars/${i}`,
};
