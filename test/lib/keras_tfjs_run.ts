// The networks of keras_tfjs.ts with weights of the project's generator, forward and backward on TensorFlow.js' CPU
// backend in float32.
import * as tf from "@tensorflow/tfjs";
import { normalish, uniforms } from "./counter.ts";
import type { Twin } from "./keras_tfjs.ts";

/** One weight of a network as a file would have it. */
export interface FileEntry {
  readonly shape: number[];
  readonly dtype: "f32";
  readonly data: Float32Array;
}

/**
 * Gives a network weights of the generator: kernels uniform in ±√(6 / fanIn), batch norms `gain` wide and at ±`bias`,
 * so that no ReLU or ReLU6 hangs on rounding. Returns them by the names that a file of the network has.
 */
export function setWeights(
  { model }: Twin,
  seed: number,
  { gain, bias }: { gain: number; bias: number },
): Map<string, FileEntry> {
  const file = new Map<string, FileEntry>();
  const values = model.weights.map((w, i) => {
    const shape = w.shape as number[];
    const data = Float32Array.from(weightValues(w.originalName, shape, seed, i, gain, bias));
    file.set(w.originalName, { shape, dtype: "f32", data });
    return tf.tensor(data, shape);
  });
  // Layer by layer in the order of `weights`, as setWeights takes them.
  model.setWeights(values);
  return file;
}

function weightValues(
  name: string,
  shape: readonly number[],
  seed: number,
  stream: number,
  gain: number,
  bias: number,
): Float64Array {
  const n = shape.reduce((a, b) => a * b, 1);
  if (name.endsWith("kernel")) {
    const fanIn = name.endsWith("depthwise_kernel") ? shape[0] * shape[1] : n / shape[shape.length - 1];
    const bound = Math.sqrt(6 / fanIn);
    return uniforms(seed, stream, n).map((u) => (2 * u - 1) * bound);
  }
  if (name.endsWith("moving_variance")) return uniforms(seed, stream, n).map((u) => 1 + 0.2 * u);
  if (name.endsWith("gamma")) return uniforms(seed, stream, n).map((u) => gain * (1 + 0.2 * (u - 0.5)));
  const small = normalish(seed, stream, n).map((v) => 0.1 * v);
  if (!name.endsWith("beta")) return small;
  const sign = uniforms(seed, stream + 100_000, n);
  return small.map((v, k) => v * gain + (sign[k] < 0.5 ? -bias : bias));
}

/** [N, H, W, C] of TensorFlow as [N, C, H, W]. */
export function channelsFirst(data: ArrayLike<number>, [n, h, w, c]: readonly number[]): Float32Array {
  const out = new Float32Array(n * c * h * w);
  for (let i = 0; i < n; i++)
    for (let p = 0; p < h * w; p++)
      for (let k = 0; k < c; k++) out[(i * c + k) * h * w + p] = data[(i * h * w + p) * c + k];
  return out;
}

/** (x / 255 - mean) / √variance / √deviation, which Keras' EfficientNet begins with, on [N, H, W, 3]. */
export function normalized(x: tf.Tensor4D): tf.Tensor4D {
  const deviation = tf.tensor1d([0.229, 0.224, 0.225]);
  return x
    .div(255)
    .sub(tf.tensor1d([0.485, 0.456, 0.406]))
    .div(deviation.sqrt())
    .div(deviation.sqrt()) as tf.Tensor4D;
}

/**
 * Values of each channel that a batch norm takes its statistics from, by layer: pictures times pixels. TensorFlow.js
 * (and Keras 3) keeps the biased variance of a batch, PyTorch (and TensorFlow's fused kernel under Keras 2) n/(n-1) of
 * it.
 */
export function counts({ model }: Twin, pictures: number): Map<string, number> {
  const norms = model.layers.filter((l) => l.getClassName() === "BatchNormalization");
  return new Map(
    norms.map((l) => {
      const [, h, w] = (l.input as tf.SymbolicTensor).shape as number[];
      return [l.name, pictures * h * w] as const;
    }),
  );
}

/** What TensorFlow.js makes of a batch. */
export interface Outcome {
  readonly maps: Float32Array;
  readonly logits: Float32Array;
  readonly loss: number;
  /** Gradients by the file's names, of the trainable weights whose name passes. */
  readonly grads: Map<string, FileEntry>;
  /** All weights afterwards: training moves the statistics. */
  readonly after: Map<string, FileEntry>;
}

/** One pass forward and backward: mean cross entropy of x [N, H, W, 3] and classes y. */
export function run(
  { model }: Twin,
  x: tf.Tensor4D,
  y: ArrayLike<number>,
  options: { training: boolean; open: (name: string) => boolean },
): Outcome {
  const classes = model.outputs[1].shape[1] as number;
  const target = tf.oneHot(Int32Array.from(y), classes);
  const open = model.trainableWeights.filter((w) => options.open(w.originalName));
  let maps: tf.Tensor | undefined;
  let logits: tf.Tensor | undefined;
  const { value, grads } = tf.variableGrads(
    () => {
      const [m, l] = model.apply(x, { training: options.training }) as tf.Tensor[];
      [maps, logits] = [tf.keep(m), tf.keep(l)];
      return tf.losses.softmaxCrossEntropy(target, l) as tf.Scalar;
    },
    open.map((w) => w.read() as tf.Variable),
  );
  const entry = (t: tf.Tensor): FileEntry => ({
    shape: t.shape,
    dtype: "f32",
    data: t.dataSync() as Float32Array,
  });
  const found = new Map(
    open.map((w) => [w.originalName, entry(grads[(w.read() as tf.Variable).name])] as const),
  );
  const [m, l] = [maps as tf.Tensor, logits as tf.Tensor];
  return {
    maps: channelsFirst(m.dataSync(), m.shape),
    logits: l.dataSync() as Float32Array,
    loss: value.dataSync()[0],
    grads: found,
    after: new Map(model.weights.map((w) => [w.originalName, entry(w.read())])),
  };
}
