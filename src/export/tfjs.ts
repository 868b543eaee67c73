// A whole network as a TensorFlow.js layers model (model.json and shards of its weights), made from the graph that its
// forward builds. Pictures go in as [batch, height, width, channels].

import { floatsToHalves } from "../core/half.ts";
import { VERSION } from "../core/version.ts";
import { pathOf } from "../weights/source.ts";
import { joined } from "../weights/write_items.ts";
import { checkClasses, type Exported, type ExportOptions, type Settings, settingsOf } from "./options.ts";
import { staysPositive } from "./tfjs_elementwise.ts";
import { type LayerWeight, TfjsGraph } from "./tfjs_graph.ts";
import { emit } from "./tfjs_layers.ts";
import { traceNetwork } from "./trace.ts";

const WHAT = "TensorFlow.js";

/** Bytes of a shard: browsers keep files of up to 4 MiB well in their caches. */
const SHARD = 4 * 2 ** 20;

/** What `model.getUserDefinedMetadata()` gives: classes and preprocessing, as far as they are known. */
function metadataOf({ architecture, classes, preprocessing, softmax }: Settings): Record<string, unknown> {
  return {
    ...(architecture === null ? {} : { architecture }),
    ...(classes === null ? {} : { classes }),
    ...(preprocessing === null ? {} : { preprocessing }),
    output: softmax ? "probabilities" : "logits",
  };
}

const bytesOf = ({ data, half }: LayerWeight, f16: boolean): Uint8Array => {
  const stored = f16 && half ? floatsToHalves(data) : data;
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
};

function specOf({ name, shape, half }: LayerWeight, f16: boolean) {
  const quantization = { dtype: "float16", original_dtype: "float32" };
  return { name, shape, dtype: "float32", ...(f16 && half ? { quantization } : {}) };
}

/**
 * Names of layers: those of Keras' layers for a network whose modules have them (unique as they are, without the
 * path), else dotted paths.
 */
function layerNames(model: Exported): (path: string) => string {
  const last = (path: string) => path.slice(path.lastIndexOf(".") + 1);
  const own = [...model.namedModules()].filter(
    ([, m]) => m.children.length === 0 && m.parameters().length > 0,
  );
  const names = new Set(own.map(([path]) => last(path)));
  const short = names.size === own.length && [...names].every((name) => !/^\d*$/.test(name));
  return short ? last : (path) => path;
}

/** Weights one after another in files of 4 MiB. */
function shardsOf(bytes: Uint8Array): [name: string, part: Uint8Array][] {
  const count = Math.max(1, Math.ceil(bytes.length / SHARD));
  return Array.from({ length: count }, (_, i) => [
    `group1-shard${i + 1}of${count}.bin`,
    bytes.subarray(i * SHARD, (i + 1) * SHARD),
  ]);
}

/**
 * The files of a TensorFlow.js layers model by name, model.json last. Input [batch, height, width, channels] for an
 * `inputShape` of [channels, height, width], else [batch, …inputShape]; output logits or probabilities
 * [batch, classes]. Throws UsageError for an operation that no layer stands for, naming it and its module.
 */
export async function tfjsFiles(
  model: Exported,
  options: ExportOptions = {},
): Promise<Map<string, Uint8Array>> {
  const settings = settingsOf(WHAT, model, options);
  const traced = await traceNetwork(WHAT, model, settings);
  checkClasses(WHAT, settings.classes, traced.output.shape[traced.output.shape.length - 1]);
  const g = new TfjsGraph(traced, layerNames(model));
  for (const node of traced.nodes) {
    emit(g, node);
    if (staysPositive(g, node)) g.markPositive(node.outputs[0]);
  }
  const last = g.layer(traced.output, "plain");
  const f16 = settings.dtype === "f16";
  const shards = shardsOf(joined(g.weights.map((w) => bytesOf(w, f16))));
  const json = {
    format: "layers-model",
    generatedBy: `thaw ${VERSION}`,
    convertedBy: null,
    modelTopology: {
      class_name: "Model",
      config: {
        name: settings.architecture ?? "network",
        layers: g.layers,
        input_layers: [["input", 0, 0]],
        output_layers: [[last, 0, 0]],
      },
      keras_version: `thaw ${VERSION}`,
      backend: "tensor_flow.js",
    },
    weightsManifest: [{ paths: shards.map(([name]) => name), weights: g.weights.map((w) => specOf(w, f16)) }],
    userDefinedMetadata: metadataOf(settings),
  };
  return new Map([...shards, ["model.json", new TextEncoder().encode(JSON.stringify(json))]]);
}

/**
 * Writes a network into the folder `folder` as a TensorFlow.js layers model (Node only), for
 * `tf.loadLayersModel(".../model.json")`: its forward in eval mode, with the weights of now. A model that was there
 * before is replaced, its shards removed. Throws UsageError for what
 * layers cannot say, DataError where the disk refuses.
 */
export async function exportTfjs(
  folder: string | URL,
  model: Exported,
  options: ExportOptions = {},
): Promise<void> {
  const target = await pathOf(folder, "tfjsFiles gives the files to save");
  const { makeFolder } = await import("../core/make_folder.node.ts");
  const { replaceFile } = await import("../core/replace_file.node.ts");
  const files = await tfjsFiles(model, options);
  await makeFolder(target, "the model's folder");
  for (const [name, bytes] of files) await replaceFile(`${target}/${name}`, [bytes]);
  const { removeOldShards } = await import("./shards.node.ts");
  await removeOldShards(target, new Set(files.keys()));
}
