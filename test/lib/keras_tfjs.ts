// keras.applications' networks built again from TensorFlow.js' layers, as Keras' own sources write them (padding layers,
// names, eps and momentum). keras_tfjs_run.ts gives them weights and runs them.
import * as tf from "@tensorflow/tfjs";

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
