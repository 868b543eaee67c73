// Teachable Machine networks made with TensorFlow.js, nested as its image library nests them, and their export's files.
import * as tf from "@tensorflow/tfjs";
import { zipSync } from "fflate";
import type { StateEntry } from "../../src/nn/index.ts";
import { mobilenetV2 } from "./keras_tfjs.ts";
import { setWeights } from "./keras_tfjs_run.ts";

/** Side of the networks' pictures. */
export const SIDE = 64;

export interface Json {
  class_name: string;
  config: { layers?: Json[]; name?: string; [key: string]: unknown };
}

export interface Made {
  readonly network: tf.Sequential;
  readonly topology: Json;
  readonly weights: Map<string, StateEntry>;
}

/** A network as Teachable Machine nests it, its dense layers as given. */
export function make(head: readonly tf.layers.Layer[]): Made {
  const twin = mobilenetV2(SIDE, SIDE, 2, 0.35);
  setWeights(twin, 7, { gain: 0.5, bias: 3 });
  const [maps] = twin.model.outputs;
  const backbone = tf.model({ inputs: twin.model.inputs, outputs: maps });
  const features = tf.sequential({ layers: [backbone, tf.layers.globalAveragePooling2d({})] });
  const network = tf.sequential({ layers: [features, tf.sequential({ layers: [...head] })] });
  const weights = new Map<string, StateEntry>(
    network.weights.map((w) => [
      w.originalName,
      { shape: w.shape as number[], dtype: "f32", data: w.read().dataSync() as Float32Array },
    ]),
  );
  return { network, topology: network.toJSON(null, false) as unknown as Json, weights };
}

export const dense = (name: string, units: number, more: object = {}) =>
  tf.layers.dense({ name, units, activation: "relu", kernelInitializer: "glorotNormal", ...more });

/** The head of Teachable Machine 2: no bias at the end. */
export const usual = () => [
  dense("dense_Dense1", 6, { inputShape: [1280] }),
  dense("dense_Dense2", 3, { activation: "softmax", useBias: false }),
];

/** The zip that Teachable Machine would export: model.json, weights.bin, metadata.json. */
export function zipped(
  { topology, weights }: Made,
  labels: readonly string[],
  imageSize: number = SIDE,
): Uint8Array {
  const list = [...weights].map(([name, { shape }]) => ({ name, shape, dtype: "float32" }));
  const json = { modelTopology: topology, weightsManifest: [{ paths: ["weights.bin"], weights: list }] };
  const metadata = { packageName: "@teachablemachine/image", labels, imageSize };
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const bytes = Buffer.concat(
    [...weights.values()].map(({ data }) => Buffer.from((data as Float32Array).slice().buffer)),
  );
  return zipSync({ "model.json": text(json), "weights.bin": bytes, "metadata.json": text(metadata) });
}
