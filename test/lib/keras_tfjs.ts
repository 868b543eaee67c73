// keras.applications' networks built again from TensorFlow.js' layers, as Keras' own sources write them (padding layers,
// names, eps and momentum), with weights of the project's generator. TensorFlow.js runs on its CPU backend in float32.
import * as tf from "@tensorflow/tfjs";
import { normalish, uniforms } from "./counter.ts";

type T = tf.SymbolicTensor;
const L = tf.layers;

/** Keras' imagenet_utils.correct_pad. */
function correctPad(x: T, kernel: number): [[number, number], [number, number]] {
  const correct = Math.floor(kernel / 2);
  const pair = (size: number): [number, number] => [correct - (size % 2 === 0 ? 1 : 0), correct];
  return [pair(x.shape[1] as number), pair(x.shape[2] as number)];
}

/** Weights are set afterwards; drawing millions of them would take longer than the tests. */
const BLANK = { kernelInitializer: "zeros", depthwiseInitializer: "zeros" } as const;

const conv = (x: T, name: string, filters: number, kernelSize: number, more: object = {}): T =>
  L.conv2d({ name, filters, kernelSize, useBias: false, ...BLANK, ...more }).apply(x) as T;
const bn = (x: T, name: string, more: object): T => L.batchNormalization({ name, ...more }).apply(x) as T;
const act = (x: T, activation: "relu" | "swish" | "relu6", name?: string): T =>
  L.activation({ activation, name }).apply(x) as T;
const pad = (x: T, padding: [[number, number], [number, number]]): T =>
  L.zeroPadding2d({ padding }).apply(x) as T;

/** A built network: its trunk's maps and what comes of them. */
export interface Twin {
  readonly model: tf.LayersModel;
}

const twin = (input: T, maps: T, out: T): Twin => ({
  model: tf.model({ inputs: input, outputs: [maps, out] }),
});

const top = (maps: T, classes: number): T =>
  L.dense({ name: "predictions", units: classes, ...BLANK }).apply(
    L.globalAveragePooling2d({}).apply(maps),
  ) as T;

/** With its top, or pooled as `include_top=False, pooling="avg"` with a dense layer behind it. */
export function vgg16(height: number, width: number, classes: number, withTop = true): Twin {
  const input = tf.input({ shape: [height, width, 3] });
  let x: T = input;
  [2, 2, 3, 3, 3].forEach((count, b) => {
    for (let i = 1; i <= count; i++)
      x = conv(x, `block${b + 1}_conv${i}`, [64, 128, 256, 512, 512][b], 3, {
        activation: "relu",
        padding: "same",
        useBias: true,
      });
    x = L.maxPooling2d({ poolSize: 2, strides: 2 }).apply(x) as T;
  });
  const maps = x;
  if (!withTop) return twin(input, maps, top(maps, classes));
  x = L.flatten().apply(x) as T;
  x = L.dense({ name: "fc1", units: 4096, activation: "relu", ...BLANK }).apply(x) as T;
  x = L.dense({ name: "fc2", units: 4096, activation: "relu", ...BLANK }).apply(x) as T;
  return twin(input, maps, L.dense({ name: "predictions", units: classes, ...BLANK }).apply(x) as T);
}

const divisible = (v: number): number => {
  const n = Math.max(8, Math.floor(Math.floor(v + 4) / 8) * 8);
  return n < 0.9 * v ? n + 8 : n;
};

export function mobilenetV2(height: number, width: number, classes: number, alpha: number): Twin {
  const norm = { axis: -1, epsilon: 1e-3, momentum: 0.999 };
  const input = tf.input({ shape: [height, width, 3] });
  let x = conv(input, "Conv1", divisible(32 * alpha), 3, { strides: 2, padding: "same" });
  x = act(bn(x, "bn_Conv1", norm), "relu6");
  const block = (filters: number, stride: number, id: number) => {
    const start = x;
    const inputs = x.shape[3] as number;
    const outputs = divisible(Math.trunc(filters * alpha));
    const prefix = id > 0 ? `block_${id}_` : "expanded_conv_";
    if (id > 0) {
      x = conv(x, `${prefix}expand`, 6 * inputs, 1, { padding: "same" });
      x = act(bn(x, `${prefix}expand_BN`, norm), "relu6");
    }
    if (stride === 2) x = pad(x, correctPad(x, 3));
    x = L.depthwiseConv2d({
      name: `${prefix}depthwise`,
      kernelSize: 3,
      strides: stride,
      useBias: false,
      ...BLANK,
      padding: stride === 1 ? "same" : "valid",
    }).apply(x) as T;
    x = act(bn(x, `${prefix}depthwise_BN`, norm), "relu6");
    x = conv(x, `${prefix}project`, outputs, 1, { padding: "same" });
    x = bn(x, `${prefix}project_BN`, norm);
    if (inputs === outputs && stride === 1) x = L.add().apply([start, x]) as T;
  };
  const filters = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320];
  filters.forEach((f, id) => {
    block(f, [1, 3, 6, 13].includes(id) ? 2 : 1, id);
  });
  x = conv(x, "Conv_1", alpha > 1 ? divisible(1280 * alpha) : 1280, 1);
  x = act(bn(x, "Conv_1_bn", norm), "relu6", "out_relu");
  return twin(input, x, top(x, classes));
}

export function densenet121(height: number, width: number, classes: number): Twin {
  const norm = { axis: 3, epsilon: 1.001e-5 };
  const input = tf.input({ shape: [height, width, 3] });
  let x = pad(input, [
    [3, 3],
    [3, 3],
  ]);
  x = act(bn(conv(x, "conv1_conv", 64, 7, { strides: 2 }), "conv1_bn", norm), "relu");
  x = pad(x, [
    [1, 1],
    [1, 1],
  ]);
  x = L.maxPooling2d({ poolSize: 3, strides: 2 }).apply(x) as T;
  [6, 12, 24, 16].forEach((count, b) => {
    for (let i = 1; i <= count; i++) {
      const name = `conv${b + 2}_block${i}`;
      let y = conv(act(bn(x, `${name}_0_bn`, norm), "relu"), `${name}_1_conv`, 128, 1);
      y = conv(act(bn(y, `${name}_1_bn`, norm), "relu"), `${name}_2_conv`, 32, 3, { padding: "same" });
      x = L.concatenate({ axis: 3 }).apply([x, y]) as T;
    }
    if (b === 3) return;
    const name = `pool${b + 2}`;
    x = conv(act(bn(x, `${name}_bn`, norm), "relu"), `${name}_conv`, (x.shape[3] as number) / 2, 1);
    x = L.averagePooling2d({ poolSize: 2, strides: 2 }).apply(x) as T;
  });
  x = act(bn(x, "bn", norm), "relu");
  return twin(input, x, top(x, classes));
}

/** Behind the rescaling and normalising layers, which TensorFlow.js has not: see `normalized`. */
export function efficientnetB0(height: number, width: number, classes: number): Twin {
  const norm = { axis: 3, epsilon: 1e-3 };
  const input = tf.input({ shape: [height, width, 3] });
  let x = conv(pad(input, correctPad(input, 3)), "stem_conv", 32, 3, { strides: 2 });
  x = act(bn(x, "stem_bn", norm), "swish");
  const block = (name: string, kernel: number, outputs: number, ratio: number, stride: number) => {
    const start = x;
    const inputs = x.shape[3] as number;
    if (ratio !== 1) {
      x = conv(x, `${name}expand_conv`, inputs * ratio, 1, { padding: "same" });
      x = act(bn(x, `${name}expand_bn`, norm), "swish");
    }
    if (stride === 2) x = pad(x, correctPad(x, kernel));
    x = L.depthwiseConv2d({
      name: `${name}dwconv`,
      kernelSize: kernel,
      strides: stride,
      useBias: false,
      ...BLANK,
      padding: stride === 2 ? "valid" : "same",
    }).apply(x) as T;
    x = act(bn(x, `${name}bn`, norm), "swish");
    let se = L.globalAveragePooling2d({}).apply(x) as T;
    se = L.reshape({ targetShape: [1, 1, inputs * ratio] }).apply(se) as T;
    const small = { padding: "same", useBias: true };
    se = conv(se, `${name}se_reduce`, Math.max(1, Math.trunc(inputs * 0.25)), 1, {
      ...small,
      activation: "swish",
    });
    se = conv(se, `${name}se_expand`, inputs * ratio, 1, { ...small, activation: "sigmoid" });
    x = L.multiply().apply([x, se]) as T;
    x = bn(conv(x, `${name}project_conv`, outputs, 1, { padding: "same" }), `${name}project_bn`, norm);
    if (stride === 1 && inputs === outputs) x = L.add().apply([x, start]) as T;
  };
  const stages = [
    { kernel: 3, repeats: 1, outputs: 16, ratio: 1, stride: 1 },
    { kernel: 3, repeats: 2, outputs: 24, ratio: 6, stride: 2 },
    { kernel: 5, repeats: 2, outputs: 40, ratio: 6, stride: 2 },
    { kernel: 3, repeats: 3, outputs: 80, ratio: 6, stride: 2 },
    { kernel: 5, repeats: 3, outputs: 112, ratio: 6, stride: 1 },
    { kernel: 5, repeats: 4, outputs: 192, ratio: 6, stride: 2 },
    { kernel: 3, repeats: 1, outputs: 320, ratio: 6, stride: 1 },
  ];
  stages.forEach((s, i) => {
    for (let j = 0; j < s.repeats; j++)
      block(
        `block${i + 1}${String.fromCharCode(97 + j)}_`,
        s.kernel,
        s.outputs,
        s.ratio,
        j === 0 ? s.stride : 1,
      );
  });
  x = act(bn(conv(x, "top_conv", 1280, 1, { padding: "same" }), "top_bn", norm), "swish");
  return twin(input, x, top(x, classes));
}

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
      const [, h, w] = (l.input as T).shape as number[];
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
