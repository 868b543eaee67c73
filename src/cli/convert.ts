// thaw convert: a weight file of any kind that Thaw reads to one that it writes; or a whole network, weights and
// operations, to ONNX or TensorFlow.js.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError, UsageError } from "../core/error.ts";
import { create, keras } from "../models/index.ts";
import { fromKeras, hasKerasNames } from "../models/keras/names.ts";
import { init as nn } from "../nn/index.ts";
import { stripNames } from "../nn/state_dict.ts";
import { type Checkpoint, readCheckpoint, type Weights, write } from "../weights/index.ts";
import { printable } from "../weights/source.ts";
import { WRITTEN } from "../weights/write.ts";
import type { Options, Values } from "./args.ts";
import { command } from "./command.ts";
import { bytesWritten, type NetworkFormat, networkFormat, writeModel, writeRun } from "./convert_network.ts";
import { type Output, plural, thousands } from "./output.ts";

const OPTIONS = {
  model: {
    kind: "text",
    value: "M",
    help: "write under this architecture's names (containers and module. stripped, old names replaced), and check that they are all there; for a whole network, the one that it is",
  },
  dtype: {
    kind: "text",
    value: "f32|f16",
    help: "write real numbers so, rounded to nearest; default as they are",
  },
  softmax: { kind: "flag", help: "whole networks: end with probabilities instead of logits" },
  classes: {
    kind: "text",
    value: "FILE",
    help: "whole networks: class names to write in, one a line or a JSON list",
  },
  "image-size": {
    kind: "whole",
    value: "N",
    help: "whole networks: side of the pictures; default the model's own",
  },
  "skip-unsupported": { kind: "flag", help: "leave out quantised, complex and sparse tensors, naming them" },
  force: { kind: "flag", help: "replace OUT where it exists" },
} as const satisfies Options;

type Given = Values<typeof OPTIONS>;

/** Options that mean nothing for a file of weights alone. */
const OF_NETWORKS = ["softmax", "classes", "image-size"] as const;

function dtypeOf({ dtype }: Given): "f32" | "f16" | undefined {
  if (dtype === undefined || dtype === "f32" || dtype === "f16") return dtype;
  throw new UsageError(`--dtype must be f32 or f16, not ${dtype}`);
}

export const convert = command({
  name: "convert",
  usage: "IN OUT [options]",
  about:
    "a weight file, or a run's folder, to .safetensors or .pth; a whole network to .onnx or TensorFlow.js",
  more: "IN is a file, a zip, the folder or model.json of a TensorFlow.js model, or a run's folder; its content tells what it is. The end of OUT says what is written:\n  .safetensors, .pth, .pt   named weights\n  .onnx                     a whole network: a run, a Teachable Machine export, or weights and --model\n  FOLDER/model.json         the same as a TensorFlow.js layers model, weights beside it",
  options: OPTIONS,
  arguments: { least: 2, most: 2 },
  async run({ values, positionals: [from, to], out }) {
    const network = networkFormat(to);
    if (!network && !WRITTEN.some((end) => to.toLowerCase().endsWith(end)))
      throw new UsageError(
        `OUT must end in ${WRITTEN.join(", ")}, .onnx or /model.json, the formats that are written; got ${to}`,
      );
    const idle = network ? undefined : OF_NETWORKS.find((name) => values[name] !== undefined);
    if (idle)
      throw new UsageError(`--${idle} goes with a whole network (.onnx or /model.json), not with ${to}`);
    dtypeOf(values);
    const there = await stat(to).catch(() => null);
    if (there?.isDirectory()) throw new UsageError(`${to} is a folder`);
    if (there && !values.force) throw new UsageError(`${to} exists; --force replaces it`);
    await (network ? convertNetwork(network, from, to, values, out) : convertWeights(from, to, values, out));
  },
});

const has = async (folder: string, file: string) =>
  (await stat(`${folder}/${file}`).catch(() => null))?.isFile() ?? false;

/** The weights of a run's folder; any other path as it is (a folder may be a TensorFlow.js model). */
export const weightsAt = async (path: string): Promise<string> =>
  (await has(path, "model.safetensors")) ? join(path, "model.safetensors") : path;

/** Reads a weight file, and tells what was left out or is strange. Throws DataError for one without tensors. */
async function readTold(path: string, values: Given, out: Output): Promise<Checkpoint> {
  const read = await readCheckpoint(path, { skipUnsupported: values["skip-unsupported"] });
  for (const { name, reason } of read.skipped) out.say(printable(`left out: ${name} ${reason}`));
  if (read.foreign.length > 0)
    out.say(printable(`read as data, running nothing of theirs: objects of ${read.foreign.join(", ")}`));
  if (read.tensors.size === 0) throw new DataError(`${path} holds no tensors`);
  return read;
}

async function convertWeights(from: string, to: string, values: Given, out: Output): Promise<void> {
  const path = await weightsAt(from);
  const { format, tensors, skipped, foreign } = await readTold(path, values, out);
  const named = values.model === undefined ? tensors : renamed(values.model, tensors, path);
  const dtype = dtypeOf(values);
  await write(to, named, dtype ? { dtype } : {});
  const bytes = (await stat(to)).size;
  const elements = [...named.values()].reduce((n, e) => n + e.data.length, 0);
  out.result(
    { event: "done", in: path, format, out: to, tensors: named.size, elements, bytes, skipped, foreign },
    `${path} (${format}) → ${to}: ${plural(named.size, "tensor")}, ${plural(bytes, "byte")}`,
  );
}

async function convertNetwork(
  format: NetworkFormat,
  from: string,
  to: string,
  values: Given,
  out: Output,
): Promise<void> {
  const { model, softmax, classes } = values;
  const request = {
    out: to,
    model,
    softmax,
    classes,
    imageSize: values["image-size"],
    dtype: dtypeOf(values),
  };
  const written = (await has(from, "run.json"))
    ? await writeRun(format, from, request)
    : await writeModel(format, await readTold(from, values, out), from, request);
  const bytes = await bytesWritten(format, to);
  out.result(
    { event: "done", in: from, out: to, format, ...written, bytes },
    `${from} → ${to}: ${written.model} for pictures of ${written.input.slice(1).join("×")}, ${thousands(written.parameters)} parameters, ${plural(bytes, "byte")}`,
  );
}

function renamed(model: string, tensors: Weights, source: string): Weights {
  const net = nn.skipInit(() => create(model));
  if (net instanceof keras.KerasModel && hasKerasNames(tensors)) {
    const own = fromKeras(net, tensors, source);
    net.loadStateDict(own, { dryRun: true, source, except: [net.headName] });
    return own as Weights;
  }
  const stripped = stripNames(tensors) as Weights;
  const out: Weights = new Map();
  const from = new Map<string, string>();
  for (const [name, entry] of stripped) {
    const own = net.renameKey(name);
    const other = from.get(own);
    if (other !== undefined)
      throw new DataError(
        `${source}: ${other} and ${name} are both called ${own} in ${model}; remove one of them`,
      );
    from.set(own, name);
    out.set(own, entry);
  }
  net.loadStateDict(out, { dryRun: true, source, except: [net.headName] });
  return out;
}
