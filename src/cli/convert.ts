// thaw convert: a weight file of any kind that Thaw reads to safetensors.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError, UsageError } from "../core/error.ts";
import { create } from "../models/index.ts";
import { init as nn } from "../nn/index.ts";
import { stripNames } from "../nn/state_dict.ts";
import { readCheckpoint, type Weights, write } from "../weights/index.ts";
import { printable } from "../weights/source.ts";
import type { Options } from "./args.ts";
import { command } from "./command.ts";
import { plural } from "./output.ts";

const OPTIONS = {
  model: {
    kind: "text",
    value: "M",
    help: "write under this architecture's names (containers and module. stripped, old names replaced), and check that they are all there",
  },
  "skip-unsupported": { kind: "flag", help: "leave out quantised, complex and sparse tensors, naming them" },
  force: { kind: "flag", help: "replace OUT where it exists" },
} as const satisfies Options;

export const convert = command({
  name: "convert",
  usage: "IN OUT [options]",
  about: "a weight file (PyTorch, Keras, TensorFlow.js, ONNX, safetensors; a run's folder) to safetensors",
  more: "IN is a file, a zip, the folder or model.json of a TensorFlow.js model, or the folder of a run. What it is, is told by\nits content.",
  options: OPTIONS,
  arguments: { least: 2, most: 2 },
  async run({ values, positionals: [from, to], out }) {
    if (!/\.safetensors$/i.test(to))
      throw new UsageError(`OUT must end in .safetensors, the format that is written; got ${to}`);
    const there = await stat(to).catch(() => null);
    if (there?.isDirectory()) throw new UsageError(`${to} is a folder`);
    if (there && !values.force) throw new UsageError(`${to} exists; --force replaces it`);
    const path = await weightsAt(from);
    const { format, tensors, skipped, foreign } = await readCheckpoint(path, {
      skipUnsupported: values["skip-unsupported"],
    });
    for (const { name, reason } of skipped) out.say(printable(`left out: ${name} ${reason}`));
    if (foreign.length > 0)
      out.say(printable(`read as data, running nothing of theirs: objects of ${foreign.join(", ")}`));
    if (tensors.size === 0) throw new DataError(`${path} holds no tensors`);
    const named = values.model === undefined ? tensors : renamed(values.model, tensors, path);
    await write(to, named);
    const bytes = (await stat(to)).size;
    const elements = [...named.values()].reduce((n, e) => n + e.data.length, 0);
    out.result(
      { event: "done", in: path, format, out: to, tensors: named.size, elements, bytes, skipped, foreign },
      `${path} (${format}) → ${to}: ${plural(named.size, "tensor")}, ${plural(bytes, "byte")}`,
    );
  },
});

/** The weights of a run's folder; any other path as it is (a folder may be a TensorFlow.js model). */
export async function weightsAt(path: string): Promise<string> {
  const inner = join(path, "model.safetensors");
  return (await stat(inner).catch(() => null))?.isFile() ? inner : path;
}

function renamed(model: string, tensors: Weights, source: string): Weights {
  const net = nn.skipInit(() => create(model));
  const stripped = stripNames(tensors) as Weights;
  const all = new Set(stripped.keys());
  const out: Weights = new Map();
  const from = new Map<string, string>();
  for (const [name, entry] of stripped) {
    const own = net.renameKey(name, all);
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
