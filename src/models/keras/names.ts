// Keras' names of weights to state-dict names. A file may be of Keras 1 to 3 or of TensorFlow.js: `Conv1/kernel`,
// `Conv1/Conv1/kernel:0`, `model_weights/mobilenetv2_1.00_224/Conv1/kernel:0`, `block1_conv1/block1_conv1_W_1:0`, and
// `layers/functional/layers/conv2d_3/vars/0`, where layers are counted by class.

import { DataError, UsageError } from "../../core/error.ts";
import * as nn from "../../nn/index.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { Normalization } from "./layers.ts";
import { convKernel, denseKernel, depthwiseKernel, perChannel } from "./layouts.ts";

/** What of a model names are matched with. */
export interface NamedModel extends nn.Module {
  readonly headName: string;
  /** Side of the maps that a Flatten in front of the head's first dense layer makes rows of; 1 without one. */
  readonly flattened: number;
}

/** A layer of the model that has weights. */
interface Target {
  /** State-dict prefix. */
  readonly path: string;
  readonly module: nn.Module;
}

const WEIGHT =
  /(?:^|\/)(?:kernel|depthwise_kernel|bias|gamma|beta|moving_mean|moving_variance|mean|variance|count)(?::0)?$/;
const OLD = /_(W|b)(?:_\d+)?(?::0)?$/;
const VARS = /(?:^|\/)([a-z0-9_]+)\/vars\/(\d+)$/;

/** What a training run and a random generator keep beside weights, in all layouts. */
const NOT_WEIGHTS =
  /(?:^|\/)(?:optimizer_weights|optimizer|_optimizer|training|seed_generator|metrics)(?:_\d+)?\//;

/** Other names that published files give the last layer. */
const LAST = ["predictions", "Logits", "probs", "fc1000"];

/** Whether names are Keras' and not a state dict's: of layers and weights with a slash between, `layer/kernel`. */
export function hasKerasNames(dict: nn.StateInput): boolean {
  if (typeof dict !== "object" || dict === null) return false;
  const names = dict instanceof Map ? [...dict.keys()] : Object.keys(dict);
  return names.some((name) => name.includes("/") && (WEIGHT.test(name) || VARS.test(name) || isOld(name)));
}

const isOld = (name: string) => OLD.test(name) && name.endsWith(":0");

/** Layers of the model by Keras' names, and by class and number as Keras 3 counts them. */
function targetsOf(model: NamedModel): Map<string, Target> {
  const targets = new Map<string, Target>();
  const counts = new Map<string, number>();
  for (const [path, module] of model.namedModules()) {
    const kind = classOf(module);
    if (!kind) continue;
    const target = { path, module };
    targets.set(path.slice(path.lastIndexOf(".") + 1), target);
    const n = counts.get(kind) ?? 0;
    counts.set(kind, n + 1);
    targets.set(`vars:${kind}${n === 0 ? "" : `_${n}`}`, target);
  }
  const last = denseLayers(model).at(-1);
  if (last) for (const name of LAST) targets.set(name, { path: last[0], module: last[1] });
  return targets;
}

/** Keras' name of a module's class, as its files spell it; "" for layers without weights. */
function classOf(m: nn.Module): string {
  if (m instanceof nn.Conv2d) return isDepthwise(m) ? "depthwise_conv2d" : "conv2d";
  if (m instanceof nn.BatchNorm2d) return "batch_normalization";
  if (m instanceof nn.Linear) return "dense";
  return m instanceof Normalization ? "normalization" : "";
}

const isDepthwise = (m: nn.Conv2d) => (m.options.groups ?? 1) > 1;

/** Weights of a class in the order of Keras 3's `vars`. */
const VARIABLES: Readonly<Record<string, readonly string[]>> = {
  conv2d: ["kernel", "bias"],
  depthwise_conv2d: ["kernel", "bias"],
  dense: ["kernel", "bias"],
  batch_normalization: ["gamma", "beta", "moving_mean", "moving_variance"],
  normalization: ["mean", "variance", "count"],
};

/** State-dict names of weights. */
const MEMBERS: Readonly<Record<string, string>> = {
  kernel: "weight",
  depthwise_kernel: "weight",
  bias: "bias",
  gamma: "weight",
  beta: "bias",
  moving_mean: "running_mean",
  moving_variance: "running_var",
  mean: "mean",
  variance: "variance",
};

/** A file's name taken apart: candidates for its layer's name, nearest and longest first, and its weight's. */
function parse(name: string): { layers: string[]; weight: string } {
  const vars = VARS.exec(name);
  if (vars) {
    const kind = vars[1].replace(/_\d+$/, "");
    return { layers: [`vars:${vars[1]}`], weight: VARIABLES[kind]?.[Number(vars[2])] ?? "" };
  }
  const parts = name.replace(/:0$/, "").split("/");
  const last = parts.pop() as string;
  const old = isOld(name) ? OLD.exec(`${last}:0`) : null;
  const weight = old ? (old[1] === "W" ? "kernel" : "bias") : last;
  const layers: string[] = [];
  for (let i = parts.length - 1; i >= 0; i--) {
    // Layers that were called conv1/conv are called conv1_conv today.
    if (i > 0) layers.push(`${parts[i - 1]}_${parts[i]}`);
    layers.push(parts[i]);
  }
  return { layers, weight };
}

/**
 * A file's weights by the model's state-dict names, in PyTorch's layouts. Names that fit nothing are kept, so that
 * loading reports them; a dense layer that the model has not is put below its head. Throws a DataError where two names
 * mean one weight, a UsageError for tensors that are not host data.
 */
export function fromKeras(
  model: NamedModel,
  dict: nn.StateInput,
  source = "state dict",
): Map<string, nn.StateEntry> {
  const targets = targetsOf(model);
  const entries = dict instanceof Map ? [...dict] : Object.entries(dict);
  const dense = foreignDense(entries, targets);
  const from = new Map<string, string>();
  const out = new Map<string, nn.StateEntry>();
  for (const [name, e] of entries) {
    if (e instanceof Tensor)
      throw new UsageError(
        `loadStateDict: ${name} must be host data { shape, dtype, data } where names are Keras'`,
      );
    if (NOT_WEIGHTS.test(name)) continue;
    const { layers, weight } = parse(name);
    const target = layers.map((l) => targets.get(l)).find((t) => t !== undefined);
    // How many pictures the mean and variance are of.
    if (weight === "count") continue;
    const member = MEMBERS[weight];
    const key =
      target && member
        ? `${target.path}.${member}`
        : dense.has(stem(name))
          ? `${model.headName}.${name}`
          : name;
    const other = from.get(key);
    if (other !== undefined)
      throw new DataError(`${source} has two tensors for ${key}: ${other} and ${name}`);
    from.set(key, name);
    out.set(key, target && member ? inLayout(model, target, weight, e) : e);
  }
  return out;
}

/** A name without its last part: its layer's. */
const stem = (name: string) => name.slice(0, name.lastIndexOf("/"));

/** Layers of the file with a matrix for a kernel that the model has not: a head of the user's own. */
function foreignDense(
  entries: readonly (readonly [string, Tensor | nn.StateEntry])[],
  targets: ReadonlyMap<string, Target>,
): Set<string> {
  const foreign = entries.filter(([name, { shape }]) => {
    const { layers, weight } = parse(name);
    return weight === "kernel" && shape.length === 2 && !layers.some((l) => targets.has(l));
  });
  return new Set(foreign.map(([name]) => stem(name)));
}

function inLayout(
  model: NamedModel,
  { path, module }: Target,
  weight: string,
  e: nn.StateEntry,
): nn.StateEntry {
  if (module instanceof nn.Conv2d && weight.endsWith("kernel"))
    return isDepthwise(module) ? depthwiseKernel(e) : convKernel(e);
  if (module instanceof nn.Linear && weight === "kernel")
    return denseKernel(e, denseLayers(model)[0]?.[0] === path ? model.flattened : 1);
  return module instanceof Normalization ? perChannel(e) : e;
}

interface Headed extends nn.Module {
  readonly headName: string;
}

/** The head's dense layers in order, by their state-dict prefix. */
export function denseLayers(model: Headed): [path: string, layer: nn.Linear][] {
  const out: [string, nn.Linear][] = [];
  for (const [name, m] of model.namedModules()) {
    const inHead = name === model.headName || name.startsWith(`${model.headName}.`);
    if (inHead && m instanceof nn.Linear) out.push([name, m]);
  }
  return out;
}
