// DenseNet-121 in jax-js: torchvision's layout with 1000 classes, NCHW. A batch norm whose parameters train uses the
// batch's statistics and moves its running ones, as PyTorch does in train mode; the others are in eval mode. Arrays are
// counted: an operation consumes its operands, `.ref` keeps one for another use.
import { lax, nn, numpy as np } from "@jax-js/jax";
import { opens } from "./open_parts.mjs";

const EPS = 1e-5;
const MOMENTUM = 0.1;
const BLOCKS = [6, 12, 24, 16];
const STATISTICS = /\.running_(mean|var)$/;

/** The file's tensors as jax-js arrays: what trains, the running statistics that move, and what stays as it is. */
export function parametersOf(tensors, what) {
  const parts = { trained: {}, moving: {}, frozen: {} };
  for (const [name, { shape, data }] of tensors) {
    if (name.startsWith("bench.") || name.endsWith("num_batches_tracked")) continue;
    const open = opens(name, what);
    const part = !open ? "frozen" : STATISTICS.test(name) ? "moving" : "trained";
    const value = np.array(data, { shape, dtype: np.float32 });
    parts[part][name] = name === "classifier.weight" ? np.transpose(value) : value;
  }
  return parts;
}

/** Logits of x; `get(name)` gives a use of a tensor, `moved(name, value)` takes new running statistics, null: eval mode. */
export function forward(x, get, moved, what) {
  const norm = (h, name) =>
    moved && opens(`${name}.weight`, what) ? batchNorm(h, name, get, moved) : evalNorm(h, name, get);
  const normRelu = (h, name) => nn.relu(norm(h, name));
  const conv = (h, name, stride, pad) =>
    lax.conv(
      h,
      get(`${name}.weight`),
      [stride, stride],
      [
        [pad, pad],
        [pad, pad],
      ],
    );
  let h = normRelu(conv(x, "features.conv0", 2, 3), "features.norm0");
  // After a ReLU padding by zeros is padding by what no maximum takes.
  const padded = np.pad(h, [
    [0, 0],
    [0, 0],
    [1, 1],
    [1, 1],
  ]);
  h = lax.reduceWindow(padded, np.max, [3, 3], [2, 2]);
  for (const [b, layers] of BLOCKS.entries()) {
    for (let i = 1; i <= layers; i++) {
      const layer = `features.denseblock${b + 1}.denselayer${i}`;
      const bottleneck = conv(normRelu(h.ref, `${layer}.norm1`), `${layer}.conv1`, 1, 0);
      h = np.concatenate([h, conv(normRelu(bottleneck, `${layer}.norm2`), `${layer}.conv2`, 1, 1)], 1);
    }
    if (b === BLOCKS.length - 1) break;
    const transition = `features.transition${b + 1}`;
    h = conv(normRelu(h, `${transition}.norm`), `${transition}.conv`, 1, 0);
    h = lax.reduceWindow(h, np.mean, [2, 2], [2, 2]);
  }
  const features = np.mean(normRelu(h, "features.norm5"), [2, 3]);
  return np.matmul(features, get("classifier.weight")).add(get("classifier.bias"));
}

const AXES = [0, 2, 3];
const perChannel = (v) => v.reshape([1, v.shape[0], 1, 1]);

function scaleShift(centred, variance, name, get) {
  const r = np.reciprocal(np.sqrt(variance.add(EPS)));
  return centred
    .mul(r)
    .mul(perChannel(get(`${name}.weight`)))
    .add(perChannel(get(`${name}.bias`)));
}

function evalNorm(x, name, get) {
  const centred = x.sub(perChannel(get(`${name}.running_mean`)));
  return scaleShift(centred, perChannel(get(`${name}.running_var`)), name, get);
}

function batchNorm(x, name, get, moved) {
  const [n, c, ...plane] = x.shape;
  const values = n * plane[0] * plane[1];
  const mean = np.mean(x.ref, AXES, { keepdims: true });
  const centred = x.sub(mean.ref);
  const variance = np.mean(centred.ref.mul(centred.ref), AXES, { keepdims: true });
  const move = (key, now, factor) => {
    const value = lax
      .stopGradient(now)
      .reshape([c])
      .mul(MOMENTUM * factor);
    moved(
      `${name}.${key}`,
      get(`${name}.${key}`)
        .mul(1 - MOMENTUM)
        .add(value),
    );
  };
  move("running_mean", mean, 1);
  move("running_var", variance.ref, values / (values - 1));
  return scaleShift(centred, variance, name, get);
}
