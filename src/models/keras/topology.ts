// The layers of a Keras model's configuration (model.json's modelTopology, or model_config of an .h5 file), read as
// data: nested models are flattened in the order in which they run.

import { DataError } from "../../core/error.ts";
import { isObject } from "../../weights/json.ts";

/** One layer of a configuration. */
export interface KerasLayer {
  readonly kind: string;
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Models within models beyond this are no network that anybody made. */
const DEEPEST = 8;

/** All layers that are no models themselves. Throws a DataError naming `source` where it is no configuration. */
export function layersOf(topology: unknown, source: string): KerasLayer[] {
  const root = isObject(topology) && isObject(topology.model_config) ? topology.model_config : topology;
  if (!isObject(root) || typeof root.class_name !== "string")
    throw new DataError(`${source} has no Keras model in it: expected a topology with a class_name`);
  return walk(root, source, 0);
}

function walk(layer: unknown, source: string, depth: number): KerasLayer[] {
  if (!isObject(layer) || typeof layer.class_name !== "string" || depth > DEEPEST)
    throw new DataError(`${source} is damaged: a layer of its topology is no layer`);
  // Old Sequential models have their layers where others have a config with layers in it.
  const { config } = layer;
  const inner = Array.isArray(config) ? config : isObject(config) ? config.layers : undefined;
  if (Array.isArray(inner)) return inner.flatMap((l) => walk(l, source, depth + 1));
  if (!isObject(config)) throw new DataError(`${source} is damaged: a layer of its topology has no config`);
  return [{ kind: layer.class_name, name: String(config.name ?? layer.name ?? ""), config }];
}

/** The numbers of a setting written as one number or several of them: strides, kernel sizes. */
export function numbersOf(setting: unknown): number[] {
  return (Array.isArray(setting) ? setting : [setting]).filter((v) => typeof v === "number");
}
