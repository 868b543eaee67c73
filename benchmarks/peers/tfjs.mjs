// TensorFlow.js on WebGPU as a peer: answers one JSON line on standard output for every JSON line on standard input.
// {"do":"load",…} builds the network, {"do":"logits"} computes them, {"do":"step"} takes one step, {"do":"end"} ends.
// Between requests it waits for input and does nothing.
import { existsSync, mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { bundleGradients } from "./bundle_gradients.mjs";
import { readSafetensors } from "./safetensors.mjs";

// Standard output carries answers only; tfjs greets on the console.
console.log = console.info = console.error;
const answer = (o) => process.stdout.write(`${JSON.stringify(o)}\n`);

/** Dawn as navigator.gpu, which is where tfjs looks. */
async function provideGpu() {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  const gpu = create((process.env.THAW_DAWN ?? "").split(",").filter(Boolean));
  const value = { gpu, userAgent: "node", platform: process.platform, hardwareConcurrency: 2 };
  Object.defineProperty(globalThis, "navigator", { value, configurable: true });
  const { info } = await gpu.requestAdapter({ powerPreference: "high-performance" });
  return info.description || info.device || info.vendor;
}

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

/** Counts calls of WebGPU until `stop()` puts the prototypes back. */
function countCalls() {
  const counts = { dispatches: 0, pipelines: 0, newBuffers: 0 };
  const undo = [];
  const watch = (proto, method, key) => {
    const original = proto[method];
    proto[method] = function (...args) {
      counts[key]++;
      return original.apply(this, args);
    };
    undo.push(() => {
      proto[method] = original;
    });
  };
  watch(GPUComputePassEncoder.prototype, "dispatchWorkgroups", "dispatches");
  watch(GPUDevice.prototype, "createComputePipeline", "pipelines");
  watch(GPUDevice.prototype, "createComputePipelineAsync", "pipelines");
  watch(GPUDevice.prototype, "createBuffer", "newBuffers");
  const stop = () => {
    for (const restore of undo) restore();
  };
  return { counts, stop };
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

async function forward() {
  await readAndDrop(tf.tidy(() => state.net.forward(state.input)));
  return null;
}

async function step({ count }) {
  const watch = count ? countCalls() : null;
  const began = performance.now();
  const loss = await (state.what === "forward" ? forward() : train());
  const ms = performance.now() - began;
  watch?.stop();
  return { ms, loss, ...watch?.counts, gpuBytes: tf.memory().numBytesInGPU };
}

const verbs = { load, logits, step };
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.do === "end") break;
  try {
    answer(await verbs[request.do](request));
  } catch (error) {
    answer({ error: String(error?.message ?? error) });
  }
}
process.exit(0);
