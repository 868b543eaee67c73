// A whole network as an ONNX file, made from the graph that its forward builds: opset 17, batches of any size, weights
// under their state-dict names, classes and preprocessing as metadata.

import { UsageError } from "../core/error.ts";
import { VERSION } from "../core/version.ts";
import { ProtoWriter } from "../weights/protobuf.ts";
import { pathOf } from "../weights/source.ts";
import { joined } from "../weights/write_items.ts";
import { ELEMENTWISE } from "./onnx_elementwise.ts";
import { ELEMENT, OnnxGraph, valueInfo } from "./onnx_graph.ts";
import { LAYERS } from "./onnx_layers.ts";
import { checkClasses, type Exported, type ExportOptions, type Settings, settingsOf } from "./options.ts";
import { placeOf, type Traced, traceNetwork } from "./trace.ts";

const OPSET = 17;
/** The version of the file format that came with opset 17 (ONNX 1.12). */
const IR_VERSION = 8;
/** A protobuf message is smaller than 2 GiB. */
const MAX_BYTES = 2 ** 31;

/** What is said of a network beside its graph, as JSON where it is not text; keys are those of metadata_props. */
export function metadataOf({
  architecture,
  classes,
  preprocessing,
  softmax,
}: Settings): Record<string, string> {
  return {
    ...(architecture === null ? {} : { architecture }),
    ...(classes === null ? {} : { classes: JSON.stringify(classes) }),
    ...(preprocessing === null ? {} : { preprocessing: JSON.stringify(preprocessing) }),
    output: softmax ? "probabilities" : "logits",
  };
}

function writeGraph(traced: Traced, settings: Settings, output: string): ProtoWriter {
  const g = new OnnxGraph(traced, settings.dtype === "f16", "input");
  for (const node of traced.nodes) {
    const op = node.op?.name ?? "";
    g.begin(node);
    if (Object.hasOwn(LAYERS, op)) g.define(node.outputs[0], LAYERS[op](g, node));
    else if (Object.hasOwn(ELEMENTWISE, op)) {
      const inputs = node.inputs.map((v) => g.name(v));
      g.define(node.outputs[0], ELEMENTWISE[op](g, inputs, node.attrs));
    } else throw new UsageError(`ONNX: the operation ${op}${placeOf(node)} has no counterpart there`);
  }
  const name = g.output(traced.output, output);
  const rows = ["batch", ...traced.output.shape.slice(1)];
  const type = traced.output.dtype === "f32" ? ELEMENT.f32 : ELEMENT.i32;
  return g.finish(
    settings.architecture ?? "network",
    [valueInfo("input", ELEMENT.f32, ["batch", ...settings.inputShape])],
    [valueInfo(name, type, rows)],
  );
}

/**
 * The network as an ONNX model, in pieces: input "input" [batch, …inputShape], output "logits" (or "probabilities")
 * [batch, classes]. Metadata: `architecture`, `classes` and `preprocessing` (JSON), `output`. Throws UsageError for
 * an operation that ONNX has no counterpart for, naming it and its module, and for 2 GiB or more.
 */
export async function onnxParts(model: Exported, options: ExportOptions = {}): Promise<Uint8Array[]> {
  const settings = settingsOf("ONNX", model, options);
  const traced = await traceNetwork("ONNX", model, settings);
  checkClasses("ONNX", settings.classes, traced.output.shape[traced.output.shape.length - 1]);
  const w = new ProtoWriter().varint(1, IR_VERSION).text(2, "thaw").text(3, VERSION);
  w.message(7, writeGraph(traced, settings, settings.softmax ? "probabilities" : "logits"));
  w.message(8, new ProtoWriter().text(1, "").varint(2, OPSET));
  for (const [key, value] of Object.entries(metadataOf(settings)))
    w.message(14, new ProtoWriter().text(1, key).text(2, value));
  if (w.length >= MAX_BYTES)
    throw new UsageError(
      `ONNX: the network takes ${w.length} bytes, but a file must stay below 2 GiB; try dtype "f16"`,
    );
  return w.parts;
}

/** The bytes of an ONNX file; see `exportOnnx`. */
export async function onnxBytes(model: Exported, options: ExportOptions = {}): Promise<Uint8Array> {
  return joined(await onnxParts(model, options));
}

/**
 * Writes a network to `path` as ONNX (Node only): its forward in eval mode for batches of any size and inputs of
 * `inputShape`, with the weights of now. Throws UsageError for what ONNX cannot say, DataError where the disk refuses.
 */
export async function exportOnnx(
  path: string | URL,
  model: Exported,
  options: ExportOptions = {},
): Promise<void> {
  const target = await pathOf(path, "onnxBytes gives the bytes to save");
  const { replaceFile } = await import("../core/replace_file.node.ts");
  await replaceFile(target, await onnxParts(model, options));
}
