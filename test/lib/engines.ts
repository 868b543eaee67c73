// Other engines that run what Thaw writes: onnxruntime, and TensorFlow.js' CPU backend, which loads over HTTP as a page
// does.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as tf from "@tensorflow/tfjs";
import * as ort from "onnxruntime-node";

export interface Answer {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The only output of an ONNX file for the input x [batch, …]. */
export async function runOnnx(bytes: Uint8Array, x: Float32Array, shape: readonly number[]): Promise<Answer> {
  const session = await ort.InferenceSession.create(bytes);
  const [name] = session.outputNames;
  const out = await session.run({ input: new ort.Tensor("float32", x, shape) });
  await session.release();
  return { shape: out[name].dims, data: out[name].data as Float32Array };
}

/** [n, c, h, w] → [n, h, w, c]; anything else as it is. */
function channelsLast(x: Float32Array, shape: readonly number[]): tf.Tensor {
  if (shape.length !== 4) return tf.tensor(x, [...shape]);
  return tf.tidy(() => tf.tensor4d(x, shape as [number, number, number, number]).transpose([0, 2, 3, 1]));
}

/** What tf.loadLayersModel makes of the files, for x [batch, channels, height, width], and its metadata. */
export async function runTfjs(
  files: ReadonlyMap<string, Uint8Array>,
  x: Float32Array,
  shape: readonly number[],
): Promise<Answer & { readonly metadata: unknown }> {
  await tf.setBackend("cpu");
  const server = createServer((request, response) => {
    const found = files.get((request.url ?? "").slice(1));
    response.writeHead(found ? 200 : 404, { "content-type": "application/octet-stream" });
    response.end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const model = await tf.loadLayersModel(`http://127.0.0.1:${port}/model.json`);
    const input = channelsLast(x, shape);
    const y = model.predict(input) as tf.Tensor;
    const data = Float32Array.from(await y.data());
    const out = { shape: [...y.shape], data, metadata: model.getUserDefinedMetadata() };
    model.dispose();
    tf.dispose([input, y]);
    return out;
  } finally {
    server.close();
  }
}
