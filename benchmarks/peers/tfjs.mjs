// TensorFlow.js on WebGPU as a peer; ../serve.ts has the protocol.
import { existsSync, mkdirSync } from "node:fs";
import { countCalls, provideGpu, serve } from "../serve.ts";
import { bundleGradients } from "./bundle_gradients.mjs";
import { readSafetensors } from "./safetensors.mjs";

async function startTfjs() {
  const adapterName = await provideGpu();
  const tf = await import("@tensorflow/tfjs-core");
  const folder = new URL("./node_modules/.thaw/", import.meta.url);
  const bundle = new URL(`gradients-${tf.version_core}.mjs`, folder);
  if (!existsSync(bundle)) {
    mkdirSync(folder, { recursive: true });
    await bundleGradients(bundle.pathname);
  }
  await import(bundle.href);
  await import("@tensorflow/tfjs-backend-webgpu");
  await tf.setBackend("webgpu");
  await tf.ready();
  return { tf, adapterName };
}

const { tf, adapterName } = await startTfjs();
const { densenet } = await import("./densenet_tfjs.mjs");
const backend = tf.backend();
let state = null;

/** Waits until the device has done everything: an open pass must be ended before the queue is submitted by hand. */
async function drain() {
  if (backend.commandEncoder) {
    backend.endComputePassEncoder();
    backend.submitQueue();
  }
  await backend.queue.onSubmittedWorkDone();
}

function load({ weights, what, adam: { lr, betas, eps } }) {
  const tensors = readSafetensors(weights);
  const [x, labels] = [tensors.get("bench.x"), tensors.get("bench.y")];
  const input = tf.tidy(() => tf.transpose(tf.tensor(x.data, x.shape), [0, 2, 3, 1]));
  const target = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels.data, "int32"), 1000), "float32"));
  const optimizer = tf.train.adam(lr, betas[0], betas[1], eps);
  const net = densenet(tensors, what);
  state = { what, input, target, optimizer, net };
  return {
    trained: net.trained.reduce((n, v) => n + v.size, 0),
    adapter: `${adapterName}, tfjs ${tf.version_core}`,
  };
}

async function readAndDrop(t) {
  const data = await t.data();
  await drain();
  t.dispose();
  return data;
}

/** Logits of the network in eval mode whatever trains, so that running statistics stay as they are. */
async function logits() {
  const { net, input } = state;
  return { logits: Array.from(await readAndDrop(tf.tidy(() => net.evaluate(input)))) };
}

async function train() {
  const { net, input, target, optimizer } = state;
  const loss = tf.tidy(() => {
    const { value, grads } = tf.variableGrads(
      () => tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(net.forward(input)), target), 1))),
      net.trained,
    );
    optimizer.applyGradients(grads);
    return value;
  });
  return (await readAndDrop(loss))[0];
}

const forward = () => readAndDrop(tf.tidy(() => state.net.forward(state.input)));

async function step({ count }) {
  const watch = count ? countCalls() : null;
  const began = performance.now();
  const out = state.what === "forward" ? await forward() : null;
  const loss = out ? null : await train();
  const ms = performance.now() - began;
  watch?.stop();
  const logits = count && out ? Array.from(out) : undefined;
  return { ms, loss, logits, ...watch?.counts, gpuBytes: tf.memory().numBytesInGPU };
}

await serve({ load, logits, step });
process.exit(0);
