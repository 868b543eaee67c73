// DenseNet-121 in TensorFlow.js: torchvision's layout with 1000 classes, NHWC inside. A batch norm whose parameters
// train uses the batch's statistics and moves its running ones, as PyTorch does in train mode; the others are in eval
// mode.
import * as tf from "@tensorflow/tfjs-core";
import { opens } from "./open_parts.mjs";

const EPS = 1e-5;
const MOMENTUM = 0.1;

/** A network on `tensors` (torchvision's names) whose parameters train as `what` says. */
export function densenet(tensors, what) {
  const trained = [];
  const variable = (name, permutation, trainable) => {
    const { shape, data } = tensors.get(name);
    const value = tf.tidy(() => {
      const t = tf.tensor(data, shape, "float32");
      return permutation ? tf.transpose(t, permutation) : t;
    });
    const v = tf.variable(value, trainable, name);
    if (trainable) trained.push(v);
    return v;
  };
  const open = (name) => opens(name, what);
  const conv = (name) => variable(`${name}.weight`, [2, 3, 1, 0], open(`${name}.`));
  const norm = (name) => ({
    train: open(`${name}.`),
    weight: variable(`${name}.weight`, null, open(`${name}.`)),
    bias: variable(`${name}.bias`, null, open(`${name}.`)),
    mean: variable(`${name}.running_mean`, null, false),
    variance: variable(`${name}.running_var`, null, false),
  });
  const layer = (name) => ({
    norm1: norm(`${name}.norm1`),
    conv1: conv(`${name}.conv1`),
    norm2: norm(`${name}.norm2`),
    conv2: conv(`${name}.conv2`),
  });
  const net = {
    conv0: conv("features.conv0"),
    norm0: norm("features.norm0"),
    blocks: [6, 12, 24, 16].map((layers, b) => ({
      layers: Array.from({ length: layers }, (_, i) =>
        layer(`features.denseblock${b + 1}.denselayer${i + 1}`),
      ),
      transition: b < 3 && {
        norm: norm(`features.transition${b + 1}.norm`),
        conv: conv(`features.transition${b + 1}.conv`),
      },
    })),
    norm5: norm("features.norm5"),
    weight: variable("classifier.weight", [1, 0], open("classifier.")),
    bias: variable("classifier.bias", null, open("classifier.")),
  };
  return {
    trained,
    /** In the mode that training wants. */
    forward: (x) => forward(net, x, true),
    /** In eval mode throughout. */
    evaluate: (x) => forward(net, x, false),
  };
}

function batchNorm(x, p, training) {
  if (!training || !p.train) return tf.batchNorm(x, p.mean, p.variance, p.bias, p.weight, EPS);
  const { mean, variance } = tf.moments(x, [0, 1, 2]);
  const values = x.size / x.shape[3];
  const move = (running, now) => running.assign(tf.add(tf.mul(running, 1 - MOMENTUM), tf.mul(now, MOMENTUM)));
  move(p.mean, mean);
  move(p.variance, tf.mul(variance, values / (values - 1)));
  return tf.batchNorm(x, mean, variance, p.bias, p.weight, EPS);
}

function forward(net, x, training) {
  const normRelu = (x, p) => tf.relu(batchNorm(x, p, training));
  let h = tf.maxPool(normRelu(tf.conv2d(x, net.conv0, 2, 3), net.norm0), 3, 2, 1);
  for (const { layers, transition } of net.blocks) {
    for (const l of layers) {
      const bottleneck = tf.conv2d(normRelu(h, l.norm1), l.conv1, 1, 0);
      h = tf.concat([h, tf.conv2d(normRelu(bottleneck, l.norm2), l.conv2, 1, 1)], 3);
    }
    if (transition) h = tf.avgPool(tf.conv2d(normRelu(h, transition.norm), transition.conv, 1, 0), 2, 2, 0);
  }
  const features = tf.mean(normRelu(h, net.norm5), [1, 2]);
  return tf.add(tf.matMul(features, net.weight), net.bias);
}
