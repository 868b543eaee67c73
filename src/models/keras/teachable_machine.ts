// A Teachable Machine image project as a classifier: Keras' MobileNetV2 (alpha 0.35) without top, the mean of its maps,
// and dense layers that were trained in a browser. Here the backbone can be trained too.

import { DataError } from "../../core/error.ts";
import { numel } from "../../core/shape.ts";
import * as nn from "../../nn/index.ts";
import type { Layer, Preprocessing } from "../classifier.ts";
import type { KerasModel } from "./classifier.ts";
import { denseKernel } from "./layouts.ts";
import { ALPHAS, channelsOf, MINUS_ONE_TO_ONE, mobilenetV2 } from "./mobilenet_v2.ts";
import { fromKeras } from "./names.ts";
import { type KerasLayer, layersOf, numbersOf } from "./topology.ts";

/** What an export's files hold. */
export interface TeachableMachineFiles {
  /** model.json's `modelTopology`. */
  readonly topology: unknown;
  /** The weights by model.json's names: "Conv1/kernel", "dense_Dense1/bias". */
  readonly weights: nn.StateInput;
  /** metadata.json's `labels`. */
  readonly labels: readonly string[];
  /** Side of the pictures; default the topology's input, 224. */
  readonly imageSize?: number;
  /** What messages call the files. Default "the Teachable Machine export". */
  readonly source?: string;
}

/** A trained classifier with all that predicting and going on from it takes. */
export interface TeachableMachine {
  readonly model: KerasModel;
  /** Its weights by state-dict names, in PyTorch's layouts. */
  readonly state: ReadonlyMap<string, nn.StateEntry>;
  /** The head as `thaw finetune --head` spells it: "mlp:100". */
  readonly head: string;
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
}

/**
 * The classifier of a Teachable Machine export: logits whose softmax is the export's answer. Its trunk has 19 blocks,
 * its head is what was trained in the browser. Throws a DataError for a topology that is no such network, for weights
 * that do not fit it, and for labels of another number than outputs.
 */
export function teachableMachine(files: TeachableMachineFiles): TeachableMachine {
  const { topology, weights, labels, source = "the Teachable Machine export" } = files;
  const layers = layersOf(topology, source);
  const end = layers.findIndex((l) => l.name === "out_relu") + 1;
  if (end === 0)
    throw new DataError(`${source} is no MobileNetV2: it has no layer out_relu among ${layers.length}`);
  const backbone = layers.slice(0, end);
  const head = headOf(layers.slice(end), source);
  const alpha = alphaOf(backbone, source);
  const model = nn.init.skipInit(() => mobilenetV2({ alpha, includeTop: false, pooling: "avg" }));
  checkBackbone(model, backbone, source);
  const outputs = head.dense[head.dense.length - 1].units;
  if (outputs !== labels.length)
    throw new DataError(`${source} has ${labels.length} labels, but its network has ${outputs} outputs`);
  model.head = nn.init.skipInit(() => makeHead(head.parts, model.numFeatures));
  const dense = new Map(head.dense.map((d) => [d.name, d]));
  const { own, rest } = divided(weights, dense);
  const state = new Map([...fromKeras(model, rest, source), ...own]);
  model.loadStateDict(state, { source });
  const side = files.imageSize ?? sideOf(backbone);
  const preprocessing = { ...MINUS_ONE_TO_ONE, resize: side, crop: side };
  return { model: model.eval(), state, head: head.spec, classes: [...labels], preprocessing };
}

interface Dense {
  readonly name: string;
  readonly units: number;
  /** Its number among the head's modules; "" where it is the head itself. */
  readonly index: string;
  readonly biased: boolean;
}

type Part = { readonly units: number } | { readonly relu: true } | { readonly dropout: number };

interface Head {
  readonly spec: string;
  readonly parts: readonly Part[];
  readonly dense: readonly Dense[];
}

/** The layers behind the backbone: the mean of the maps, then dense layers and dropouts. */
function headOf([pool, ...layers]: readonly KerasLayer[], source: string): Head {
  if (pool?.kind !== "GlobalAveragePooling2D")
    throw new DataError(
      `${source}: expected a GlobalAveragePooling2D behind the backbone, found ${pool ? `${pool.kind} ${pool.name}` : "nothing"}`,
    );
  const parts: Part[] = [];
  const dense: Dense[] = [];
  const words: string[] = [];
  layers.forEach((layer, i) => {
    const last = i === layers.length - 1;
    const { units, rate, activation = "linear", use_bias: biased = true } = layer.config;
    const wanted = last ? ["softmax", "linear"] : ["relu"];
    if (layer.kind === "Dropout" && typeof rate === "number" && !last) {
      parts.push({ dropout: rate });
      words.push(`dropout:${rate}`);
    } else if (layer.kind === "Dense" && isCount(units) && wanted.includes(String(activation))) {
      dense.push({ name: layer.name, units, index: String(parts.length), biased: biased === true });
      parts.push({ units });
      if (last) return;
      parts.push({ relu: true });
      words.push(String(units));
    } else
      throw new DataError(
        `${source}: its head has a ${layer.kind} ${layer.name} (${activation}), where Thaw takes Dense with relu, Dropout, and at the end Dense with softmax`,
      );
  });
  if (dense.length === 0) throw new DataError(`${source}: there is no Dense layer behind the backbone`);
  if (words.length === 0) return { spec: "linear", parts, dense: [{ ...dense[0], index: "" }] };
  return { spec: `mlp:${words.join(",")}`, parts, dense };
}

const isCount = (v: unknown): v is number => Number.isInteger(v) && (v as number) > 0;

function makeHead(parts: readonly Part[], inputs: number): Layer {
  let width = inputs;
  const modules = parts.map((part): Layer => {
    if ("dropout" in part) return new nn.Dropout(part.dropout);
    if ("relu" in part) return new nn.ReLU();
    const layer = new nn.Linear(width, part.units);
    width = part.units;
    return layer;
  });
  return modules.length === 1 ? modules[0] : new nn.Sequential(...modules);
}

/** The width multiplier that gives the backbone's channels. */
function alphaOf(backbone: readonly KerasLayer[], source: string): number {
  const found = backbone.filter((l) => /_project$/.test(l.name)).map((l) => l.config.filters);
  const alpha = ALPHAS.find((a) => channelsOf(a).join() === found.join());
  if (alpha !== undefined) return alpha;
  throw new DataError(
    `${source}: its blocks have ${found.join(", ")} channels, which no MobileNetV2 of alpha ${ALPHAS.join(", ")} has`,
  );
}

/** Throws a DataError unless the topology's layers are the model's, with the same settings. */
function checkBackbone(model: KerasModel, backbone: readonly KerasLayer[], source: string): void {
  const layers = new Map(backbone.map((l) => [l.name, l]));
  const refuse = (name: string, what: string, found: unknown, wanted: unknown) => {
    throw new DataError(
      `${source} is not ${model.architecture}: ${what} of its layer ${name} is ${JSON.stringify(found)}, expected ${JSON.stringify(wanted)}`,
    );
  };
  let counted = 0;
  for (const [path, m] of model.features.namedModules()) {
    const name = path.slice(path.lastIndexOf(".") + 1);
    const wanted = settingsOf(m);
    if (!wanted) continue;
    counted++;
    const layer = layers.get(name);
    if (!layer) throw new DataError(`${source} is not ${model.architecture}: it has no layer ${name}`);
    if (!wanted.kinds.includes(layer.kind)) refuse(name, "the class", layer.kind, wanted.kinds[0]);
    for (const [setting, value] of Object.entries(wanted.settings)) {
      const own = layer.config[setting];
      const found = typeof value === "number" ? numbersOf(own) : [own];
      if (found.length === 0 || found.some((v) => v !== value)) refuse(name, setting, own, value);
    }
  }
  const weighted = backbone.filter((l) => /Conv2D|BatchNormalization|Dense/.test(l.kind)).length;
  const adds = backbone.filter((l) => l.kind === "Add").length;
  const blocks = [...model.features].filter((b) => "adds" in b && b.adds === true).length;
  if (weighted !== counted || adds !== blocks)
    throw new DataError(
      `${source} is not ${model.architecture}: it has ${weighted} layers with weights and ${adds} sums, expected ${counted} and ${blocks}`,
    );
}

/** Keras' class and settings of a module with weights; null for others. */
function settingsOf(
  m: nn.Module,
): { kinds: readonly string[]; settings: Readonly<Record<string, number | boolean>> } | null {
  if (m instanceof nn.BatchNorm2d)
    return { kinds: ["BatchNormalization", "BatchNormalizationV1"], settings: { epsilon: m.eps } };
  if (!(m instanceof nn.Conv2d)) return null;
  const strides = m.options.stride;
  const settings = { kernel_size: m.kernelSize[0], strides: strides as number, use_bias: m.bias !== null };
  const deep = (m.options.groups ?? 1) > 1;
  if (deep) return { kinds: ["DepthwiseConv2D"], settings };
  return { kinds: ["Conv2D"], settings: { ...settings, filters: m.outChannels } };
}

/** The head's own weights by state-dict names, and all others as they are. */
function divided(weights: nn.StateInput, dense: ReadonlyMap<string, Dense>) {
  const own = new Map<string, nn.StateEntry>();
  const rest = new Map<string, nn.StateEntry>();
  for (const [name, e] of weights instanceof Map ? weights : Object.entries(weights)) {
    const [layer = "", weight] = name.replace(/:0$/, "").split("/").slice(-2);
    const d = dense.get(layer);
    if (!d) rest.set(name, e);
    else if (weight === "kernel") own.set(`${prefix(d)}.weight`, denseKernel(e));
    else if (weight === "bias" && d.biased) own.set(`${prefix(d)}.bias`, e);
    else rest.set(name, e);
  }
  // Teachable Machine's last layer has no bias; one of zeros is the same, and trains.
  for (const d of dense.values()) if (!d.biased) own.set(`${prefix(d)}.bias`, zeros([d.units]));
  return { own, rest };
}

const prefix = ({ index }: Dense) => (index === "" ? "classifier" : `classifier.${index}`);

const zeros = (shape: readonly number[]): nn.StateEntry => ({
  shape,
  dtype: "f32",
  data: new Float32Array(numel(shape)),
});

/** Side of the pictures that the topology's input layer takes: [null, height, width, 3]. */
function sideOf(backbone: readonly KerasLayer[]): number {
  const [height] = numbersOf(backbone[0].config.batch_input_shape);
  return isCount(height) ? height : MINUS_ONE_TO_ONE.crop;
}
